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
  package var ponged = EndpointSet()

  /// Endpoints that have accepted the fork; nil: an earlier release did not save them.
  package var accepted: EndpointSet?
  /// The outage in which the fork is; nil: there is none, or an earlier release did not save it.
  package var outage: SavedOutage?
  /// For each endpoint: connections in a row that ended because it did not answer. Empty, or the last is not 0.
  package var silences: [UInt8] = []

  private static let version: UInt8 = 8
  /// Versions of earlier releases: `ponged` has one word, or a byte with the number of its words first. Both lack
  /// `accepted` and `outage`.
  private static let versionOfOneWord: UInt8 = 6
  private static let versionOfWords: UInt8 = 7
  /// Bits of the byte before an outage and the silences.
  private enum OutageBit {
    static let isPresent: UInt8 = 1
    static let hasEmptyClose: UInt8 = 2
    static let isConnected: UInt8 = 4
    /// Silences follow, also where no outage is present.
    static let hasSilences: UInt8 = 8
  }
  /// Silences of endpoints from this index on are not saved.
  private static let silencesMax = 255
  private static let attemptsMax: UInt64 = 1 << 32

  package init() {}

  /// Version, six numbers, `ponged`, `accepted`, the outage, the silences, two lists of ranges, then the checkpoint;
  /// little-endian. A set of endpoints is a byte with the number of its words, and the words. An outage is a byte of
  /// `OutageBit`, then attempts, beginning and the times that the byte names. Silences are a byte with their number,
  /// and a byte for each. The cursor file adds the checksum.
  package func encode() -> [UInt8] {
    var encoded: [UInt8] = [CursorRecord.version]
    for number in [UInt64(bitPattern: completedAt.nanoseconds), connections, bytes, textsDropped, gaps, skipped] {
      encoded.append(littleEndian: number)
    }
    for endpoints in [ponged, accepted ?? EndpointSet()] {
      encoded.append(UInt8(clamping: endpoints.words.count))
      for word in endpoints.words { encoded.append(littleEndian: word) }
    }
    encode(outage, silences.prefix(CursorRecord.silencesMax), into: &encoded)
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

  private func encode(_ outage: SavedOutage?, _ silences: ArraySlice<UInt8>, into encoded: inout [UInt8]) {
    var bits: UInt8 = silences.isEmpty ? 0 : OutageBit.hasSilences
    if outage != nil { bits |= OutageBit.isPresent }
    if outage?.emptyCloseAt != nil { bits |= OutageBit.hasEmptyClose }
    if outage?.connectedSince != nil { bits |= OutageBit.isConnected }
    encoded.append(bits)
    if let outage {
      encoded.append(littleEndian: min(UInt64(clamping: outage.attempts), CursorRecord.attemptsMax))
      for time in [outage.began, outage.emptyCloseAt, outage.connectedSince] {
        if let time { encoded.append(littleEndian: UInt64(bitPattern: time.nanoseconds)) }
      }
    }
    guard !silences.isEmpty else { return }
    encoded.append(UInt8(clamping: silences.count))
    encoded += silences
  }

  /// Decodes a record. Nil if `encode` cannot have written these bytes: the fork then starts again with what the ring
  /// holds.
  package init?(decoding bytes: [UInt8]) {
    var reader = LittleEndianReader(bytes)
    guard let version = reader.next8(), let completed = reader.next64(), let connections = reader.next64(),
      let count = reader.next64(), let dropped = reader.next64(), let gaps = reader.next64(),
      let skipped = reader.next64(), let ponged = CursorRecord.ponged(&reader, version),
      let passing = CursorRecord.passing(&reader, version), let gapsIn = CursorRecord.gaps(&reader),
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
    // A fork that was connected has an endpoint that has accepted it: an empty set stands for an unknown one.
    accepted = passing.accepted?.words.isEmpty == true && connections > 0 ? nil : passing.accepted
    outage = passing.outage
    silences = passing.silences
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

  private static func ponged(_ reader: inout LittleEndianReader, _ version: UInt8) -> EndpointSet? {
    switch version {
    case CursorRecord.versionOfOneWord: return reader.next64().map { EndpointSet(words: [$0]) }
    case CursorRecord.versionOfWords, CursorRecord.version: return endpoints(&reader)
    default: return nil
    }
  }

  private static func endpoints(_ reader: inout LittleEndianReader) -> EndpointSet? {
    guard let count = reader.next8() else { return nil }
    var words: [UInt64] = []
    for _ in 0..<count {
      guard let word = reader.next64() else { return nil }
      words.append(word)
    }
    return words.last == 0 ? nil : EndpointSet(words: words)
  }

  /// What records of earlier releases lack.
  private struct Passing {
    var accepted: EndpointSet?
    var outage: SavedOutage?
    var silences: [UInt8] = []
  }

  /// Returns nil if this is no record.
  private static func passing(_ reader: inout LittleEndianReader, _ version: UInt8) -> Passing? {
    guard version == CursorRecord.version else { return Passing() }
    guard let accepted = endpoints(&reader), let bits = reader.next8(), bits < 16 else { return nil }
    var passing = Passing(accepted: accepted)
    if bits & OutageBit.isPresent != 0 {
      guard let outage = outage(&reader, bits) else { return nil }
      passing.outage = outage
    } else if bits & ~OutageBit.hasSilences != 0 {
      return nil
    }
    guard bits & OutageBit.hasSilences != 0 else { return passing }
    guard let count = reader.next8(), count > 0 else { return nil }
    for _ in 0..<count {
      guard let silences = reader.next8() else { return nil }
      passing.silences.append(silences)
    }
    return passing.silences.last == 0 ? nil : passing
  }

  private static func outage(_ reader: inout LittleEndianReader, _ bits: UInt8) -> SavedOutage? {
    guard let attempts = reader.next64(), attempts <= attemptsMax, let began = time(&reader) else { return nil }
    var outage = SavedOutage(attempts: Int(clamping: attempts), began: began)
    if bits & OutageBit.hasEmptyClose != 0 {
      guard let time = time(&reader) else { return nil }
      outage.emptyCloseAt = time
    }
    if bits & OutageBit.isConnected != 0 {
      guard let time = time(&reader) else { return nil }
      outage.connectedSince = time
    }
    return outage
  }

  private static func time(_ reader: inout LittleEndianReader) -> MonotonicTime? {
    reader.next64().map { MonotonicTime(nanoseconds: Int64(bitPattern: $0)) }
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
