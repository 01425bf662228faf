// SPDX-License-Identifier: GPL-2.0-or-later
import AudioForkBytes
import AudioForkLink
import AudioForkSurface
import AudioForkTap
import CAsterisk

/// A copy of what the table knows about one fork: for the CLI, AMI, AUDIOFORK() and events, which must not hold the
/// table's lock while they write.
package struct ForkRow {
  package let id: Bytes
  /// The first URL, and the one in use, without secrets.
  let url: Bytes
  let endpoint: Bytes
  let direction: Bytes
  let format: Bytes
  /// none, verified or insecure: about the server's certificate.
  let verification: Bytes
  /// The channel as last seen; `look` brings it up to date.
  package private(set) var channel: Bytes
  package private(set) var uniqueID: Bytes
  private(set) var linkedID: Bytes
  /// starting, no-codec, no-engine, or one of the engine's: connecting, streaming, waiting, draining, ended.
  let state: Bytes
  let reason: Bytes
  /// The server's last text, cut.
  package let response: Bytes
  /// The last final utterance that the server has recognized, cut.
  package let transcript: Bytes
  let counters: Counters
  /// What the confirmed position is based on; nil before the first connection.
  let confirmation: ConfirmationLevel?
  /// Nanoseconds from the fork's start to now, or to the end of capture.
  let duration: Int64
  /// Bit 0: in, bit 1: out.
  let muted: UInt64
  /// Milliseconds of audio that the ring holds, in frames of 20 ms at the rate that is captured now.
  let ringMilliseconds: Int64

  /// With the table's lock held. `engine`: pass it for rows that are shown. If it is silent, the row says no-engine.
  init(_ fork: ForkPointer, now: Int64, engine: EngineStatus? = nil) {
    id = bytes(fork.pointee.id)
    url = bytes(fork.pointee.url)
    endpoint = bytes(fork.pointee.endpoint)
    direction = bytes(fork.pointee.direction)
    format = bytes(fork.pointee.format)
    verification = bytes(fork.pointee.verification)
    channel = bytes(fork.pointee.channel)
    uniqueID = bytes(fork.pointee.uniqueid)
    linkedID = bytes(fork.pointee.linkedid)
    let isIdle = capturesNothing(fork)
    let said = bytes(fork.pointee.reason)
    if engine != nil, fork.pointee.is_held != 0 {
      state = isIdle ? Bytes(text: "no-codec") : Bytes(text: fork.state.word)
      reason = isIdle ? codecReason(fork) : Bytes(text: heldReason)
      counters = currentCounters(fork, now)
    } else if fork.pointee.ended == 0, let silence = engine?.silence(now, since: fork.pointee.tap.epoch_ns) {
      state = Bytes(text: "no-engine")
      reason = silence
      counters = currentCounters(fork, now)
    } else {
      state = isIdle ? Bytes(text: "no-codec") : Bytes(text: fork.state.word)
      reason = isIdle || said.isEmpty ? codecReason(fork) : said
      counters = fork.counters.pointee
    }
    response = bytes(fork.pointee.response)
    transcript = bytes(fork.pointee.transcript)
    confirmation = ConfirmationLevel(rawValue: fork.pointee.confirmation)
    let end = fork.pointee.closed_at_ns == 0 ? now : fork.pointee.closed_at_ns
    duration = max(0, end &- fork.pointee.tap.epoch_ns)
    muted = af_word_load_relaxed(&fork.pointee.tap.muted)
    let directions: UInt64 = fork.pointee.tap.directions & 3 == 3 ? 2 : 1
    let perSecond = bytesPerSecond(&fork.pointee.tap, rateAtStart: fork.pointee.rate_hz)
    ringMilliseconds = Int64(
      truncatingIfNeeded: min(
        (fork.pointee.tap.area_mask &+ 1) &* 1000 / max(perSecond, 1),
        (fork.pointee.tap.index_mask &+ 1) &* 20 / directions))
  }

  /// Takes over what the channel, which is not locked, is called now: a rename tells nobody.
  mutating func look(at live: OpaquePointer) {
    af_channel_lock(live)
    channel = bytes(ast_channel_name(live))
    uniqueID = bytes(ast_channel_uniqueid(live))
    linkedID = bytes(ast_channel_linkedid(live))
    af_channel_unlock(live)
  }

  /// As `look(at:)`, of the channel with the row's unique id while there is one.
  fileprivate mutating func look() {
    guard let live = liveChannel(uniqueID, called: channel) else { return }
    look(at: live)
    af_channel_unref(live)
  }
}

/// Why a fork does not begin: the running engine may not open its files.
private let heldReason: StaticString = "engine: a new one that may open the fork's files is about to start"

/// The engine's last counters, and what the ring knows since: how much was captured, and so by how much the stream is
/// behind. With the table's lock held.
private func currentCounters(_ fork: ForkPointer, _ now: Int64) -> Counters {
  var counters = fork.counters.pointee
  guard let ring = fork.pointee.tap.ring else { return counters }
  let captured = af_word_load_relaxed(af_ring_captured(ring, 0)) &+ af_word_load_relaxed(af_ring_captured(ring, 1))
  guard captured > counters[.captured] else { return counters }
  counters[.captured] = captured
  let end = fork.pointee.closed_at_ns == 0 ? now : fork.pointee.closed_at_ns
  let reported = max(fork.pointee.reported_at_ns, fork.pointee.tap.epoch_ns)
  let milliseconds = UInt64(max(0, end &- reported) / 1_000_000)
  counters[.lag] &+= milliseconds
  counters[.undelivered] &+= milliseconds
  return counters
}

/// Copies of the rows that fulfil the condition, the oldest fork first, with the channels' names of now. No channel
/// may be locked.
package func forkRows(where matches: (ForkPointer) -> Bool = { _ in true }) -> [ForkRow] {
  var rows = [ForkRow]()
  let now = af_now_ns()
  withState { state in
    state.forks.forEach { if matches($0) { rows.append(ForkRow($0, now: now, engine: state.engine)) } }
  }
  var index = 0
  while index < rows.count {
    rows[index].look()
    index &+= 1
  }
  return rows
}

/// The fork with this id as the table has it: a living one, or one of the last that have ended. Takes no lock but the
/// table's, so that a channel may be locked.
func forkRow(called id: Bytes) -> ForkRow? {
  let now = af_now_ns()
  return withState { state in
    state.forks.find(id).map { ForkRow($0, now: now, engine: state.engine) }
      ?? state.endedForks.rows.first { $0.id == id }
  }
}

/// Ids of the channel's forks: the one with this id, or all of them. The channel must not be locked.
func forkIDs(on channel: OpaquePointer, id: Bytes?) -> [Bytes] {
  // By the channel's own datastores and not by a name: names change.
  let known = id.map { [$0] } ?? withState { $0.forks.ids }
  af_channel_lock(channel)
  defer { af_channel_unlock(channel) }
  return known.filter { id in
    withCString(id) { ast_channel_datastore_find(channel, af_datastore_type(), $0) } != nil
  }
}
