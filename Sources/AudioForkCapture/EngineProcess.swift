// SPDX-License-Identifier: GPL-2.0-or-later
import CAsterisk

#if canImport(AudioForkOptions)
import AudioForkOptions
#endif
#if canImport(AudioForkTap)
import AudioForkTap
#endif

/// The engine as the control thread sees it: a process at the other end of a socketpair.
///
/// Its death is end-of-file on the link; Asterisk's own SIGCHLD handler reaps it. Only the control thread calls this.
struct EngineProcess {
  /// Our end of the link; -1 while there is no engine.
  private(set) var link: CInt = -1
  private var process: CInt = -1
  private var isReady = false
  private var spawnAt: Int64 = 0
  private var deathsBeforeReady = 0
  /// Engines in a row that died soon after they were ready.
  private var quickDeaths = 0
  private var readyAt: Int64 = 0
  private var complained = false
  private var parser = LinkParser()
  private var output = Bytes()
  private var tableEndIsDue = false
  /// Since when the engine owes a heartbeat: it has forks, and has been started or has beaten then. 0: it owes none.
  private var owesSince: Int64 = 0
  /// When that was looked at last.
  private var checkedAt: Int64 = 0
  /// When an engine was heard last, this one or one before it.
  private(set) var heardAt: Int64 = 0
  /// It was asked to go, so that a new one starts.
  private var isRestarting = false

  /// Without a heartbeat for so long an engine is stuck: it is killed, and the next one goes on.
  private static let heartbeatMax: Int64 = 3_000_000_000
  /// Our thread looks once a second. Where it did not for so long, it was held up itself and has not listened.
  private static let deafMax: Int64 = 2_000_000_000
  private static let restartDelay: Int64 = 20_000_000
  private static let restartDelayMax: Int64 = 10_000_000_000
  /// An engine that dies so soon after it was ready may do so again: from the sixth in a row on each is waited for twice
  /// as long as the one before, but never so long that a call would notice.
  private static let quickDeath: Int64 = 2_000_000_000
  private static let quickDeathsFree = 5
  private static let quickRestartDelayMax: Int64 = 250_000_000
  /// Rows wait in the table while more than this waits for the socket.
  private static let outputMax = 65_536

  var hasOutput: Bool { !output.isEmpty }

  /// Milliseconds until the next engine is due; nil while one runs.
  func millisecondsToSpawn(_ now: Int64) -> CInt? {
    guard link < 0 else { return nil }
    return CInt(truncatingIfNeeded: max(0, min((spawnAt &- now) / 1_000_000 &+ 1, 60_000)))
  }

