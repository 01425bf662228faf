// SPDX-License-Identifier: GPL-2.0-or-later
import AudioForkBytes
import AudioForkLink
import AudioForkSurface
import CAsterisk

/// Brings the fork table up to date with what the engine reports, and queues the events that follow from it. Called by
/// the control thread.
enum ForkUpdates {
  /// STATE: the fork's state has changed, or its counters have moved.
  static func stateReceived(
    _ id: Bytes, _ state: ForkStateName, reason: Bytes, endpoint: Bytes, _ counters: ForkCounters
  ) {
    let isNews = withState { table -> Bool in
      guard let fork = table.forks.find(id), fork.pointee.ended == 0 else { return false }
      if !endpoint.isEmpty { replace(&fork.pointee.endpoint, with: endpoint) }
      if fork.pointee.closed_at_ns == 0, isClosed(fork) { table.forks.mustLook(fork) }
      store(counters, in: fork)
      fork.pointee.reported_at_ns = af_now_ns()
      if counters[.losing] == 1 {
        table.hangUpIfWanted(fork, reason: Bytes(text: "overrun: the buffer is full and audio is being lost"))
      }
      let isOther = fork.state != state
      fork.state = state
      replace(&fork.pointee.reason, with: reason)
      // While nothing can be captured the state shown is no-codec, so the engine's changes raise no event.
      let isNews = isOther && !capturesNothing(fork)
      if isNews { table.jobs.add(.raise(ManagerEvent(.state, ForkRow(fork, now: af_now_ns())))) }
      return isNews
    }
    if isNews { Jobs.wake() }
  }

  /// ENDED: nothing more will be delivered.
  static func endReceived(_ id: Bytes, reason: Bytes, _ counters: ForkCounters) {
    var isOneDirection = false
    let isNews = withState { table -> Bool in
      guard let fork = table.forks.find(id), fork.pointee.ended == 0 else { return false }
      isOneDirection = ["in", "out"].contains { equal(bytes(fork.pointee.direction), ignoringCase: $0) }
      store(counters, in: fork)
      table.endFork(fork, reason: reason, isAccounted: counters.carries(.captured))
      return true
    }
    guard isNews else { return }
    Jobs.wake()
    log(
      AF_LEVEL_VERBOSE, "AudioFork ", .bytes(id), " ended: ",
      .bytes(summary(reason, counters, isOneDirection: isOneDirection)))
  }

  /// GAP: captured samples that the stream lacks.
  static func gapReceived(_ id: Bytes, _ gap: GapReport<Bytes>) {
    withState { table in
      guard let fork = table.forks.find(id), fork.pointee.ended == 0 else { return }
      var event = ManagerEvent(.gap, ForkRow(fork, now: af_now_ns()))
      event.gapDirection = gap.direction
      event.gapStart = Int(truncatingIfNeeded: gap.start)
      event.gapCount = Int(truncatingIfNeeded: gap.count)
      event.gapPosition = Int(truncatingIfNeeded: gap.position)
      event.reason = gap.reason
      table.jobs.add(.raise(event))
      guard !equal(gap.reason, ignoringCase: undeliveredGapReason) else { return }
      table.hangUpIfWanted(
        fork, reason: text(.bytes(gap.reason), ": ", .number(event.gapCount), " captured samples were lost"))
    }
    Jobs.wake()
  }

  /// TEXT: the server has sent a text message.
  static func textReceived(_ id: Bytes, _ text: Bytes, length: UInt64, dropped: UInt64) {
    withState { table in
      guard let fork = table.forks.find(id), fork.pointee.ended == 0 else { return }
      replace(&fork.pointee.response, with: variableValue(text))
      fork.counters.pointee[.dropped] = max(dropped, fork.counters.pointee[.dropped])
      var event = ManagerEvent(.response, ForkRow(fork, now: af_now_ns()))
      event.response = cut(text, to: textBytesMax)
      event.responseLength = Int(truncatingIfNeeded: length)
      table.jobs.add(.response(event, variable: bytes(fork.pointee.text_variable)))
    }
    Jobs.wake()
  }

  /// TRANSCRIPT: the server has recognized words.
  static func transcriptReceived(_ id: Bytes, _ transcript: TranscriptReport, dropped: UInt64) {
    withState { table in
      guard let fork = table.forks.find(id), fork.pointee.ended == 0 else { return }
      if transcript.isFinal { replace(&fork.pointee.transcript, with: variableValue(transcript.text)) }
      fork.counters.pointee[.dropped] = max(dropped, fork.counters.pointee[.dropped])
      var event = ManagerEvent(.transcript, ForkRow(fork, now: af_now_ns()))
      event.transcript = transcript
      event.transcript?.text = cut(transcript.text, to: textBytesMax)
      table.jobs.add(.transcript(event))
    }
    Jobs.wake()
  }

  /// A number that a message lacks stays what it was.
  private static func store(_ counters: ForkCounters, in fork: ForkPointer) {
    counters.update(&fork.counters.pointee)
    if let confirmation = counters.confirmation { fork.pointee.confirmation = confirmation.rawValue }
  }

  /// Fill is summed over the directions, so with two of them it may exceed the position. The text says which applies.
  private static func summary(_ reason: Bytes, _ counters: ForkCounters, isOneDirection: Bool) -> Bytes {
    func number(_ counter: Counter) -> TextPiece { .number(Int(truncatingIfNeeded: counters[counter])) }
    return text(
      .bytes(reason), "; ", number(.position), " sample frames sent, ", number(.fill),
      isOneDirection ? " of them fill, " : " samples of fill in both directions together, ", number(.lost),
      " samples lost in ", number(.gaps), counters[.gaps] == 1 ? " gap, " : " gaps, ", number(.reconnects),
      counters[.reconnects] == 1 ? " reconnect" : " reconnects")
  }
}
