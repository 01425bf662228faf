// SPDX-License-Identifier: Apache-2.0
internal import AudioForkWebSocket
internal import NIOCore

/// What the messages of one connection mean: `RawStream` or `V1Stream`. Without I/O and clock; it appends audio to the
/// connection's file.
///
/// Messages come only while the input is not over. A violation ends the connection.
protocol StreamProtocol: Sendable {
  /// Bytes of a message that has not come in full.
  var partialBytes: Int { get }
  /// Sample frames that came although the file had them already.
  var duplicates: UInt64 { get }

  /// Bytes of a binary message; its last ones if `endsMessage`.
  mutating func binary(
    _ bytes: ByteBuffer, endsMessage: Bool, file: inout FileWriter
  ) throws(ProtocolViolation) -> [StreamAction]
  /// A whole text message.
  mutating func text(_ text: String, file: inout FileWriter) throws(ProtocolViolation) -> [StreamAction]
  /// Forgets the message that has not come in full.
  mutating func dropPartial()

  /// The message that tells the client how far its file is: at the start, in the file, on the disk. Nil: there is none.
  func resumed(at position: UInt64) -> String?
  func written(upTo position: UInt64) -> String?
  func synced(upTo position: UInt64) -> String?
}
