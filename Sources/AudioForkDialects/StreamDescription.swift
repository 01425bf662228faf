// SPDX-License-Identifier: Apache-2.0
package import AudioForkMedia
package import AudioForkSurface

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
  /// How samples are written.
  package var encoding = SampleEncoding.linear

  /// Texts for the server before any audio of each connection, and behind the last audio; empty: none. Not for logs.
  package var firstText = ""
  package var lastText = ""
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

  /// The description for a server of another origin: without the fork's secret, the user's texts, which may hold one,
  /// and parameters whose names speak of one.
  package var withoutSecrets: StreamDescription {
    var description = self
    description.secret = ""
    description.firstText = ""
    description.lastText = ""
    description.parameters.removeAll { EndpointURL.isSecretName($0.name) }
    return description
  }
}

/// What a dialect knows of a connection.
package struct ConnectionDescription: Sendable, Equatable {
  package var stream: StreamDescription
  /// Which connection of the fork it is: 1 for the first, over all engines. An attempt that fails has the number of the
  /// connection that it would have been.
  package var number: UInt64
  /// Position of the first frame that this connection carries, unless the server asks for another one.
  package var position: Position

  package init(_ stream: StreamDescription, number: UInt64 = 1, position: Position = .zero) {
    self.stream = stream
    self.number = number
    self.position = position
  }

  /// The description for a server of another origin (`StreamDescription.withoutSecrets`).
  package var withoutSecrets: ConnectionDescription {
    var description = self
    description.stream = stream.withoutSecrets
    return description
  }
}
