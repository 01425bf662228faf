// SPDX-License-Identifier: GPL-2.0-or-later
package import CAudioForkABI

/// How large a ring is. Both areas are powers of two, so that the audio path masks instead of dividing.
package struct RingSize: Equatable, Sendable {
  package let indexEntries: UInt64
  package let areaBytes: UInt64

  /// A ring that holds at least `seconds` of both directions at `rate`, in frames of 10 ms or longer.
  package init(seconds: UInt32, rate: UInt32) {
    let span = UInt64(min(max(seconds, 1), 3600))
    let hertz = UInt64(min(max(rate, UInt32(AF_RATE_HZ_MIN)), UInt32(AF_RATE_HZ_MAX)))
    indexEntries = RingSize.powerOfTwo(atLeast: span &* 200, lowest: 64, highest: UInt64(AF_RING_INDEX_ENTRIES_MAX))
    areaBytes = RingSize.powerOfTwo(
      atLeast: span &* hertz &* 4, lowest: UInt64(AF_RING_PAGE), highest: UInt64(AF_RING_AREA_BYTES_MAX))
  }

  /// For tests that want a ring to be lapped soon. Both are rounded up to powers of two.
  package init(indexEntries: UInt64, areaBytes: UInt64) {
    self.indexEntries = RingSize.powerOfTwo(
      atLeast: indexEntries, lowest: 64, highest: UInt64(AF_RING_INDEX_ENTRIES_MAX))
    self.areaBytes = RingSize.powerOfTwo(
      atLeast: areaBytes, lowest: UInt64(AF_RING_PAGE), highest: UInt64(AF_RING_AREA_BYTES_MAX))
  }

  private static func powerOfTwo(atLeast wanted: UInt64, lowest: UInt64, highest: UInt64) -> UInt64 {
    var size = lowest
    while size < wanted, size < highest { size &*= 2 }
    return size
  }
}

/// Creates the ring file of a fork's first generation at `path` (NUL-terminated), fills its header and sets `tap` up as
/// its writer.
///
/// `facts` are the fields that a new engine needs to know about the fork (AudioForkLink). `directions`: bit 0 in,
/// bit 1 out. Returns 0 or an errno; after an error nothing is left behind. Blocks: never call it with a channel
/// locked.
package func createRing(
  _ tap: UnsafeMutablePointer<af_tap>, path: [CChar], size: RingSize, facts: [UInt8], directions: UInt64,
  now: Int64, wall: Int64
) -> Int32 {
  let failure = mapRing(tap, path: path, size: size, facts: facts, generation: 0, epoch: now, wall: wall)
  guard failure == 0, let ring = tap.pointee.ring else { return failure }
  let header = UnsafeMutableRawPointer(ring).assumingMemoryBound(to: af_ring_header.self)
  // Early in the system's start there may be no random numbers; a fork without a secret works.
  if getentropy(&header.pointee.secret, 16) != 0 { header.pointee.secret = (0, 0) }
  // Last: a file without its magic is one that its writer never finished.
  header.pointee.magic = UInt64(AF_RING_MAGIC)
  tap.pointee.directions = directions
  return 0
}

/// Creates the ring file that is to continue `tap`'s, with the same facts, epoch and secret. `next` is set up for
/// `swapRing`. The file has no magic before that: no reader takes it for a ring.
///
/// Returns 0 or an errno; after an error nothing is left behind. Blocks. The caller sees to it that `tap` keeps its
/// mapping meanwhile.
package func createNextRing(
  _ next: UnsafeMutablePointer<af_tap>, path: [CChar], size: RingSize, generation: UInt32,
  continuing tap: UnsafeMutablePointer<af_tap>
) -> Int32 {
  guard let ring = tap.pointee.ring else { return EINVAL }
  let old = UnsafeMutableRawPointer(ring).assumingMemoryBound(to: af_ring_header.self)
  let facts = UnsafeRawBufferPointer(
    start: UnsafeRawPointer(ring) + Int(AF_RING_FACTS_OFFSET), count: Int(old.pointee.facts_bytes))
  let failure = mapRing(
    next, path: path, size: size, facts: [UInt8](facts), generation: generation,
    epoch: old.pointee.epoch_monotonic_ns, wall: old.pointee.epoch_realtime_ns)
  guard failure == 0, let made = next.pointee.ring else { return failure }
  let header = UnsafeMutableRawPointer(made).assumingMemoryBound(to: af_ring_header.self)
  header.pointee.secret = old.pointee.secret
  return 0
}

