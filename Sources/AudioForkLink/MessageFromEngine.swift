// SPDX-License-Identifier: MIT
package import AudioForkBytes
package import AudioForkSurface

/// How the reason in ENDED begins where the server's Close ended the fork. It is no failure: the server wants no more.
package let serverCloseReason: StaticString = "server: "

/// Why a GAP lists what an ended fork leaves undelivered. ENDED follows and says whether that is a failure.
package let undeliveredGapReason: StaticString = "undelivered"

/// A fork's counters as STATE and ENDED carry them.
package struct ForkCounters: Sendable, Equatable {
  package private(set) var values = Counters()
  /// Bit n: the message carries the counter with the raw value n.
  private var carried: UInt32 = UInt32.max &>> UInt32(truncatingIfNeeded: Counters.capacity &- Counter.allCases.count)
  /// What `confirmed` is based on; nil before the first connection.
  package var confirmation: ConfirmationLevel?

  /// All counters, each 0.
  package init() {}

  /// Of a fork whose ring could not be read: what was reported before still holds.
  package static var unknown: ForkCounters {
    var counters = ForkCounters()
    counters.carried = 0
    return counters
  }

  package subscript(_ counter: Counter) -> UInt64 {
    get { values[counter] }
    set { values[counter] = newValue }
  }

  /// Whether the message carries the counter.
  package func carries(_ counter: Counter) -> Bool { carried & bit(counter) != 0 }

  /// Sets the counters that the message carries; others keep their values.
  package func update(_ counters: inout Counters) {
    for counter in Counter.allCases where carries(counter) { counters[counter] = values[counter] }
  }

  private func bit(_ counter: Counter) -> UInt32 { 1 &<< UInt32(counter.rawValue) }

  init(_ fields: FieldReader) {
    var values = Counters()
    var carried: UInt32 = 0
    // Once through the fields: the module reads one such message for each fork and second.
    fields.forEachNumber { key, value in
      guard let counter = Counter(field: key), carried & (1 &<< UInt32(counter.rawValue)) == 0 else { return }
      values[counter] = value
      carried |= 1 &<< UInt32(counter.rawValue)
    }
    self.values = values
    self.carried = carried
    confirmation = fields.bytes(.confirmation).flatMap { ConfirmationLevel(word: $0) }
  }

  func write(to fields: inout FieldWriter) {
    guard carried != 0 else { return }
    for counter in Counter.allCases where carries(counter) { fields.append(counter, values[counter]) }
    if let confirmation { fields.append(.confirmation, confirmation.word) }
  }
}

/// Captured samples that the stream lacks, as GAP carries them.
package struct GapReport<Text: LinkText>: Sendable, Equatable {
  /// in or out.
  package let direction: Text
  /// Index of the first missing sample among the captured ones of its direction.
  package let start: UInt64
  package let count: UInt64
  /// Where in the stream, in sample frames at the wire rate.
  package let position: UInt64
  /// overrun, ahead, undelivered or unconfirmed.
  package let reason: Text

  package init(direction: Text, start: UInt64, count: UInt64, position: UInt64, reason: Text) {
    self.direction = direction
    self.start = start
    self.count = count
    self.position = position
    self.reason = reason
  }
}