  mutating func spawnIfDue(_ now: Int64, path: Bytes) {
    guard link < 0, now >= spawnAt else { return }
    var pair: [CInt] = [-1, -1]
    let made = pair.withUnsafeMutableBufferPointer {
      socketpair(AF_UNIX, CInt(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0, $0.baseAddress)
    }
    guard made == 0, let instance = Control.instance else { return failed(now, path, af_errno()) }
    var pid: CInt = 0
    let failure = withCString(path) { path in
      withCString(instance.directory) { af_spawn_engine(path, $0, pair[1], &pid) }
    }
    close(pair[1])
    guard failure == 0 else {
      close(pair[0])
      return failed(now, path, failure)
    }
    link = pair[0]
    process = af_process_open(pid)
    isReady = false
    owesSince = 0
    isRestarting = false
    parser = LinkParser()
    output = []
    var hello = FieldWriter(message: UInt16(AF_LINK_HELLO.rawValue))
    hello.append(UInt16(AF_FIELD_VERSION.rawValue), bytes(af_version()))
    hello.append(UInt16(AF_FIELD_PROTOCOL.rawValue), number: UInt64(AF_LINK_VERSION))
    output += hello.message()
    // The table is the truth: a new engine hears all of it.
    withState { state in
      var row = state.forks.head
      while let fork = row {
        if fork.pointee.ended == 0 { fork.pointee.dirty = 1 }
        row = fork.pointee.next
      }
    }
    tableEndIsDue = true
  }

  private mutating func failed(_ now: Int64, _ path: Bytes, _ failure: CInt) {
    if !complained {
      complained = true
      let isOurs = failure == ENOENT || failure == EACCES || failure == ENOEXEC || failure == ENOTDIR
      log(
        AF_LEVEL_ERROR, "the engine ", .bytes(path), " cannot be started: ", .bytes(reason(failure)),
        isOurs
          ? "; install it or set engine in audiofork.conf. Until then nothing is delivered"
          : "; the system lacks something that it needs. It is tried again, and until then nothing is delivered")
    }
    backOff(now)
  }

  private mutating func backOff(_ now: Int64) {
    var delay = EngineProcess.restartDelay
    var deaths = deathsBeforeReady
    while deaths > 0, delay < EngineProcess.restartDelayMax {
      delay &*= 2
      deaths &-= 1
    }
    deathsBeforeReady &+= 1
    spawnAt = now &+ min(delay, EngineProcess.restartDelayMax)
  }

  /// Sends what is new in the table, as far as the socket takes it.
  mutating func send() {
    guard link >= 0 else { return }
    var rows = Bytes()
    let room = EngineProcess.outputMax &- output.count
    var everythingSaid = true
    withState { state in
      var row = state.forks.head
      while let fork = row {
        row = fork.pointee.next
        guard fork.pointee.dirty != 0, fork.pointee.ended == 0 else { continue }
        guard rows.count < room else {
          everythingSaid = false
          break
        }
        fork.pointee.dirty = 0
        var message = FieldWriter(message: UInt16(AF_LINK_FORK.rawValue))
        message.append(UInt16(AF_FIELD_ID.rawValue), bytes(fork.pointee.id))
        message.append(
          UInt16(AF_FIELD_STATE.rawValue), Bytes(text: fork.pointee.closed_at_ns == 0 ? "live" : "closed"))
        rows += message.message()
      }
      // Behind the rows: a text is for a fork that the engine knows.
      if isReady, everythingSaid, output.count &+ rows.count < EngineProcess.outputMax {
        for text in state.outgoingTexts.takeAll() { rows += text }
      }
    }
    output += rows
    if everythingSaid, tableEndIsDue {
      tableEndIsDue = false
      output += FieldWriter(message: UInt16(AF_LINK_TABLE_END.rawValue)).message()
    }
    while !output.isEmpty {
      let sent = output.withUnsafeBytes {
        CAsterisk.send(link, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL | MSG_DONTWAIT))
      }
      guard sent > 0 else { break }  // full, or broken: the latter shows as end-of-file
      output.removeFirst(min(sent, output.count))
    }
  }

  /// A row is gone: the engine need not know the fork any more.
  mutating func forget(_ id: Bytes) {
    guard link >= 0, output.count < EngineProcess.outputMax else { return }
    var message = FieldWriter(message: UInt16(AF_LINK_FORGET.rawValue))
    message.append(UInt16(AF_FIELD_ID.rawValue), id)
    output += message.message()
  }

  /// Whether a living engine may be stuck: no heartbeat, although it has forks. One that is being started counts too.
  /// After `receive`: what was said while we did not listen is said.
  mutating func checkHeartbeat(_ now: Int64, hasForks: Bool) {
    let wasDeaf = now &- checkedAt > EngineProcess.deafMax
    checkedAt = now
    guard link >= 0, hasForks else { return owesNothing() }
    if owesSince == 0 || wasDeaf { owesSince = now }
    guard now &- owesSince > EngineProcess.heartbeatMax else { return }
    log(
      AF_LEVEL_ERROR, "the AudioFork engine has not given a sign of life for 3 seconds; it is killed and started again")
    died()
  }

  /// An engine without forks beats no more.
  mutating func owesNothing() { owesSince = 0 }

  /// Asks the engine to save its cursors and go; the next one goes on where it stopped.
  mutating func restart() {
    guard link >= 0, isReady, !isRestarting else { return }
    isRestarting = true
    af_process_terminate(process)
  }

