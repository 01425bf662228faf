// SPDX-License-Identifier: Apache-2.0
package import AudioForkMedia
internal import CAudioForkABI
internal import Glibc

/// What `RingReader.read` found.
package enum RingRead: Equatable, Sendable {
  /// A whole entry; its samples are in the array.
  case entry(CapturedEntry)
  /// A digit that was pressed: no audio.
  case digit(CapturedDigit)
  /// An entry of a kind that this reader does not know: go on with the next.
  case notAudio
  /// The writer has not come so far.
  case notYet
  /// The writer has overwritten the entry. Go on with `oldest`, the first that could still be read.
  case lapped(oldest: UInt64)
  /// The ring contradicts itself here: it cannot be followed any more.
  case broken(String)
}

/// Reads a tap's ring while the capture module writes it (protocol: af_ring.h, docs/internals/ring-layout.md).
///
/// Mapped read-only: nothing that happens here can reach the call. Not Sendable: one owner at a time. No system call
/// but in `init` and `close`. Everything in the file counts as hostile: it is checked before use and never traps.
///
/// One thing is taken on trust: that nobody truncates the file while it is mapped, which would be a SIGBUS here. The
/// file is the module's own, in a directory that only Asterisk's user may enter, and the module never shortens it.
package final class RingReader {
  /// The fork's start: media time 0 on the machine's clocks.
  package let epoch: StreamEpoch
  /// What only this fork's engines and servers know of it, 128 random bits; zeros where its module gave it none. Not
  /// for logs.
  package let secret: (UInt64, UInt64)
  /// What the header says about the fork.
  package let facts: RingFacts
  /// Entries that the index holds, and bytes that the sample area holds.
  package let indexEntries: UInt64
  package let areaBytes: UInt64
  /// Which of its fork's rings this is: 0 for the first one, 1 for the one that continues it, and so on.
  package let generation: UInt32
  /// Number of the first entry that was written to this ring.
  package let firstSequence: UInt64

  private let layout: RingFileLayout
  /// nil once closed.
  private var mapping: UnsafeMutableRawPointer?
  private let ownsMapping: Bool
  /// The answer to the last read, where that was `lapped`: asked for and lapped again, it was too close to the writer.
  private var lastOldest: UInt64?
  /// Offset of the last entry's samples, in bytes written so far, and their length in bytes.
  private var lastStart: UInt64 = 0
  private var lastSpan: UInt64 = 0

  /// Opens and maps the ring at `path`. Throws when it is missing, foreign, of another version or damaged.
  package convenience init(path: String) throws(RingError) { try self.init(path, sharing: nil) }

  /// Testing only: reads the ring at `path` through the writer's own mapping, which must outlive the reader. The
  /// thread sanitizer knows memory by its address: it sees no race between two mappings of one file.
  package convenience init(_path path: String, sharing writers: UnsafeMutableRawPointer) throws(RingError) {
    try self.init(path, sharing: writers)
  }

  private init(_ path: String, sharing writers: UnsafeMutableRawPointer?) throws(RingError) {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
    guard descriptor >= 0 else { throw RingError(what: "ring", path: path, doing: "open", errno: errno) }
    defer { _ = Glibc.close(descriptor) }
    let layout = try RingFileLayout(descriptor: descriptor, path: path)
    let mapped = writers ?? mmap(nil, layout.fileBytes, PROT_READ, MAP_SHARED, descriptor, 0)
    guard let mapped, mapped != MAP_FAILED else {
      throw RingError(what: "ring", path: path, doing: "map", errno: errno)
    }
    self.layout = layout
    mapping = mapped
    ownsMapping = writers == nil
    epoch = layout.epoch
    secret = layout.secret
    facts = RingFacts(layout.facts)
    indexEntries = layout.indexMask + 1
    areaBytes = layout.areaMask + 1
    generation = UInt32(clamping: layout.generation)
    firstSequence = layout.firstSequence
  }

  deinit { close() }

  /// Unmaps the ring; the counters read 0 from then on and `read` says `notYet`.
  package func close() {
    guard let mapping else { return }
    if ownsMapping { munmap(mapping, layout.fileBytes) }
    self.mapping = nil
  }

  /// Entries completely written, ever: the number of the next one.
  package var published: UInt64 { mapping.map { af_word_load_acquire(af_ring_published($0)) } ?? 0 }

  /// When capture ended; nil while it continues. `published` and `captured` are final if they are read after this has
  /// returned a value.
  package var closedAt: StreamTime? {
    guard let mapping else { return nil }
    let word = af_word_load_acquire(af_ring_closed(mapping))
    guard word != 0 else { return nil }
    return min(StreamTime(nanoseconds: Int64(clamping: word &- 1)), RingFileLayout.timeMax)
  }

  /// The generation that has the entries behind this ring's last one; nil while this ring is the one that is written.
  /// `published` is final if it is read after this has returned a value.
  package var continuedIn: UInt32? {
    guard let mapping else { return nil }
    let word = af_word_load_acquire(af_ring_continued(mapping))
    return word == 0 ? nil : UInt32(clamping: word)
  }

  /// Samples of this direction captured so far. While capture goes on it may be one frame behind `published`.
  package func captured(_ direction: Direction) -> UInt64 {
    mapping.map { af_word_load_relaxed(af_ring_captured($0, UInt32(direction.rawValue))) } ?? 0
  }

  /// Of the captured samples, those refused as more than two seconds ahead of the clock.
  package func ahead(_ direction: Direction) -> UInt64 {
    mapping.map { af_word_load_relaxed(af_ring_ahead($0, UInt32(direction.rawValue))) } ?? 0
  }

  /// Reads entry number `sequence`. After `.entry` its samples are `samples[0..<entry.count]`; the array only grows.
  ///
  /// `.lapped(oldest:)` is exact: every entry before `oldest` had been overwritten, in the index or in the sample
  /// area, when it was looked at; `oldest` may equal `published`. One exception: when the very `oldest` of the last
  /// answer is asked for and has been overwritten meanwhile, the answer keeps a distance of 1/16 of the ring to the
  /// writer, since at this speed the reader would otherwise be lapped again each time.
  package func read(_ sequence: UInt64, into samples: inout [Int16]) -> RingRead {
    guard let mapping else { return .notYet }
    let end = af_word_load_acquire(af_ring_published(mapping))
    guard sequence < end else { return .notYet }
    guard sequence >= firstSequence else { return lapped(sequence, end: end, in: mapping) }
    let slot = slot(of: sequence, in: mapping)
    let whole = sequence &* 2 &+ 2
    let found = af_word_load_acquire(slot)
    if found == whole {
      // Two re-checks of the same kind: the first makes the fields trustworthy before they say how much to copy.
      let fields = af_ring_load_fields(slot)
      af_fence_acquire()
      guard af_word_load_relaxed(slot) == whole else { return lapped(sequence, end: end, in: mapping) }
      guard fields.kind != 0 else { return .broken("entry \(sequence) has no kind") }
      guard fields.kind == UInt8(AF_ENTRY_AUDIO.rawValue) else {
        lastOldest = nil
        return CapturedDigit(fields).map { .digit($0) } ?? .notAudio
      }
      let entry: CapturedEntry
      do { entry = try checked(fields, sequence) } catch { return .broken(error.reason) }
      copySamples(of: fields, count: entry.count, into: &samples, from: mapping)
      af_fence_acquire()
      let claimed = af_word_load_relaxed(af_ring_claimed(mapping))
      guard af_word_load_relaxed(slot) == whole, claimed &- fields.start <= areaBytes else {
        return lapped(sequence, end: end, in: mapping)
      }
      guard claimed &- fields.start >= af_ring_span(UInt32(fields.samples)) else {
        return .broken("entry \(sequence) has samples that were never claimed")
      }
      lastOldest = nil
      lastStart = fields.start
      lastSpan = UInt64(af_ring_span(UInt32(fields.samples)))
      return .entry(entry)
    }
    // `published` was read first, so at least this entry's number stands in the slot, or a later one.
    guard found > whole else { return .broken("entry \(sequence) was published and is not in the index") }
    return lapped(sequence, end: end, in: mapping)
  }

  /// Prefetches what the next two reads access. Call a little before them. Assumes entries no longer than the last one.
  package func prefetch(_ sequence: UInt64) {
    guard let mapping else { return }
    af_prefetch(af_ring_published(mapping), 64)
    af_prefetch(slot(of: sequence, in: mapping), 2 * UInt64(AF_RING_ENTRY_BYTES))
    let at = (lastStart &+ lastSpan) & layout.areaMask
    af_prefetch(mapping + layout.areaOffset + Int(at), min(2 &* lastSpan, areaBytes &- at))
  }

  private func slot(of sequence: UInt64, in mapping: UnsafeMutableRawPointer) -> UnsafeMutablePointer<UInt64> {
    let offset = Int(sequence & layout.indexMask) * Int(AF_RING_ENTRY_BYTES)
    return (mapping + layout.indexOffset + offset).assumingMemoryBound(to: UInt64.self)
  }

  private func copySamples(
    of fields: af_ring_entry, count: Int, into samples: inout [Int16], from mapping: UnsafeMutableRawPointer
  ) {
    if samples.count < count { samples.append(contentsOf: repeatElement(0, count: count - samples.count)) }
    let area = (mapping + layout.areaOffset).assumingMemoryBound(to: UInt8.self)
    samples.withUnsafeMutableBytes { target in
      guard let base = target.baseAddress, target.count >= count * 2 else { return }
      af_ring_load_samples(area, layout.areaMask, fields.start, base, UInt32(fields.samples))
    }
  }

  /// Whether the entry with this number was there and has been overwritten. An entry before the ring's first one counts
  /// as that.
  package func isOverwritten(_ sequence: UInt64) -> Bool {
    guard let mapping, sequence < published else { return false }
    guard sequence >= firstSequence else { return true }
    return !isWhole(sequence, areaLimit: areaBytes, in: mapping)
  }

  // MARK: - Lapped

  /// The first entry behind `sequence` that is still whole, or the end.
  ///
  /// Binary search: the writer overwrites in order, so overwritten entries lie before whole ones, and while the
  /// search goes on entries only ever turn from whole to overwritten. So what was found overwritten stays so, and
  /// no entry is skipped that could have been read.
  private func lapped(_ sequence: UInt64, end: UInt64, in mapping: UnsafeMutableRawPointer) -> RingRead {
    let isTooClose = lastOldest == sequence
    let margin: UInt64 = isTooClose ? 16 : 0
    let end = max(end, af_word_load_acquire(af_ring_published(mapping)))
    let indexLimit = margin == 0 ? indexEntries : indexEntries &- indexEntries / margin
    let areaLimit = margin == 0 ? areaBytes : areaBytes &- areaBytes / margin
    var low = max(sequence &+ 1, end > indexLimit ? end &- indexLimit : 0, firstSequence)
    var high = end
    while low < high {
      let middle = low &+ (high &- low) / 2
      if isWhole(middle, areaLimit: areaLimit, in: mapping) { high = middle } else { low = middle &+ 1 }
    }
    lastOldest = low
    return .lapped(oldest: low)
  }

  private func isWhole(_ sequence: UInt64, areaLimit: UInt64, in mapping: UnsafeMutableRawPointer) -> Bool {
    let slot = slot(of: sequence, in: mapping)
    let whole = sequence &* 2 &+ 2
    guard af_word_load_acquire(slot) == whole else { return false }
    let fields = af_ring_load_fields(slot)
    af_fence_acquire()
    return af_word_load_relaxed(slot) == whole
      && af_word_load_relaxed(af_ring_claimed(mapping)) &- fields.start <= areaLimit
  }

  // MARK: - Fields

  private struct Damage: Error { let reason: String }

  /// The entry that the fields describe, if they can be what a writer wrote.
  private func checked(_ fields: af_ring_entry, _ sequence: UInt64) throws(Damage) -> CapturedEntry {
    guard let direction = Direction(rawValue: fields.direction) else {
      throw Damage(reason: "entry \(sequence) has direction \(fields.direction)")
    }
    guard fields.rate_hz >= UInt32(AF_RATE_HZ_MIN), fields.rate_hz <= UInt32(AF_RATE_HZ_MAX) else {
      throw Damage(reason: "entry \(sequence) has a rate of \(fields.rate_hz) Hz")
    }
    guard fields.samples > 0,
      UInt32(fields.samples) &* 1000 <= fields.rate_hz &* UInt32(AF_RING_PIECE_MILLISECONDS_MAX)
    else { throw Damage(reason: "entry \(sequence) has \(fields.samples) samples at \(fields.rate_hz) Hz") }
    guard fields.start & 7 == 0 else { throw Damage(reason: "entry \(sequence) starts at byte \(fields.start)") }
    // Times and counts within eighteen years, so that whoever calculates with them cannot overflow.
    let limit = RingFileLayout.timeMax
    let runStart = StreamTime(nanoseconds: fields.run_ns)
    let arrival = StreamTime(nanoseconds: fields.arrival_ns)
    let secondsMax = UInt64((limit - .zero).wholeSeconds)
    guard runStart >= .zero, runStart <= limit, arrival >= RingFileLayout.timeMin, arrival <= limit,
      fields.run_index <= SampleRate(hertz: Int(fields.rate_hz)).frames(inSeconds: secondsMax),
      fields.captured <= SampleRate(hertz: Int(AF_RATE_HZ_MAX)).frames(inSeconds: secondsMax)
    else { throw Damage(reason: "entry \(sequence) lies outside of any call's time") }
    return CapturedEntry(
      sequence: sequence, direction: direction, rateHertz: Int(fields.rate_hz), count: Int(fields.samples),
      runStart: runStart, runIndex: fields.run_index, arrival: arrival,
      captured: fields.captured, startsRun: has(fields, AF_ENTRY_RUN_START), isMuted: has(fields, AF_ENTRY_MUTED),
      isAhead: has(fields, AF_ENTRY_AHEAD), hasMore: has(fields, AF_ENTRY_MORE))
  }

  private func has(_ fields: af_ring_entry, _ flag: af_entry_flags) -> Bool {
    UInt32(fields.flags) & flag.rawValue != 0
  }
}

extension CapturedDigit {
  /// Nil for an entry of another kind, and for one that no capture module writes.
  fileprivate init?(_ fields: af_ring_entry) {
    guard fields.kind == UInt8(AF_ENTRY_DTMF.rawValue), let direction = Direction(rawValue: fields.direction),
      CapturedDigit.digits.contains(fields.detail)
    else { return nil }
    self.init(direction: direction, digit: fields.detail, milliseconds: UInt64(fields.ts))
  }
}
