// SPDX-License-Identifier: Apache-2.0
internal import AudioForkMedia
package import AudioForkRing

/// Knows which entries a spool holds: in its file, in the batches for the file, and in the cached page of the file. No
/// I/O: the owner writes batches and fetches pages.
package struct SpoolContents: Sendable {
  /// The result of `find`.
  package enum Lookup: Equatable, Sendable {
    case entry(SpooledEntry)
    /// The entry waits to be written, or is being written.
    case onItsWay
    /// The entry is in the file. Fetch the page at this offset, then call `find` again.
    case inFile(offset: Int)
    /// The spool does not have the entry. `next`: the first later one that it has; nil if there is none.
    case missing(next: UInt64?)
    /// The file does not hold what was written.
    case damaged
  }

  /// Bytes of a page: at least one whole record.
  package static let pageBytes = 2 * SpoolRecord.bytesMax

  /// The place of one entry in about each 64 KiB of the file.
  private var places: [SpoolFile.Place] = []
  /// Where the next batch is written.
  package private(set) var end = SpoolFile.headerBytes
  /// The last entry in the file.
  package private(set) var written: UInt64?
  /// The batch that is being written at `end`.
  private var writing: SpoolBatch?
  /// Entries that wait to be written behind it.
  package var waiting = SpoolBatch()
  /// The cached page of the file, and its offset there.
  private var page: [UInt8] = []
  private var pageStart = 0
  /// The place of the entry after the one found last, which is probably needed next.
  private var expected: SpoolFile.Place?

  package init() {}

  /// What is in a file that was just opened.
  package init(_ content: SpoolFile.Content) {
    places = content.places
    end = content.end
    written = content.lastSequence
  }

  /// The newest entry in the file or in a batch for it.
  package var newest: UInt64? { waiting.newest ?? writing?.newest ?? written }

  /// Whether the file has the entries from `oldest` on that are before `end`, as far as they could be read when they
  /// were copied. A file that was emptied begins anew with later entries.
  package func isWritten(from oldest: UInt64, before end: UInt64) -> Bool {
    guard let first = places.first?.sequence, let written else { return false }
    return first <= oldest && written &+ 1 >= end
  }

  /// Whether everything is in the file.
  package var isAllWritten: Bool { writing == nil && waiting.isEmpty }

  /// Whether nothing is in the file, or being written to it.
  package var isFileEmpty: Bool { writing == nil && written == nil }

  /// Bytes of the file's records.
  package var recordBytes: Int { end - SpoolFile.headerBytes }

  // MARK: - Changes

  /// Returns the waiting batch. It counts as being written at `end` from now on.
  package mutating func beginWriting() -> SpoolBatch {
    assert(writing == nil, "one batch is written at a time")
    let batch = waiting
    waiting = SpoolBatch()
    writing = batch
    return batch
  }

  /// The batch has been written.
  package mutating func writeSucceeded() {
    guard let batch = writing else { return }
    writing = nil
    for place in batch.places {
      let offset = end + place.offset
      guard places.last.map({ offset - $0.offset >= SpoolFile.placeSpacing }) ?? true else { continue }
      places.append(SpoolFile.Place(sequence: place.sequence, offset: offset))
    }
    end += batch.bytes.count
    written = batch.newest ?? written
  }

  /// The batch could not be written. Returns its bytes.
  package mutating func writeFailed() -> Int {
    defer { writing = nil }
    return writing?.bytes.count ?? 0
  }

  /// Forgets what is in the file. Batches for the file stay.
  package mutating func clearFile() {
    places = []
    end = SpoolFile.headerBytes
    written = nil
    page = []
    expected = nil
  }

  /// Caches the page at this offset. `bytes` is empty if it could not be read.
  package mutating func take(page bytes: [UInt8], at offset: Int) {
    page = bytes
    pageStart = offset
  }

  // MARK: - Looking for an entry

  /// Finds an entry. Its samples go to the front of `samples`, which only grows.
  package mutating func find(_ sequence: UInt64, into samples: inout [Int16]) -> Lookup {
    guard let newest, sequence <= newest else { return .missing(next: nil) }
    guard let written, sequence <= written else {
      let later =
        writing?.places.first { $0.sequence >= sequence } ?? waiting.places.first { $0.sequence >= sequence }
      guard let later else { return .missing(next: nil) }
      return later.sequence == sequence ? .onItsWay : .missing(next: later.sequence)
    }
    guard let first = places.first else { return .missing(next: nil) }
    guard sequence >= first.sequence else { return .missing(next: first.sequence) }
    return find(sequence, from: place(before: sequence), into: &samples)
  }

  /// Returns the last known place at or before an entry. The entry must not be before the first place.
  private func place(before sequence: UInt64) -> SpoolFile.Place {
    var low = 0
    var high = places.count
    while low + 1 < high {
      let middle = (low + high) / 2
      if places[middle].sequence <= sequence { low = middle } else { high = middle }
    }
    if let expected, expected.sequence <= sequence, expected.offset > places[low].offset { return expected }
    return places[low]
  }

  private mutating func find(_ sequence: UInt64, from place: SpoolFile.Place, into samples: inout [Int16]) -> Lookup {
    var offset = place.offset
    while offset < end {
      guard offset >= pageStart, offset < pageStart + page.count,
        let found = SpoolRecord.find(in: page, at: offset - pageStart)
      else {
        // A page that begins here holds the whole record, if the file does.
        return offset == pageStart && !page.isEmpty ? .damaged : .inFile(offset: offset)
      }
      guard found.sequence >= sequence else {
        offset += found.length
        continue
      }
      guard found.sequence == sequence else { return .missing(next: found.sequence) }
      expected = SpoolFile.Place(sequence: sequence &+ 1, offset: offset + found.length)
      guard let entry = SpoolRecord.decode(found, in: page, at: offset - pageStart, into: &samples) else {
        return .missing(next: sequence &+ 1)
      }
      return .entry(entry)
    }
    return .missing(next: nil)
  }
}
