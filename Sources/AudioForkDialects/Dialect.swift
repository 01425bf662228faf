// SPDX-License-Identifier: Apache-2.0
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

/// A wire protocol on top of WebSocket: what the request says, what is said before and after the audio, and how a
/// block of audio becomes a message. Without I/O.
package protocol Dialect: Sendable {
  /// Sub-protocols to offer, in order of preference.
  var subprotocols: [String] { get }
  /// Fields for the upgrade request.
  func requestHeaders(_ stream: StreamDescription) -> [DialectHeader]
  /// Sent on each new connection, before any audio.
  func opening(_ stream: StreamDescription) -> [DialectMessage]
  /// Makes a block's samples into the payload of one binary message. `message` is emptied first.
  func encode(_ samples: [Int16], into message: inout [UInt8])
  /// Sent when all audio has been, before the Close frame.
  func ending(_ stream: StreamDescription) -> [DialectMessage]
}