  /// Takes what the engine has said; notices its death.
  mutating func receive() {
    guard link >= 0 else { return }
    while true {
      let count = withUnsafeTemporaryAllocation(byteCount: 16_384, alignment: 8) { buffer in
        let count = recv(link, buffer.baseAddress, buffer.count, CInt(MSG_DONTWAIT))
        if count > 0 { parser.append(UnsafeRawBufferPointer(start: buffer.baseAddress, count: count)) }
        return count
      }
      if count < 0 {
        let failure = af_errno()
        if failure == EAGAIN || failure == EINTR { break }
        return died()
      }
      if count == 0 { return died() }
      heardAt = af_now_ns()
      while let message = parser.next() { handle(message) }
      if parser.isBroken {
        log(AF_LEVEL_ERROR, "the engine sends what is no message; it is ended and started again")
        return died()
      }
    }
  }

  private mutating func handle(_ message: LinkMessage) {
    switch UInt32(message.type) {
    case AF_LINK_READY.rawValue:
      isReady = true
      readyAt = af_now_ns()
      deathsBeforeReady = 0
      complained = false
      withState { state in
        state.engine.ready(
          version: message.text(UInt16(AF_FIELD_VERSION.rawValue)) ?? [],
          process: message.number(UInt16(AF_FIELD_PID.rawValue)) ?? 0,
          loops: message.number(UInt16(AF_FIELD_LOOPS.rawValue)) ?? 0, now: af_now_ns())
      }
      log(
        AF_LEVEL_VERBOSE, "AudioFork engine ", .bytes(message.text(UInt16(AF_FIELD_VERSION.rawValue)) ?? []),
        " is ready, process ",
        .number(Int(truncatingIfNeeded: message.number(UInt16(AF_FIELD_PID.rawValue)) ?? 0)))
    case AF_LINK_STATE.rawValue, AF_LINK_ENDED.rawValue:
      stateCame(message, isEnd: UInt32(message.type) == AF_LINK_ENDED.rawValue)
    case AF_LINK_HEARTBEAT.rawValue: owesSince = 0
    case AF_LINK_GAP.rawValue: gapCame(message)
    case AF_LINK_TEXT.rawValue: textCame(message)
    case AF_LINK_LOG.rawValue:
      let level = message.number(UInt16(AF_FIELD_LEVEL.rawValue)) ?? UInt64(AF_LEVEL_WARNING.rawValue)
      log(
        af_level(rawValue: UInt32(truncatingIfNeeded: level)),
        .bytes(message.text(UInt16(AF_FIELD_TEXT.rawValue)) ?? []))
    default: break  // of a later release
    }
  }

  /// STATE or ENDED: the row gets the engine's words and numbers.
  private func stateCame(_ message: LinkMessage, isEnd: Bool) {
    guard let id = message.text(UInt16(AF_FIELD_ID.rawValue)) else { return }
    var isOneDirection = false
    let isNew = withState { state in
      guard let fork = state.forks.find(id), fork.pointee.ended == 0 else { return false }
      isOneDirection = ["in", "out"].contains { equal(bytes(fork.pointee.direction), ignoringCase: $0) }
      if let endpoint = message.text(UInt16(AF_FIELD_URL.rawValue)) { replace(&fork.pointee.endpoint, with: endpoint) }
      store(message, in: &fork.pointee.counters)
      let reason = message.text(UInt16(AF_FIELD_REASON.rawValue)) ?? []
      if isEnd {
        state.endFork(fork, reason: reason, isAccounted: message.number(UInt16(AF_FIELD_CAPTURED.rawValue)) != nil)
        return true
      }
      if message.number(UInt16(AF_FIELD_LOSING.rawValue)) == 1 {
        state.hangUpIfWanted(fork, reason: Bytes(text: "overrun: the buffer is full and audio is being lost"))
      }
      let word = message.text(UInt16(AF_FIELD_STATE.rawValue)) ?? []
      let isOther = bytes(fork.pointee.state) != word
      replace(&fork.pointee.state, with: word)
      replace(&fork.pointee.reason, with: reason)
      // While nothing can be captured the fork's state is that.
      let isTold = isOther && !capturesNothing(fork)
      if isTold { state.jobs.add(.raise(ForkEvent(.state, ForkRow(fork, now: af_now_ns())))) }
      return isTold
    }
    guard isNew else { return }
    Jobs.wake()
    if isEnd { log(AF_LEVEL_VERBOSE, "AudioFork ", .bytes(id), " ended: ", .bytes(ending(message, isOneDirection: isOneDirection))) }
  }