/// A message of the engine.
package enum MessageFromEngine<Text: LinkText>: Sendable, Equatable {
  /// The engine serves from now on. `knows`: the highest type of the module's messages that it knows; 0 for engines
  /// that do not say. `confinement`: what it may still do; empty where it was given no rules.
  case ready(
    version: Text, pid: UInt64, loops: UInt64, knows: UInt64 = 0, confinement: Text = Text(linkBytes: []))
  /// At each change of state, and once a second while counters move. `endpoint`: the URL in use, without secrets.
  case state(id: Text, state: ForkStateName, reason: Text, endpoint: Text, ForkCounters)
  /// Everything deliverable was delivered, and the files are gone.
  case ended(id: Text, reason: Text, ForkCounters)
  case log(LogLevel, id: Text?, text: Text)
  /// Captured samples that the stream lacks.
  case gap(id: Text, GapReport<Text>)
  /// Every second while there are forks, if no event loop hangs in one job.
  case heartbeat
  /// The engine leaves by itself, so that a new one starts. The link ends next.
  case leaving
  /// A text message of the server: its beginning, its whole length, and how many were dropped before it.
  case text(id: Text, text: Bytes, length: UInt64, dropped: UInt64)
  /// Words that the server has recognized. `dropped`: as in `text`.
  case transcript(id: Text, TranscriptReport, dropped: UInt64)
  /// Of a later release, or without a fork's id: skipped.
  case unknown(type: UInt16)

  /// Reads a message that the module has received. A missing text is empty, a missing number 0.
  package init(_ message: LinkMessage) {
    let fields = message.fields
    func text(_ field: LinkField) -> Text { fields.text(field) ?? Text(linkBytes: []) }
    let id = fields.text(.id, as: Text.self)
    switch (message.kind, id) {
    case (.ready, _):
      self = .ready(
        version: text(.version), pid: fields.number(.processID) ?? 0, loops: fields.number(.loops) ?? 0,
        knows: fields.number(.knows) ?? 0, confinement: text(.confinement))
    case (.state, let id?):
      self = .state(
        id: id, state: ForkStateName(word: fields.bytes(.state) ?? []), reason: text(.reason), endpoint: text(.url),
        ForkCounters(fields))
    case (.ended, let id?): self = .ended(id: id, reason: text(.reason), ForkCounters(fields))
    case (.log, _):
      self = .log(fields.number(.level).flatMap { LogLevel(rawValue: $0) } ?? .warning, id: id, text: text(.text))
    case (.gap, let id?):
      self = .gap(
        id: id,
        GapReport(
          direction: text(.direction), start: fields.number(.start) ?? 0, count: fields.number(.count) ?? 0,
          position: fields.number(.position) ?? 0, reason: text(.reason)))
    case (.heartbeat, _): self = .heartbeat
    case (.leaving, _): self = .leaving
    case (.text, let id?):
      let text = fields.bytes(.text) ?? []
      self = .text(
        id: id, text: text, length: fields.number(.length) ?? UInt64(text.count), dropped: fields.number(.dropped) ?? 0)
    case (.transcript, let id?):
      self = .transcript(id: id, TranscriptReport(fields), dropped: fields.number(.dropped) ?? 0)
    default: self = .unknown(type: message.type)
    }
  }

  /// The message as it travels.
  package var encoded: Bytes {
    switch self {
    case .ready(let version, let pid, let loops, let knows, let confinement):
      var fields = FieldWriter(.ready)
      fields.append(.version, text: version)
      fields.append(.protocolVersion, number: LinkProtocol.version)
      fields.append(.processID, number: pid)
      fields.append(.loops, number: loops)
      if knows > 0 { fields.append(.knows, number: knows) }
      if !confinement.linkBytes.isEmpty { fields.append(.confinement, text: confinement) }
      return fields.message
    case .state(let id, let state, let reason, let endpoint, let counters):
      var fields = FieldWriter(.state)
      fields.append(.id, text: id)
      fields.append(.state, state.word)
      let reason = reason.linkBytes
      if !reason.isEmpty { fields.append(.reason, text: reason) }
      fields.append(.url, text: endpoint)
      counters.write(to: &fields)
      return fields.message
    case .ended(let id, let reason, let counters):
      var fields = FieldWriter(.ended)
      fields.append(.id, text: id)
      fields.append(.reason, text: reason)
      counters.write(to: &fields)
      return fields.message
    case .log(let level, let id, let text):
      var fields = FieldWriter(.log)
      fields.append(.level, number: level.rawValue)
      if let id { fields.append(.id, text: id) }
      fields.append(.text, text: text)
      return fields.message
    case .gap(let id, let gap): return Self.encoded(gap, id)
    case .heartbeat: return FieldWriter(.heartbeat).message
    case .leaving: return FieldWriter(.leaving).message
    case .text(let id, let text, let length, let dropped):
      var fields = FieldWriter(.text)
      fields.append(.id, text: id)
      fields.append(.text, text)
      fields.append(.length, number: length)
      fields.append(.dropped, dropped)
      return fields.message
    case .transcript(let id, let transcript, let dropped):
      var fields = FieldWriter(.transcript)
      fields.append(.id, text: id)
      transcript.write(to: &fields)
      fields.append(.dropped, dropped)
      return fields.message
    case .unknown(let type): return FieldWriter(type: type).message
    }
  }

  private static func encoded(_ gap: GapReport<Text>, _ id: Text) -> Bytes {
    var fields = FieldWriter(.gap)
    fields.append(.id, text: id)
    fields.append(.direction, text: gap.direction)
    fields.append(.start, number: gap.start)
    fields.append(.count, number: gap.count)
    fields.append(.position, gap.position)
    fields.append(.reason, text: gap.reason)
    return fields.message
  }
}
