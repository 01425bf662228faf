// SPDX-License-Identifier: Apache-2.0
internal import AudioForkOptions

/// `w(raw)`, the default: binary messages of s16le samples and nothing else, so that servers written for the original
/// AudioFork work unchanged. What there is to say about the call stands in the request's headers.
package struct RawDialect: Dialect {
  package init() {}

  /// The original offers `echo`; servers may rely on it.
  package var subprotocols: [String] { ["echo"] }

  package func requestHeaders(_ stream: StreamDescription) -> [(name: String, value: String)] {
    [
      ("AudioFork-ID", stream.forkID),
      ("AudioFork-Channel", stream.channel),
      ("AudioFork-UniqueID", stream.uniqueID),
      ("AudioFork-LinkedID", stream.linkedID),
      ("AudioFork-Direction", stream.direction.word.description),
      ("AudioFork-Format", stream.format),
      ("AudioFork-Rate", String(stream.rateHertz)),
      ("AudioFork-Channels", String(stream.channelCount)),
    ]
  }

  package func opening(_ stream: StreamDescription) -> [DialectMessage] { [] }

  package func encode(_ samples: [Int16], into message: inout [UInt8]) {
    message.removeAll(keepingCapacity: true)
    message.reserveCapacity(samples.count * 2)
    for sample in samples {
      message.append(UInt8(truncatingIfNeeded: sample))
      message.append(UInt8(truncatingIfNeeded: sample &>> 8))
    }
  }

  package func ending(_ stream: StreamDescription) -> [DialectMessage] { [] }
}
