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

/// Creates the ring file at `path` (NUL-terminated), fills its header and sets `tap` up as its writer.
///
/// `facts` are the fields that a new engine needs to know about the fork (AudioForkLink). `directions`: bit 0 in,
/// bit 1 out. Returns 0 or an errno; after an error nothing is left behind. Blocks: never call it with a channel
/// locked.
package func createRing(
  _ tap: UnsafeMutablePointer<af_tap>, path: [CChar], size: RingSize, facts: [UInt8], directions: UInt64,
  now: Int64, wall: Int64
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
  header.pointee.epoch_monotonic_ns = now
  header.pointee.epoch_realtime_ns = wall
  header.pointee.facts_offset = UInt32(AF_RING_FACTS_OFFSET)
  header.pointee.facts_bytes = UInt32(truncatingIfNeeded: facts.count)
  // Early in the system's start there may be no random numbers; a fork without a secret works.
  if getentropy(&header.pointee.secret, 16) != 0 { header.pointee.secret = (0, 0) }
  facts.withUnsafeBytes { bytes in
    if let base = bytes.baseAddress {
      (mapping + Int(AF_RING_FACTS_OFFSET)).copyMemory(from: base, byteCount: bytes.count)
    }
  }
  // Last: a file without its magic is one that its writer never finished.
  header.pointee.magic = UInt64(AF_RING_MAGIC)

  tap.initialize(to: af_tap())
  let bytes = mapping.assumingMemoryBound(to: UInt8.self)
  tap.pointee.ring = bytes
  tap.pointee.map_bytes = fileBytes
  tap.pointee.index = bytes + Int(truncatingIfNeeded: headerBytes)
  tap.pointee.area = bytes + Int(truncatingIfNeeded: areaOffset)
  tap.pointee.index_mask = size.indexEntries &- 1
  tap.pointee.area_mask = size.areaBytes &- 1
  tap.pointee.epoch_ns = now
  tap.pointee.directions = directions
  return 0
}

/// Takes the mapping away. Only after the end of capture has been marked and no callback can come any more.
package func unmapRing(_ tap: UnsafeMutablePointer<af_tap>) {
  guard let ring = tap.pointee.ring else { return }
  munmap(ring, Int(truncatingIfNeeded: tap.pointee.map_bytes))
  tap.pointee.ring = nil
  tap.pointee.index = nil
  tap.pointee.area = nil
}
