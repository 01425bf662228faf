// SPDX-License-Identifier: Apache-2.0
internal import AudioForkWebSocket
internal import NIOCore

/// A connection without a protocol of ours: binary messages are audio, text messages are only shown.
struct RawStream: StreamProtocol {
  var partialBytes: Int { 0 }
  var duplicates: UInt64 { 0 }

  mutating func binary(
    _ bytes: ByteBuffer, endsMessage: Bool, file: inout FileWriter
  ) throws(ProtocolViolation) -> [StreamAction] {
    file.append(bytes)
    return []
  }

  mutating func text(_ text: String, file: inout FileWriter) throws(ProtocolViolation) -> [StreamAction] {
    [.text(text)]
  }

  mutating func dropPartial() {}

  func resumed(at position: UInt64) -> String? { nil }
  func written(upTo position: UInt64) -> String? { nil }
  func synced(upTo position: UInt64) -> String? { nil }
}
