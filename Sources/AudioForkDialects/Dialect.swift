// SPDX-License-Identifier: Apache-2.0
package import AudioForkMedia

/// A message as a dialect makes it; the connection makes the frame.
package enum DialectMessage: Sendable, Equatable {
  case text(String)
  case binary([UInt8])
}

/// A field for the upgrade request.
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

/// A wire protocol on top of WebSocket: what the request says, what is said before, beside and after the audio, and how
/// a block of audio becomes a message. Without I/O and without state.
package protocol Dialect: Sendable {
  /// Sub-protocols to offer, in order of preference.
  var subprotocols: [String] { get }
  /// Whether a server has to select one of them.
  var needsSubprotocol: Bool { get }
  /// Status codes with which a server of the dialect refuses a new fork for good, so that it is not asked again.
  var finalAnswers: [Int] { get }
  /// Whether the server says after the opening how far it has come, and no audio is sent before.
  var awaitsResume: Bool { get }
  /// Fields for the upgrade request.
  func requestHeaders(_ stream: StreamDescription) -> [DialectHeader]
  /// Sent on each new connection, before any audio. `position`: what is before it is delivered.
  func opening(_ stream: StreamDescription, position: Position) -> [DialectMessage]
  /// Makes a block's samples, the first of them at `position`, into the payload of one binary message. `message` is
  /// emptied first.
  func encode(_ samples: [Int16], at position: Position, into message: inout [UInt8])
  /// Bytes that `encode` puts in front of the samples.
  var audioHeaderBytes: Int { get }
  /// Whether the server is sent markers, and the message for one.
  var sendsMarkers: Bool { get }
  func message(for marker: StreamMarker) -> DialectMessage?
  /// A text of the dialplan for the server.
  func message(text: String) -> DialectMessage
  /// What a text message of the server means.
  func understand(_ text: String) -> ServerMessage
  /// Sent when all audio has been, before the Close frame; `position` is the stream's end.
  func ending(_ stream: StreamDescription, position: Position, reason: String) -> [DialectMessage]
}

extension Dialect {
  /// None: any first refusal may be true only for the moment.
  package var finalAnswers: [Int] { [] }
}
