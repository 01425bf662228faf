// SPDX-License-Identifier: Apache-2.0
internal import AudioForkBytes
package import AudioForkMedia

/// What stands in a spool file: entries of a ring, each with its number, in order.
package enum SpooledEntry: Equatable, Sendable {
  case audio(CapturedEntry)
  case digit(CapturedDigit)
}

/// Entries of a ring as bytes of a spool file (docs/internals/spool.md): little-endian, a checksum over each, so that
/// what a crash left half written ends the file and does no harm.
package enum SpoolRecord {
  /// Of a record, before its samples.
  package static let headerBytes = 64
  /// More than the longest entry of a ring takes.
  package static let bytesMax = headerBytes + 2 * RenderLimit.entrySamplesMax

  private static let audio: UInt8 = 1
  private static let digit: UInt8 = 3

  /// Appends an entry with the first `entry.count` of `samples`.
  package static func append(_ entry: CapturedEntry, samples: [Int16], to bytes: inout [UInt8]) {
    let count = min(entry.count, samples.count, RenderLimit.entrySamplesMax)
    let start = begin(entry.sequence, &bytes)
    bytes.append(littleEndian: entry.runStart.nanoseconds)
    bytes.append(littleEndian: entry.runIndex)
    bytes.append(littleEndian: entry.arrival.nanoseconds)
    bytes.append(littleEndian: entry.captured)
    bytes.append(
      littleEndian: UInt64(UInt32(clamping: entry.rateHertz)) | UInt64(count) << 32 | UInt64(audio) << 48
        | UInt64(entry.direction.rawValue) << 56)
    let flags: UInt8 =
      (entry.startsRun ? 1 : 0) | (entry.isMuted ? 2 : 0) | (entry.isAhead ? 4 : 0) | (entry.hasMore ? 8 : 0)
    bytes.append(littleEndian: UInt64(flags))
    bytes.append(littleEndian: samples[0..<count])
    end(start, &bytes)
  }

  /// Appends a digit.
  package static func append(_ digit: CapturedDigit, sequence: UInt64, to bytes: inout [UInt8]) {
    let start = begin(sequence, &bytes)
    for _ in 0..<3 { bytes.append(littleEndian: 0 as UInt64) }
    bytes.append(littleEndian: digit.milliseconds)
    bytes.append(littleEndian: UInt64(SpoolRecord.digit) << 48 | UInt64(digit.direction.rawValue) << 56)
    bytes.append(littleEndian: UInt64(digit.digit) << 8)
    end(start, &bytes)
  }

  private static func begin(_ sequence: UInt64, _ bytes: inout [UInt8]) -> Int {
    let start = bytes.count
    bytes.append(littleEndian: 0 as UInt64)
    bytes.append(littleEndian: sequence)
    return start
  }

  /// Length and checksum, once the rest is there.
  private static func end(_ start: Int, _ bytes: inout [UInt8]) {
    let length = UInt32(truncatingIfNeeded: bytes.count - start)
    let sum = checksum(bytes, start + 8..<bytes.count, length)
    bytes.replace(at: start, littleEndian: length)
    bytes.replace(at: start + 4, littleEndian: sum)
  }

  /// A record that stands in `bytes` at `offset`.
  package struct Found: Equatable, Sendable {
    package let sequence: UInt64
    /// Bytes of the record.
    package let length: Int
  }

  /// The record at `offset`; nil where there is no whole one.
  package static func find(in bytes: [UInt8], at offset: Int) -> Found? {
    guard offset >= 0, bytes.count - offset >= headerBytes else { return nil }
    let first = LittleEndian.read64(bytes, at: offset)
    let length = Int(first & 0xFFFF_FFFF)
    guard length >= headerBytes, length <= bytesMax, length <= bytes.count - offset,
      checksum(bytes, offset + 8..<offset + length, UInt32(length)) == UInt32(first &>> 32)
    else { return nil }
    return Found(sequence: LittleEndian.read64(bytes, at: offset + 8), length: length)
  }

  /// What a found record says; its samples go into `samples`, which only grows. Nil for one that no spool writes.
  package static func decode(
    _ found: Found, in bytes: [UInt8], at offset: Int, into samples: inout [Int16]
  ) -> SpooledEntry? {
    let facts = LittleEndian.read64(bytes, at: offset + 48)
    guard let direction = Direction(rawValue: UInt8(truncatingIfNeeded: facts &>> 56)) else { return nil }
    let flags = LittleEndian.read64(bytes, at: offset + 56)
    if UInt8(truncatingIfNeeded: facts &>> 48) == digit {
      let key = UInt8(truncatingIfNeeded: flags &>> 8)
      guard CapturedDigit.digits.contains(key) else { return nil }
      return .digit(
        CapturedDigit(direction: direction, digit: key, milliseconds: LittleEndian.read64(bytes, at: offset + 40)))
    }
    let count = Int(facts &>> 32 & 0xFFFF)
    let rate = Int(facts & 0xFFFF_FFFF)
    guard UInt8(truncatingIfNeeded: facts &>> 48) == audio, count > 0, found.length == headerBytes + 2 * count,
      rate >= RenderLimit.rateHertzMin, rate <= RenderLimit.rateHertzMax
    else { return nil }
    if samples.count < count { samples.append(contentsOf: repeatElement(0, count: count - samples.count)) }
    var at = offset + headerBytes
    for index in 0..<count {
      samples[index] = Int16(bitPattern: UInt16(bytes[at]) | UInt16(bytes[at + 1]) << 8)
      at += 2
    }
    return .audio(
      CapturedEntry(
        sequence: found.sequence, direction: direction, rateHertz: rate, count: count,
        runStart: StreamTime(nanoseconds: Int64(bitPattern: LittleEndian.read64(bytes, at: offset + 16))),
        runIndex: LittleEndian.read64(bytes, at: offset + 24),
        arrival: StreamTime(nanoseconds: Int64(bitPattern: LittleEndian.read64(bytes, at: offset + 32))),
        captured: LittleEndian.read64(bytes, at: offset + 40),
        startsRun: flags & 1 != 0, isMuted: flags & 2 != 0, isAhead: flags & 4 != 0, hasMore: flags & 8 != 0))
  }

  /// FNV-1a, 32 bits, over what follows it and the length: against torn writes, not attackers.
  private static func checksum(_ bytes: [UInt8], _ range: Range<Int>, _ length: UInt32) -> UInt32 {
    FNV1a.sum(bytes[range], from: FNV1a.start32 ^ length)
  }
}