  private func gapCame(_ message: LinkMessage) {
    guard let id = message.text(UInt16(AF_FIELD_ID.rawValue)) else { return }
    func number(_ field: af_field) -> Int { Int(truncatingIfNeeded: message.number(UInt16(field.rawValue)) ?? 0) }
    withState { state in
      guard let fork = state.forks.find(id), fork.pointee.ended == 0 else { return }
      var event = ForkEvent(.gap, ForkRow(fork, now: af_now_ns()))
      event.gapDirection = message.text(UInt16(AF_FIELD_DIRECTION.rawValue)) ?? []
      event.gapStart = number(AF_FIELD_START)
      event.gapCount = number(AF_FIELD_COUNT)
      event.gapPosition = number(AF_FIELD_POSITION)
      event.reason = message.text(UInt16(AF_FIELD_REASON.rawValue)) ?? []
      state.jobs.add(.raise(event))
      state.hangUpIfWanted(
        fork, reason: text(.bytes(event.reason ?? []), ": ", .number(event.gapCount), " captured samples were lost"))
    }
    Jobs.wake()
  }

  private func textCame(_ message: LinkMessage) {
    guard let id = message.text(UInt16(AF_FIELD_ID.rawValue)), let text = message.text(UInt16(AF_FIELD_TEXT.rawValue))
    else { return }
    withState { state in
      guard let fork = state.forks.find(id), fork.pointee.ended == 0 else { return }
      replace(&fork.pointee.response, with: variableValue(text))
      fork.pointee.counters.dropped = message.number(UInt16(AF_FIELD_DROPPED.rawValue)) ?? fork.pointee.counters.dropped
      var event = ForkEvent(.response, ForkRow(fork, now: af_now_ns()))
      event.response = cut(text, to: textBytesMax)
      event.responseLength = Int(truncatingIfNeeded: message.number(UInt16(AF_FIELD_LENGTH.rawValue)) ?? UInt64(text.count))
      state.jobs.add(.response(event, variable: bytes(fork.pointee.text_variable)))
    }
    Jobs.wake()
  }

  /// A number that a message lacks stays what it was.
  private func store(_ message: LinkMessage, in counters: inout af_counters) {
    func number(_ field: af_field, _ before: UInt64) -> UInt64 { message.number(UInt16(field.rawValue)) ?? before }
    counters.position = number(AF_FIELD_POSITION, counters.position)
    counters.confirmed = number(AF_FIELD_CONFIRMED, counters.confirmed)
    counters.captured = number(AF_FIELD_CAPTURED, counters.captured)
    counters.delivered = number(AF_FIELD_DELIVERED, counters.delivered)
    counters.accounted.0 = number(AF_FIELD_ACCOUNTED_IN, counters.accounted.0)
    counters.accounted.1 = number(AF_FIELD_ACCOUNTED_OUT, counters.accounted.1)
    counters.bytes = number(AF_FIELD_BYTES, counters.bytes)
    counters.fill = number(AF_FIELD_FILL, counters.fill)
    counters.gaps = number(AF_FIELD_GAPS, counters.gaps)
    counters.lost = number(AF_FIELD_LOST, counters.lost)
    counters.reconnects = number(AF_FIELD_RECONNECTS, counters.reconnects)
    counters.lag_ms = number(AF_FIELD_LAG, counters.lag_ms)
    counters.undelivered_ms = number(AF_FIELD_UNDELIVERED, counters.undelivered_ms)
    counters.dropped = number(AF_FIELD_DROPPED, counters.dropped)
    if let word = message.text(UInt16(AF_FIELD_CONFIRMATION.rawValue)) {
      counters.confirmation =
        equal(word, ignoringCase: "app")
        ? AF_CONFIRMATION_APP.rawValue
        : equal(word, ignoringCase: "pong") ? AF_CONFIRMATION_PONG.rawValue : AF_CONFIRMATION_TCP.rawValue
    }
    counters.skew_ms = Int64(bitPattern: number(AF_FIELD_SKEW, UInt64(bitPattern: counters.skew_ms)))
  }

