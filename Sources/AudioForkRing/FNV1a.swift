// SPDX-License-Identifier: Apache-2.0

/// The checksum FNV-1a, against torn writes of our own files and not against attackers.
enum FNV1a {
  static let start32: UInt32 = 0x811C_9DC5
  static let start64: UInt64 = 0xCBF2_9CE4_8422_2325

  /// The sum of 32 bits over these bytes, continued from another sum.
  static func sum(_ bytes: some Sequence<UInt8>, from start: UInt32) -> UInt32 {
    bytes.reduce(start) { ($0 ^ UInt32($1)) &* 0x0100_0193 }
  }

  /// The sum of 64 bits over these bytes, continued from another sum.
  static func sum(_ bytes: some Sequence<UInt8>, from start: UInt64) -> UInt64 {
    bytes.reduce(start) { ($0 ^ UInt64($1)) &* 0x0000_0100_0000_01B3 }
  }
}
