// SPDX-License-Identifier: Apache-2.0
internal import AudioForkBytes
package import AudioForkMedia

/// The content of a fork's cursor file: the confirmed checkpoint and totals that the checkpoint does not contain.
package struct CursorRecord: Equatable, Sendable {
  /// The confirmed place in the stream, where the next engine continues.
  package var checkpoint: Checkpoint?
  /// When the last block before the checkpoint became decidable.
  package var completedAt = StreamTime.zero
  /// Connections opened so far.
  package var connections: UInt64 = 0
  /// Audio bytes written to sockets so far.
  package var bytes: UInt64 = 0
  /// Text messages of the server dropped so far.
  package var textsDropped: UInt64 = 0
  /// Number of gaps reported so far. A replay does not count a gap again.
  package var gaps: UInt64 = 0
  /// Reported gaps that a replay could find again, per direction.
  package var reportedIn = ReportedGaps()
  package var reportedOut = ReportedGaps()

  /// Captured samples that were sent, not confirmed before a break, and not sent again. They lie before the checkpoint,
  /// which counts them as rendered.
  package var skipped: UInt64 = 0

  /// Endpoints that have answered a ping: what their kernels acknowledge confirms nothing.
  package var ponged = PongedEndpoints()

  private static let version: UInt8 = 6
  /// The version of a record with more words of `ponged` than one, which only a fork with more than 64 URLs needs.
  private static let versionOfManyEndpoints: UInt8 = 7

  package init() {}

  /// Version, six numbers, the words of `ponged`, two lists of ranges, then the checkpoint; little-endian. Version 6
  /// has one word of `ponged`, version 7 a byte with their number first. The cursor file adds the checksum.
  package func encode() -> [UInt8] {
    let hasManyEndpoints = ponged.words.count > 1
    var encoded: [UInt8] = [hasManyEndpoints ? CursorRecord.versionOfManyEndpoints : CursorRecord.version]
    for number in [UInt64(bitPattern: completedAt.nanoseconds), connections, bytes, textsDropped, gaps, skipped] {
      encoded.append(littleEndian: number)
    }
    if hasManyEndpoints {
      encoded.append(UInt8(clamping: ponged.words.count))
      for word in ponged.words { encoded.append(littleEndian: word) }
    } else {
      encoded.append(littleEndian: ponged.words.first ?? 0)
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

  /// Decodes a record. Nil if `encode` cannot have written these bytes: the fork then starts again with what the ring
  /// holds.
  package init?(decoding bytes: [UInt8]) {
    var reader = LittleEndianReader(bytes)
    guard let version = reader.next8(), let completed = reader.next64(), let connections = reader.next64(),
      let count = reader.next64(), let dropped = reader.next64(), let gaps = reader.next64(),
      let skipped = reader.next64(), let ponged = CursorRecord.ponged(&reader, version),
      let gapsIn = CursorRecord.gaps(&reader),
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

  private static func ponged(_ reader: inout LittleEndianReader, _ version: UInt8) -> PongedEndpoints? {
    switch version {
    case CursorRecord.version: return reader.next64().map { PongedEndpoints(words: [$0]) }
    case CursorRecord.versionOfManyEndpoints:
      guard let count = reader.next8(), count > 1 else { return nil }
      var words: [UInt64] = []
      for _ in 0..<count {
        guard let word = reader.next64() else { return nil }
        words.append(word)
      }
      return words.last == 0 ? nil : PongedEndpoints(words: words)
    default: return nil
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
