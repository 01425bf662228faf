// SPDX-License-Identifier: Apache-2.0
internal import AudioForkBytes
package import AudioForkMedia
package import AudioForkSurface

/// `w(raw)`, the default: binary messages of s16le samples and nothing else, so that servers written for the original
/// AudioFork work unchanged. What there is to say about the call stands in the request's headers.
package struct RawDialect: Dialect {
  private let encoding: SampleEncoding

  package init(encoding: SampleEncoding = .linear) { self.encoding = encoding }

  /// The original offers `echo`; servers may rely on it.
  package var subprotocols: [String] { ["echo"] }

  package func requestHeaders(_ stream: StreamDescription) -> [DialectHeader] {
    var headers = [
      DialectHeader("AudioFork-ID", stream.forkID),
      DialectHeader("AudioFork-Channel", stream.channel),
      DialectHeader("AudioFork-UniqueID", stream.uniqueID),
      DialectHeader("AudioFork-LinkedID", stream.linkedID),
      DialectHeader("AudioFork-Direction", stream.direction.word.description),
      DialectHeader("AudioFork-Format", stream.format),
      DialectHeader("AudioFork-Rate", String(stream.rateHertz)),
      DialectHeader("AudioFork-Channels", String(stream.channelCount)),
    ]
    if !stream.parameters.isEmpty {
      // As in a URL's query, so that an ampersand in a value is no separator.
      let pairs = stream.parameters.map { "\(queryEscaped($0.name))=\(queryEscaped($0.value))" }
      headers.append(DialectHeader("AudioFork-Parameters", pairs.joined(separator: "&"), isEncoded: true))
    }
    return headers
  }

  private func queryEscaped(_ bytes: Bytes) -> String {
    String(decoding: percentEncoded(bytes, keeping: EndpointURL.isUnreserved), as: UTF8.self)
  }

  package var needsSubprotocol: Bool { false }
  package var awaitsResume: Bool { false }
  package var sendsMarkers: Bool { false }
  package var audioHeaderBytes: Int { 0 }

  package func opening(_ stream: StreamDescription, position: Position) -> [DialectMessage] { [] }

  package func encode(_ samples: [Int16], at position: Position, into message: inout [UInt8]) {
    message.removeAll(keepingCapacity: true)
    encoding.append(samples, to: &message)
  }

  package func message(for marker: StreamMarker) -> DialectMessage? { nil }
  package func message(text: String) -> DialectMessage { .text(text) }
  package func understand(_ text: String) -> ServerMessage { .text(text) }
  package func ending(_ stream: StreamDescription, position: Position, reason: String) -> [DialectMessage] { [] }
}

extension SampleEncoding {
  /// Appends samples as they go over the wire.
  func append(_ samples: [Int16], to message: inout [UInt8]) {
    message.reserveCapacity(message.count + samples.count * bytesPerSample)
    switch self {
    case .linear:
      #if _endian(little)
        unsafe samples.withUnsafeBytes { unsafe message.append(contentsOf: $0) }
      #else
        for sample in samples {
          message.append(UInt8(truncatingIfNeeded: sample))
          message.append(UInt8(truncatingIfNeeded: sample &>> 8))
        }
      #endif
    case .muLaw: for sample in samples { message.append(G711.muLaw(sample)) }
    case .aLaw: for sample in samples { message.append(G711.aLaw(sample)) }
    }
  }
}