/// Makes `tap` write to `next`'s ring. `next` gets the old ring. Entries are numbered through, and the counts of
/// captured samples and media times continue.
///
/// No frame may be captured meanwhile, and capture must not end: the caller holds the locks under which both happen.
package func swapRing(_ tap: UnsafeMutablePointer<af_tap>, _ next: UnsafeMutablePointer<af_tap>) {
  guard let old = tap.pointee.ring, let ring = next.pointee.ring else { return }
  let header = UnsafeMutableRawPointer(ring).assumingMemoryBound(to: af_ring_header.self)
  header.pointee.first_sequence = tap.pointee.sequence
  af_word_store_relaxed(af_ring_published(ring), tap.pointee.sequence)
  for direction: UInt32 in 0...1 {
    af_word_store_relaxed(
      af_ring_captured(ring, direction), af_word_load_relaxed(af_ring_captured(old, direction)))
    af_word_store_relaxed(af_ring_ahead(ring, direction), af_word_load_relaxed(af_ring_ahead(old, direction)))
  }
  af_word_store_release(&header.pointee.magic, UInt64(AF_RING_MAGIC))
  swap(&tap.pointee.ring, &next.pointee.ring)
  swap(&tap.pointee.map_bytes, &next.pointee.map_bytes)
  swap(&tap.pointee.index, &next.pointee.index)
  swap(&tap.pointee.area, &next.pointee.area)
  swap(&tap.pointee.index_mask, &next.pointee.index_mask)
  swap(&tap.pointee.area_mask, &next.pointee.area_mask)
  swap(&tap.pointee.is_locked, &next.pointee.is_locked)
  tap.pointee.head = 0
  // Behind the old ring's last entry, as its end would be: a reader that sees this sees all of it.
  af_word_store_release(af_ring_continued(old), header.pointee.generation)
}

/// Creates and maps a ring file and fills its header, but for the secret and the magic.
private func mapRing(
  _ tap: UnsafeMutablePointer<af_tap>, path: [CChar], size: RingSize, facts: [UInt8], generation: UInt32,
  epoch: Int64, wall: Int64
) -> Int32 {
  guard facts.count <= Int(AF_RING_FACTS_BYTES_MAX) else { return E2BIG }
  let page = UInt64(AF_RING_PAGE)
  let headerBytes = (UInt64(AF_RING_FACTS_OFFSET) &+ UInt64(facts.count) &+ page &- 1) & ~(page &- 1)
  let areaOffset = headerBytes &+ size.indexEntries &* UInt64(AF_RING_ENTRY_BYTES)
  let fileBytes = areaOffset &+ size.areaBytes
  var failure: Int32 = 0
  guard let mapping = af_map_new_file(path, fileBytes, &failure) else { return failure }

  let header = mapping.assumingMemoryBound(to: af_ring_header.self)
  header.pointee.version = UInt32(AF_RING_VERSION)
  header.pointee.header_bytes = UInt32(truncatingIfNeeded: headerBytes)
  header.pointee.index_entries = size.indexEntries
  header.pointee.area_offset = areaOffset
  header.pointee.area_bytes = size.areaBytes
  header.pointee.generation = UInt64(generation)
  header.pointee.epoch_monotonic_ns = epoch
  header.pointee.epoch_realtime_ns = wall
  header.pointee.facts_offset = UInt32(AF_RING_FACTS_OFFSET)
  header.pointee.facts_bytes = UInt32(truncatingIfNeeded: facts.count)
  facts.withUnsafeBytes { bytes in
    if let base = bytes.baseAddress {
      (mapping + Int(AF_RING_FACTS_OFFSET)).copyMemory(from: base, byteCount: bytes.count)
    }
  }
  tap.initialize(to: af_tap())
  let bytes = mapping.assumingMemoryBound(to: UInt8.self)
  tap.pointee.ring = bytes
  tap.pointee.map_bytes = fileBytes
  tap.pointee.index = bytes + Int(truncatingIfNeeded: headerBytes)
  tap.pointee.area = bytes + Int(truncatingIfNeeded: areaOffset)
  tap.pointee.index_mask = size.indexEntries &- 1
  tap.pointee.area_mask = size.areaBytes &- 1
  tap.pointee.epoch_ns = epoch
  return 0
}

/// Takes the mapping away. Only after the end of capture has been marked and no callback can come any more.
package func unmapRing(_ tap: UnsafeMutablePointer<af_tap>) {
  guard let ring = tap.pointee.ring else { return }
  munmap(ring, Int(truncatingIfNeeded: tap.pointee.map_bytes))
  tap.pointee.ring = nil
  tap.pointee.index = nil
  tap.pointee.area = nil
  tap.pointee.is_locked = 0
}
