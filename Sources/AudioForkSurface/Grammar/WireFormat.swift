// SPDX-License-Identifier: MIT
package import AudioForkBytes

/// How the samples of a stream are written in its messages.
package enum SampleEncoding: UInt8, Sendable, Equatable {
  /// Signed 16-bit, little-endian.
  case linear
  /// G.711 µ-law, one byte.
  case muLaw
  /// G.711 A-law, one byte.
  case aLaw

  /// Bytes of one sample.
  package var bytesPerSample: Int { self == .linear ? 2 : 1 }
}

/// `f(format)`: an audio format on the wire, by Asterisk's name for it.
package struct WireFormat: Sendable, Equatable {
  package let name: StaticString
  package let rateHertz: Int
  package let encoding: SampleEncoding

  /// The default: what the original sends.
  package static let slin = WireFormat(name: "slin", rateHertz: 8000, encoding: .linear)

  /// Every format, in the order of the documentation. All rates divide into blocks of 20 ms.
  package static let all: [WireFormat] = [
    slin,
    WireFormat(name: "slin12", rateHertz: 12_000, encoding: .linear),
    WireFormat(name: "slin16", rateHertz: 16_000, encoding: .linear),
    WireFormat(name: "slin24", rateHertz: 24_000, encoding: .linear),
    WireFormat(name: "slin32", rateHertz: 32_000, encoding: .linear),
    WireFormat(name: "slin44", rateHertz: 44_100, encoding: .linear),
    WireFormat(name: "slin48", rateHertz: 48_000, encoding: .linear),
    WireFormat(name: "ulaw", rateHertz: 8000, encoding: .muLaw),
    WireFormat(name: "alaw", rateHertz: 8000, encoding: .aLaw),
  ]

  /// The format with this name, case ignored; nil for another word.
  package static func named(_ name: Bytes) -> WireFormat? {
    all.first { equal(name, ignoringCase: $0.name) }
  }

  package static func == (left: WireFormat, right: WireFormat) -> Bool {
    left.rateHertz == right.rateHertz && left.encoding == right.encoding
  }
}
