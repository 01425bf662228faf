// SPDX-License-Identifier: Apache-2.0
internal import AudioForkMedia
internal import AudioForkLink
internal import CAudioForkABI
internal import Glibc

/// What a ring file says about itself, checked: every later access stays inside the mapping because of these checks.
struct RingFileLayout {
  var epoch: StreamEpoch
  var secret: (UInt64, UInt64)
  var fileBytes: Int
  var indexOffset: Int
  var indexMask: UInt64
  var areaOffset: Int
  var areaMask: UInt64
  var facts: FieldReader
  var generation: UInt64
  var firstSequence: UInt64

  /// Eighteen years: a time beyond it is damage, and nothing downstream overflows below it.
  static let timeMax = StreamTime(nanoseconds: 1 << 59)
  /// As long before the fork's start.
  static let timeMin = StreamTime(nanoseconds: -1 << 59)

  /// Reads and checks the header and the facts. They are read once, by read and not through the mapping, so that
  /// what was checked is what is used.
  init(descriptor: Int32, path: String) throws(RingError) {
    var status = stat()
    guard fstat(descriptor, &status) == 0 else {
      throw RingError(what: "ring", path: path, doing: "look at", errno: errno)
    }
    guard status.st_mode & S_IFMT == S_IFREG else {
      throw RingError(.foreign, "'\(path)' is not a regular file: give a ring file")
    }
    let header = try RingFileLayout.header(descriptor, path, fileBytes: Int64(status.st_size))
    try RingFileLayout.check(header, path, fileBytes: UInt64(max(0, status.st_size)))
    let facts = try RingFileLayout.read(
      descriptor, path, count: Int(header.facts_bytes), at: Int(header.facts_offset))
    self.facts = FieldReader(facts)
    guard self.facts.isWellFormed else {
      throw RingFileLayout.damaged(path, "the facts in its header run over their end")
    }
    epoch = StreamEpoch(
      monotonic: MonotonicTime(nanoseconds: header.epoch_monotonic_ns),
      wall: WallTime(nanoseconds: header.epoch_realtime_ns))
    secret = header.secret
    generation = header.generation
    firstSequence = header.first_sequence
    fileBytes = Int(status.st_size)
    indexOffset = Int(header.header_bytes)
    indexMask = header.index_entries &- 1
    areaOffset = Int(header.area_offset)
    areaMask = header.area_bytes &- 1
  }

  private static func header(
    _ descriptor: Int32, _ path: String, fileBytes: Int64
  ) throws(RingError) -> af_ring_header {
    let size = MemoryLayout<af_ring_header>.size
    // While its writer allocates it, it has no size yet.
    guard fileBytes > 0 else {
      throw RingError(.unfinished, "'\(path)' is empty: its writer has not finished it; try again, or remove it")
    }
    guard fileBytes >= Int64(size) else {
      throw RingError(.foreign, "'\(path)' is too short for a ring file (\(fileBytes) bytes): give a ring file")
    }
    // `magic` is written last, but one read may copy the fields before it. Those of the second read are complete.
    let magic = try load(UInt64.self, descriptor, path)
    guard magic != 0 else {
      throw RingError(.unfinished, "'\(path)' has no header: its writer has not finished it; try again, or remove it")
    }
    guard magic == UInt64(AF_RING_MAGIC) else {
      throw RingError(.foreign, "'\(path)' is not a ring file: give the path of a .ring file in run_dir")
    }
    af_fence_acquire()
    let header = try load(af_ring_header.self, descriptor, path)
    guard header.version == UInt32(AF_RING_VERSION) else {
      throw RingError(
        .version,
        "the ring '\(path)' has layout version \(header.version), this program knows \(AF_RING_VERSION): "
          + "install module and engine of the same release")
    }
    return header
  }

  /// Reads the value at the beginning of the file.
  private static func load<Value: BitwiseCopyable>(
    _: Value.Type, _ descriptor: Int32, _ path: String
  ) throws(RingError) -> Value {
    let bytes = try read(descriptor, path, count: MemoryLayout<Value>.size, at: 0)
    return bytes.withUnsafeBytes { $0.loadUnaligned(as: Value.self) }
  }

  private static func check(_ header: af_ring_header, _ path: String, fileBytes: UInt64) throws(RingError) {
    let page = UInt64(AF_RING_PAGE)
    let headerBytes = UInt64(header.header_bytes)
    guard headerBytes >= page, headerBytes % page == 0,
      headerBytes <= UInt64(AF_RING_FACTS_OFFSET) + UInt64(AF_RING_FACTS_BYTES_MAX) + page
    else { throw damaged(path, "its header is \(headerBytes) bytes long") }
    guard header.facts_offset >= UInt32(AF_RING_FACTS_OFFSET), header.facts_bytes <= UInt32(AF_RING_FACTS_BYTES_MAX),
      UInt64(header.facts_offset) + UInt64(header.facts_bytes) <= headerBytes
    else { throw damaged(path, "its facts lie outside of the header") }
    guard isPowerOfTwo(header.index_entries), header.index_entries <= UInt64(AF_RING_INDEX_ENTRIES_MAX) else {
      throw damaged(path, "its index has \(header.index_entries) entries")
    }
    guard isPowerOfTwo(header.area_bytes), header.area_bytes >= page,
      header.area_bytes <= UInt64(AF_RING_AREA_BYTES_MAX)
    else { throw damaged(path, "its sample area has \(header.area_bytes) bytes") }
    // Within the bounds above none of this can overflow.
    let areaOffset = headerBytes + header.index_entries * UInt64(AF_RING_ENTRY_BYTES)
    guard header.area_offset == areaOffset else { throw damaged(path, "its sample area is in the wrong place") }
    guard fileBytes == areaOffset + header.area_bytes else {
      throw damaged(path, "it is \(fileBytes) bytes long and says \(areaOffset + header.area_bytes)")
    }
    guard header.generation <= UInt64(AF_RING_GENERATION_MAX), header.first_sequence <= 1 << 59,
      header.generation > 0 || header.first_sequence == 0
    else { throw damaged(path, "it is generation \(header.generation), from entry \(header.first_sequence) on") }
    guard header.epoch_monotonic_ns >= 0, header.epoch_realtime_ns >= 0 else {
      throw damaged(path, "its epoch is before the beginning of time")
    }
  }

  private static func isPowerOfTwo(_ value: UInt64) -> Bool { value != 0 && value & (value &- 1) == 0 }

  private static func damaged(_ path: String, _ what: String) -> RingError {
    RingError(.damaged, "the ring '\(path)' is damaged: \(what); the fork's audio cannot be read, remove the file")
  }

  private static func read(
    _ descriptor: Int32, _ path: String, count: Int, at offset: Int
  ) throws(RingError) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    var done = 0
    while done < count {
      let got = bytes.withUnsafeMutableBytes { room in
        pread(descriptor, room.baseAddress.map { $0 + done }, count - done, offset + done)
      }
      if got < 0, errno == EINTR { continue }
      guard got >= 0 else { throw RingError(what: "ring", path: path, doing: "read", errno: errno) }
      guard got > 0 else { throw damaged(path, "it ends before its header does") }
      done += got
    }
    return bytes
  }
}
