// SPDX-License-Identifier: Apache-2.0
package import AudioForkMedia

/// A wire protocol on top of WebSocket, as one connection speaks it: what the upgrade request says, how audio becomes
/// messages, and what the server's messages mean. `DialectTraits` has what holds for all connections of a dialect.
///
/// A value for each connection, so that counters, timers and what the server has said begin anew with it. Without I/O
/// and without a clock: what is to be sent, and what the engine is to do, goes into a `DialectOutput`. It stays on one
/// event loop, so that it may own a rate converter.
///
/// The order of calls: `prepare` for each upgrade request, `opened` once, then any of the others, `finish` at most
/// once. No audio comes before `isReady`. docs/internals/dialects.md says how a dialect is added.
package protocol DialectSession: SendableMetatype {
  /// Completes the upgrade request: sub-protocols, headers, query, signature.
  static func prepare(_ request: inout DialectRequest, for connection: ConnectionDescription)
  /// What an answer other than 101 means; nil: what it means in any dialect (`ConnectionFailure.Kind`).
  static func meaning(of refusal: UpgradeRefusal) -> UpgradeRefusal.Meaning?

  /// Whether the server's binary messages mean anything.
  static var takesBinary: Bool { get }

  init(_ connection: ConnectionDescription)

  /// Whether audio may be sent. False while the server has to say something first; once true it stays so.
  var isReady: Bool { get }
  /// When `timeout` is to be called; nil: never. Asked for after each call but `audio`.
  var deadline: MonotonicTime? { get }

  /// The connection is open.
  mutating func opened(now: MonotonicTime, into output: inout DialectOutput)
  /// Makes messages of a block of audio. May keep it for a longer message, but then has to know that what a server
  /// confirms by pongs includes it: only a dialect whose server acknowledges may do so.
  mutating func audio(_ block: AudioBlock, now: MonotonicTime, into output: inout DialectOutput)
  /// A note beside the audio. Called only for dialects that have `wantsMarkers`.
  mutating func marker(_ marker: StreamMarker, into output: inout DialectOutput)
  /// A text of the dialplan for the server.
  mutating func text(_ text: String, into output: inout DialectOutput)
  /// What has become of the server's audio in the call.
  mutating func playback(_ report: PlaybackReport, into output: inout DialectOutput)
  /// The server sent a message.
  mutating func received(_ message: ServerMessage, now: MonotonicTime, into output: inout DialectOutput)
  /// The deadline has passed.
  mutating func timeout(now: MonotonicTime, into output: inout DialectOutput)
  /// All audio was sent; `position` is the stream's end. The Close frame follows, after what `DialectTraits` and the
  /// user allow the server to say, or once the session gives the action `finished`.
  mutating func finish(at position: Position, reason: String, now: MonotonicTime, into output: inout DialectOutput)
  /// What the server means with a Close; nil: what it means in any dialect.
  func meaning(ofClose code: UInt16?, reason: String) -> CloseMeaning?
}

/// A dialect without counters, timers and gates says no more than what differs.
extension DialectSession {
  package static func meaning(of refusal: UpgradeRefusal) -> UpgradeRefusal.Meaning? { nil }
  package static var takesBinary: Bool { false }
  package var isReady: Bool { true }
  package var deadline: MonotonicTime? { nil }
  package mutating func opened(now: MonotonicTime, into output: inout DialectOutput) {}
  package mutating func marker(_ marker: StreamMarker, into output: inout DialectOutput) {}
  package mutating func playback(_ report: PlaybackReport, into output: inout DialectOutput) {}
  package mutating func timeout(now: MonotonicTime, into output: inout DialectOutput) {}
  package mutating func finish(
    at position: Position, reason: String, now: MonotonicTime, into output: inout DialectOutput
  ) {}
  package func meaning(ofClose code: UInt16?, reason: String) -> CloseMeaning? { nil }
}

/// The upgrade request as a dialect sees it.
package struct DialectRequest: Sendable, Equatable {
  /// The URL as it is dialed, without user information: what a signature covers.
  package let url: String
  /// When the request is made, for a signature that names the time.
  package let now: WallTime
  /// A random number, for a signature that names one.
  package let nonce: UInt64
  /// Path and query. A dialect may add to the query.
  package var target: [UInt8]
  /// Sub-protocols to offer, in order of preference.
  package var subprotocols: [String] = []
  /// Whether a server has to select one of them.
  package var needsSubprotocol = false
  /// Further headers.
  package var headers: [DialectHeader] = []

  package init(url: String, target: [UInt8], now: WallTime = WallTime(nanoseconds: 0), nonce: UInt64 = 0) {
    self.url = url
    self.target = target
    self.now = now
    self.nonce = nonce
  }
}

/// A field of the upgrade request.
package struct DialectHeader: Sendable, Equatable {
  package let name: String
  package let value: String
  /// The value is percent-encoded already; others may be anything and need no escaping.
  package var isEncoded = false

  package init(_ name: String, _ value: String, isEncoded: Bool = false) {
    self.name = name
    self.value = value
    self.isEncoded = isEncoded
  }
}

/// An answer to the upgrade request other than 101.
package struct UpgradeRefusal: Sendable, Equatable {
  /// How likely it is that a later attempt succeeds.
  package enum Meaning: Sendable {
    /// It may pass, as any outage.
    case passing
    /// It may be true only for the moment, and is tried again a few times.
    case refused
    /// No later attempt of a new fork will succeed.
    case final
  }

  /// The HTTP status, 100 to 599.
  package let status: Int
  /// The first line of the body that says something, without secrets; empty where there is none.
  package let text: String

  package init(status: Int, text: String) {
    self.status = status
    self.text = text
  }
}

/// What a Close of the server means for the fork.
package enum CloseMeaning: Sendable, Equatable {
  /// The server wants no more audio: the fork ends in order (1000 in any dialect).
  case ends
  /// It may want no more: one more connection is tried (a Close without a code in any dialect).
  case isUnclear
  /// The connection is over, and the fork continues on another one.
  case breaks
  /// No connection will be of use: the fork ends, and the reason is an error.
  case refuses
}