  /// Fill is counted for each direction, and a sample frame of two directions has two samples.
  private func ending(_ message: LinkMessage, isOneDirection: Bool) -> Bytes {
    func number(_ field: af_field) -> Int {
      Int(truncatingIfNeeded: message.number(UInt16(field.rawValue)) ?? 0)
    }
    let (gaps, reconnects) = (number(AF_FIELD_GAPS), number(AF_FIELD_RECONNECTS))
    return text(
      .bytes(message.text(UInt16(AF_FIELD_REASON.rawValue)) ?? []), "; ", .number(number(AF_FIELD_POSITION)),
      " sample frames sent, ", .number(number(AF_FIELD_FILL)),
      isOneDirection ? " of them fill, " : " samples of fill in both directions together, ", .number(number(AF_FIELD_LOST)),
      " samples lost in ", .number(gaps), gaps == 1 ? " gap, " : " gaps, ", .number(reconnects),
      reconnects == 1 ? " reconnect" : " reconnects")
  }

  private mutating func died() {
    let wasReady = isReady
    let wasAsked = isRestarting
    closeLink()
    let now = af_now_ns()
    if wasAsked {
      log(AF_LEVEL_NOTICE, "the AudioFork engine has left as it was asked to; the next one starts")
      spawnAt = now
    } else if wasReady {
      let count = withState { $0.forks.count }
      log(
        AF_LEVEL_WARNING, "the AudioFork engine is gone; it is started again, ", .number(count),
        count == 1 ? " fork goes" : " forks go", " on from the ring")
      quickDeaths = now &- readyAt < EngineProcess.quickDeath ? quickDeaths &+ 1 : 0
      var delay = EngineProcess.restartDelay
      var more = quickDeaths &- EngineProcess.quickDeathsFree
      while more > 0, delay < EngineProcess.quickRestartDelayMax {
        delay &*= 2
        more &-= 1
      }
      spawnAt = now &+ min(delay, EngineProcess.quickRestartDelayMax)
    } else {
      if !complained {
        complained = true
        log(
          AF_LEVEL_ERROR, "the AudioFork engine ended before it was ready; run '", .bytes(Control.settings?.engine ?? []),
          " --help' as Asterisk's user to see why. It is tried again")
      }
      backOff(now)
    }
  }

  /// Closes the link and makes sure that nobody is left behind it.
  private mutating func closeLink() {
    if process >= 0 {
      af_process_kill(process)
      close(process)
      process = -1
    }
    if link >= 0 {
      close(link)
      link = -1
    }
    isReady = false
    isRestarting = false
    output = []
    withState { $0.engine.gone() }
  }

  /// Ends the engine: end-of-file tells it to go, and after two seconds it is killed.
  mutating func end() {
    guard link >= 0 else { return }
    shutdown(link, CInt(SHUT_WR))
    let deadline = af_now_ns() &+ 2_000_000_000
    var isGone = false
    while !isGone, af_now_ns() < deadline {
      var waiting = pollfd(fd: link, events: Int16(POLLIN), revents: 0)
      _ = poll(&waiting, 1, 100)
      isGone = withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 8) { buffer in
        let count = recv(link, buffer.baseAddress, buffer.count, CInt(MSG_DONTWAIT))
        return count == 0 || (count < 0 && af_errno() != EAGAIN && af_errno() != EINTR)
      }
    }
    if process >= 0 {
      // End-of-file comes a moment before the process is gone.
      af_process_kill(process)
      var leaving = pollfd(fd: process, events: Int16(POLLIN), revents: 0)
      _ = poll(&leaving, 1, 1000)
    }
    closeLink()
  }
}
