// SPDX-License-Identifier: Apache-2.0
internal import AudioForkBytes
package import AudioForkMedia
internal import AudioForkSurface

/// `w(raw)`, the default: binary messages of s16le samples and nothing else, so that servers written for the original
/// AudioFork work unchanged. What there is to say about the call stands in the request's headers. A server that wants to
/// hear more gets the user's first and last text.
package struct RawDialect: DialectSession {
  private let encoding: SampleEncoding
  private let firstText: String
  private let lastText: String

  package init(_ connection: ConnectionDescription) {
    encoding = connection.stream.encoding
    firstText = connection.stream.firstText
    lastText = connection.stream.lastText
  }

  package static func prepare(_ request: inout DialectRequest, for connection: ConnectionDescription) {
    // The original offers it; servers may rely on it.
    request.subprotocols = ["echo"]
    request.headers = describe(connection.stream)
    request.headers.append(DialectHeader("AudioFork-Position", String(connection.position.frames)))
    request.headers.append(DialectHeader("AudioFork-Connection", String(connection.number)))
  }

  /// The call and its audio as header fields.
  static func describe(_ stream: StreamDescription) -> [DialectHeader] {
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

  private static func queryEscaped(_ bytes: Bytes) -> String {
    String(decoding: percentEncoded(bytes, keeping: EndpointURL.isUnreserved), as: UTF8.self)
  }

  package mutating func opened(now: MonotonicTime, into output: inout DialectOutput) {
    if !firstText.isEmpty { output.text(firstText) }
  }

  package mutating func audio(_ block: AudioBlock, now: MonotonicTime, into output: inout DialectOutput) {
    output.binary(audioBytes: block.samples.count &* encoding.bytesPerSample) { message in
      encoding.append(block.samples, to: &message)
    }
  }

  package mutating func text(_ text: String, into output: inout DialectOutput) { output.text(text) }

  package mutating func finish(
    at position: Position, reason: String, now: MonotonicTime, into output: inout DialectOutput
  ) {
    if !lastText.isEmpty { output.text(lastText) }
  }

  package mutating func received(_ message: ServerMessage, now: MonotonicTime, into output: inout DialectOutput) {
    if case .text(let text) = message { output.act(.text(text)) }
  }
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
