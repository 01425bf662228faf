// SPDX-License-Identifier: Apache-2.0
package import AudioForkCore
package import AudioForkOptions

/// What a server may want to know about the stream that it is offered.
package struct StreamDescription: Sendable, Equatable {
  package var forkID: String
  /// The channel's name when the fork began.
  package var channel: String
  package var uniqueID: String
  package var linkedID: String
  package var direction: ForkDirection
  /// Name of the audio format, in Asterisk's words: `slin` is signed 16-bit little-endian at 8 kHz.
  package var format = "slin"
  package var rateHertz = 8000
  package var channelCount = 1

  /// What `s()` gave.
  package var parameters: [RequestField] = []
  /// When the fork began, milliseconds since 1970 (UTC): the time of position 0.
  package var epochMilliseconds: Int64 = 0
  /// What only the fork and its servers know, the same for all of the fork's life; empty where there is none. Not for
  /// logs.
  package var secret = ""
  /// What an acknowledgement has to say where the dialect knows any.
  package var acknowledgement = AcknowledgementLevel.received

  package init(forkID: String, channel: String, uniqueID: String, linkedID: String, direction: ForkDirection) {
    self.forkID = forkID
    self.channel = channel
    self.uniqueID = uniqueID
    self.linkedID = linkedID
    self.direction = direction
  }
}

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

/// What a server has done with audio that it acknowledges.
package enum AcknowledgementLevel: String, Sendable, CaseIterable, Comparable {
  /// It has taken it: it survives the connection, and the server's process as far as the server can say.
  case received
  /// It is on the disk: it survives a crash of the machine.
  case persisted

  package static func < (first: Self, second: Self) -> Bool { first == .received && second == .persisted }
}

/// Something about the stream that is no audio.
package enum StreamNote: Sendable, Equatable {
  /// Captured samples that the stream lacks.
  case gap(Gap)
  /// A direction has no audio in these sample frames: zeros stand there, or the other direction alone.
  case fill(Direction, position: Position, frames: UInt64)
  /// A direction is muted in these sample frames.
  case mute(Direction, position: Position, frames: UInt64)
  /// A digit was pressed; `milliseconds` long.
  case digit(Direction, position: Position, digit: UInt8, milliseconds: UInt64)
}

/// What a server's text message means.
package enum ServerWord: Sendable, Equatable {
  /// For the dialplan.
  case text(String)
  /// Answer to the opening: the server has the stream up to this position.
  case resume(Position)
  /// The server has the stream up to this position.
  case acknowledged(Position, AcknowledgementLevel)
  /// Nothing that concerns us.
  case ignored
  /// Not what the dialect allows; what it is, for the log and the Close frame.
  case nonsense(String)
}

/// A wire protocol on top of WebSocket: what the request says, what is said before, beside and after the audio, and how
/// a block of audio becomes a message. Without I/O and without state.
package protocol Dialect: Sendable {
  /// Sub-protocols to offer, in order of preference.
  var subprotocols: [String] { get }
  /// Whether a server has to select one of them.
  var needsSubprotocol: Bool { get }
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
  /// Whether the server is told notes, and the message for one.
  var tellsNotes: Bool { get }
  func message(for note: StreamNote) -> DialectMessage?
  /// A text of the dialplan for the server.
  func message(text: String) -> DialectMessage
  /// What a text message of the server means.
  func understand(_ text: String) -> ServerWord
  /// Sent when all audio has been, before the Close frame; `position` is the stream's end.
  func ending(_ stream: StreamDescription, position: Position, reason: String) -> [DialectMessage]
}
