// SPDX-License-Identifier: MIT

/// The control link between capture module and engine: a stream socketpair.
///
/// It carries state, not commands. The module's fork table is the truth: the module sends a row when it changes, and
/// all rows to every new engine. A message is
///
///     u32 length of what follows | u16 kind | u16 zero | fields
///
/// and a field is
///
///     u16 key | u16 zero | u32 length | bytes
///
/// little-endian, unpadded. Numbers have 8 bytes; text is UTF-8 without a terminator. Unknown keys and kinds are
/// skipped, so that the two sides may be one release apart. docs/internals/control-link.md describes the messages.
package enum LinkProtocol {
  /// Both sides report it; it changes only when an older peer could not follow any more.
  package static let version: UInt64 = 1
  /// A longer message is one of a broken peer: the link is closed.
  package static let messageBytesMax: UInt32 = 262_144
  /// Longest log line or reason, bytes. A longer one is cut at a character's boundary.
  package static let textBytesMax = 8192
}

/// What a message is.
package enum LinkMessageKind: UInt16, CaseIterable, Sendable {
  // From the module.
  case hello = 1
  case fork = 2
  case tableEnd = 3
  case forget = 4
  case sendText = 5
  case settings = 6
  case restart = 7
  case stopping = 8
  // From the engine.
  case ready = 65
  case state = 66
  case ended = 67
  case log = 68
  case gap = 69
  case text = 70
  case heartbeat = 71
  case leaving = 72
  case transcript = 73

  /// The module's message with the highest number: what an engine says that it knows.
  package static let newestOfModule = LinkMessageKind.stopping
}

/// The key of a field in a message or in a ring's facts. Counters have keys of their own (`CounterDefinition.field`).
package enum LinkField: UInt16, CaseIterable, Sendable {
  /// The fork's id; the names of its files begin with it.
  case id = 1
  /// As given, user information included; in a ring's facts repeated, in failover order. In STATE without secrets.
  case url = 2
  /// The option string, as given.
  case options = 3
  /// The channel's name when the fork began.
  case channel = 4
  case uniqueID = 5
  case linkedID = 6
  /// Number: rate of the channel's native format when the fork began, Hz.
  case rate = 7
  /// Number: seconds allowed for delivery after the end of capture.
  case drain = 8
  /// "key=value", variables evaluated; repeated. In a ring's facts of `[general]` and of the fork's profile, in
  /// SETTINGS the engine-wide ones.
  case setting = 9
  /// A letter and its argument, evaluated: instead of OPTIONS, repeated in order. Of H one header, of s one parameter
  /// whose value is verbatim.
  case option = 10
  /// Number: the generation of the ring that the fork's audio goes to; missing for 0, the first one.
  case generation = 11
  /// Number: milliseconds that a direction waits for the other. Missing in rings of earlier modules: 160.
  case align = 12
  /// Product version of the sender.
  case version = 16
  /// Number: `LinkProtocol.version` of the sender.
  case protocolVersion = 17
  /// Number: the engine's process id.
  case processID = 18
  /// From the module: live or closed. From the engine: a `ForkStateName`.
  case state = 19
  /// Why the fork is in this state, or ended: a word, a colon and text.
  case reason = 20
  /// Number: a `LogLevel`.
  case level = 21
  case text = 22
  /// Number: the highest type of the module's messages that the engine knows. Missing in engines that know none beyond
  /// `settings`.
  case knows = 23
  /// What a confined engine may still do; missing where it was given no rules.
  case confinement = 24
  /// Whose words a transcript has: a `Speaker`.
  case speaker = 25
  /// Number: 1 for a transcript that no longer changes, else 0.
  case final = 26
  /// Number: milliseconds from the fork's start to a transcript's first word.
  case from = 27
  /// Number: milliseconds from the fork's start to the end of a transcript's last word.
  case until = 28
  /// Number: how sure the server is of a transcript, thousandths.
  case confidence = 29
  /// Number: bytes of the whole text, of which TEXT may be the beginning.
  case length = 44
  /// in or out.
  case direction = 45
  /// Number: index of a gap's first sample among the captured ones of its direction.
  case start = 46
  /// Number: samples in the gap.
  case count = 47
  /// Number: event loops of the engine.
  case loops = 48
  /// What CONFIRMED is based on: a `ConfirmationLevel`.
  case confirmation = 49
}

/// A stream that cannot be followed: there is no way to find the next message.
package enum LinkError: Error, Sendable, Equatable {
  /// A length outside 4 … `LinkProtocol.messageBytesMax`.
  case length(UInt32)
  /// Fields that do not fill their message.
  case fields(kind: UInt16)
  /// A message about a fork without an id of 1 to 64 letters, digits and '-'.
  case id
}

/// Levels of a line for Asterisk's log (AF_LEVEL_… in af_link.h).
package enum LogLevel: UInt64, Sendable {
  case debug = 0
  case verbose = 1
  case notice = 2
  case warning = 3
  case error = 4
}

/// A fork's states as the control link, AMI and the CLI name them.
package enum ForkStateName: UInt8, CaseIterable, Sendable {
  /// The engine has not reported anything yet: the module's own word.
  case starting
  case connecting, streaming, waiting, draining, ended
  /// One that this release does not know.
  case unknown

  package var word: StaticString {
    switch self {
    case .starting: "starting"
    case .connecting: "connecting"
    case .streaming: "streaming"
    case .waiting: "waiting"
    case .draining: "draining"
    case .ended: "ended"
    case .unknown: "unknown"
    }
  }

  /// The state with this word; `unknown` for another one.
  package init(word: [UInt8]) { self = Self.allCases.first { $0.word.isEqual(to: word) } ?? .unknown }
}

/// What the confirmed position of a connection is based on. It begins at `tcp`, and rises when the server shows that it
/// can confirm more.
package enum ConfirmationLevel: UInt8, CaseIterable, Sendable, Comparable {
  /// The peer's kernel has acknowledged the bytes.
  case tcp = 1
  /// The peer's WebSocket stack has answered a ping that was sent behind them.
  case pong = 2
  /// The peer's application has acknowledged them (`audiofork.v1`).
  case app = 3

  package var word: StaticString {
    switch self {
    case .tcp: "tcp"
    case .pong: "pong"
    case .app: "app"
    }
  }

  /// The level with this word; nil for another one.
  package init?(word: [UInt8]) {
    guard let level = Self.allCases.first(where: { $0.word.isEqual(to: word) }) else { return nil }
    self = level
  }

  package static func < (first: Self, second: Self) -> Bool { first.rawValue < second.rawValue }
}

extension StaticString {
  fileprivate func isEqual(to bytes: [UInt8]) -> Bool { withUTF8Buffer { unsafe $0.elementsEqual(bytes) } }
}
