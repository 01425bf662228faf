// SPDX-License-Identifier: Apache-2.0
package import AudioForkCore

/// What a fork's cursor file keeps: the confirmed checkpoint and the totals that are not in it.
package struct CursorRecord: Equatable, Sendable {
  /// Where the next engine goes on.
  package var checkpoint: Checkpoint?
  /// When the last block before the checkpoint became decidable, nanoseconds since the epoch.
  package var completedAt: Int64 = 0
  /// Connections that were opened so far.
  package var connections: UInt64 = 0
  /// Audio bytes written to sockets so far.
  package var bytes: UInt64 = 0
  /// Captured samples up to which gaps have been reported, per direction.
  package var reportedIn: UInt64 = 0
  package var reportedOut: UInt64 = 0
  /// Text messages of the server that were dropped so far.
  package var textsDropped: UInt64 = 0

  private static let version: UInt8 = 2
  private static let headerBytes = 1 + 6 * 8

  package init() {}

  /// Version, six numbers, then the checkpoint; little-endian. The cursor file adds the checksum.
  package func encode() -> [UInt8] {
    var bytes: [UInt8] = [CursorRecord.version]
    for number in [UInt64(bitPattern: completedAt), connections, self.bytes, reportedIn, reportedOut, textsDropped] {
      for shift in stride(from: 0 as UInt64, to: 64, by: 8) {
        bytes.append(UInt8(truncatingIfNeeded: number &>> shift))
      }
    }
    if let checkpoint { bytes += checkpoint.encode() }
    return bytes
  }

  /// Nil for bytes that `encode` cannot have written: the fork then starts anew from what the ring holds.
  package init?(decoding bytes: [UInt8]) {
    guard bytes.count >= CursorRecord.headerBytes, bytes[0] == CursorRecord.version else { return nil }
    func number(_ index: Int) -> UInt64 {
      (0..<8).reversed().reduce(0) { $0 &<< 8 | UInt64(bytes[1 + index * 8 + $1]) }
    }
    completedAt = Int64(bitPattern: number(0))
    guard completedAt >= 0, completedAt <= RenderLimit.timeMaxNanoseconds else { return nil }
    connections = number(1)
    self.bytes = number(2)
    reportedIn = number(3)
    reportedOut = number(4)
    textsDropped = number(5)
    let rest = Array(bytes[CursorRecord.headerBytes...])
    if !rest.isEmpty {
      guard let checkpoint = Checkpoint(decoding: rest) else { return nil }
      self.checkpoint = checkpoint
    }
  }
}
