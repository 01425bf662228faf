// SPDX-License-Identifier: Apache-2.0
internal import AudioForkBytes
package import AudioForkMedia

/// What a fork's cursor file keeps: the confirmed checkpoint and the totals that are not in it.
package struct CursorRecord: Equatable, Sendable {
  /// Where the next engine goes on.
  package var checkpoint: Checkpoint?
  /// When the last block before the checkpoint became decidable.
  package var completedAt = StreamTime.zero
  /// Connections that were opened so far.
  package var connections: UInt64 = 0
  /// Audio bytes written to sockets so far.
  package var bytes: UInt64 = 0
  /// Text messages of the server that were dropped so far.
  package var textsDropped: UInt64 = 0
  /// Gaps reported so far: a replay that meets one again does not count it again.
  package var gaps: UInt64 = 0
  /// Gaps that have been reported and that a replay could find again, per direction.
  package var reportedIn = ReportedGaps()
  package var reportedOut = ReportedGaps()

  /// Captured samples that were sent, not confirmed before a break and not sent again; all lie before the checkpoint,
  /// which counts them as rendered.
  package var skipped: UInt64 = 0

  /// Endpoints that have answered a ping, a bit each: their kernels' word is not taken for theirs.
  package var ponged: UInt64 = 0

  private static let version: UInt8 = 6

  package init() {}

  /// Version, seven numbers, two lists of ranges, then the checkpoint; little-endian. The cursor file adds the
  /// checksum.
  package func encode() -> [UInt8] {
    var encoded: [UInt8] = [CursorRecord.version]
    for number in [
      UInt64(bitPattern: completedAt.nanoseconds), connections, bytes, textsDropped, gaps, skipped, ponged,
    ] {
      encoded.append(littleEndian: number)
    }
    for gaps in [reportedIn, reportedOut] {
      encoded.append(UInt8(clamping: gaps.ranges.count))
      for range in gaps.ranges {
        encoded.append(littleEndian: range.lowerBound)
        encoded.append(littleEndian: range.upperBound)
      }
    }
    if let checkpoint { encoded += checkpoint.encode() }
    return encoded
  }

  /// Nil for bytes that `encode` cannot have written: the fork then starts anew from what the ring holds.
  package init?(decoding bytes: [UInt8]) {
    var reader = LittleEndianReader(bytes)
    guard reader.next8() == CursorRecord.version, let completed = reader.next64(),
      let connections = reader.next64(), let count = reader.next64(),
      let dropped = reader.next64(), let gaps = reader.next64(),
      let skipped = reader.next64(), let ponged = reader.next64(), let gapsIn = CursorRecord.gaps(&reader),
      let gapsOut = CursorRecord.gaps(&reader)
    else { return nil }
    completedAt = StreamTime(nanoseconds: Int64(bitPattern: completed))
    guard completedAt >= .zero, completedAt <= RenderLimit.timeMax else { return nil }
    self.connections = connections
    self.bytes = count
    textsDropped = dropped
    self.gaps = gaps
    self.skipped = skipped
    self.ponged = ponged
    reportedIn = gapsIn
    reportedOut = gapsOut
    if !reader.isAtEnd {
      guard let checkpoint = try? Checkpoint(decoding: reader.rest), skipped <= checkpoint.counters.rendered
      else { return nil }
      self.checkpoint = checkpoint
    } else if skipped > 0 {
      return nil
    }
  }

  private static func gaps(_ reader: inout LittleEndianReader) -> ReportedGaps? {
    guard let count = reader.next8(), Int(count) <= ReportedGaps.rangesMax else { return nil }
    var ranges: [Range<UInt64>] = []
    for _ in 0..<count {
      guard let lower = reader.next64(), let upper = reader.next64(), lower < upper else { return nil }
      ranges.append(lower..<upper)
    }
    return ReportedGaps(ranges)
  }
}
