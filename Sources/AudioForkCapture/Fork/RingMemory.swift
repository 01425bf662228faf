// SPDX-License-Identifier: GPL-2.0-or-later
import AudioForkBytes
import AudioForkSurface
import AudioForkTap
import CAsterisk

/// What the forks' rings take of the memory: counted against `buffer_total`, and locked as far as the system allows.
/// Part of the table, whose lock guards it.
struct RingMemory {
  /// Half of what was free in the run directory's file system at load, bytes; 0: it does not say.
  nonisolated(unsafe) private(set) static var standardLimit: UInt64 = 0
  /// At most so much is locked, bytes: half of the machine's memory.
  nonisolated(unsafe) private static var lockLimit: UInt64 = 0
  private static let megabyte: UInt64 = 1_048_576

  /// Bytes of all rings, those that are read to their end included.
  private(set) var bytes: UInt64 = 0
  /// Rings that the module has mapped, and those of them that are locked into memory.
  private(set) var mapped = 0
  private(set) var locked = 0
  private var lockedBytes: UInt64 = 0
  /// More than 80 % of the limit are taken, and the log says so.
  private var isNearLimit = false
  /// The log has the line about memory that cannot be locked.
  private var hasComplained = false

  /// Measures what is free. Before the first fork.
  static func load(in directory: Bytes) {
    standardLimit = withCString(directory) { UInt64(af_free_bytes($0)) } / 2
    lockLimit = UInt64(af_memory_bytes()) / 2
    withState { state in
      state.forks.memory.isNearLimit = false
      state.forks.memory.hasComplained = false
    }
  }

  /// The cap that these settings mean, bytes; 0: none.
  static func limit(_ settings: Settings) -> UInt64 {
    settings.bufferTotalMegabytes.map { UInt64($0) &* megabyte } ?? standardLimit
  }

  /// Bytes of a ring without its header.
  static func bytes(of size: RingSize) -> UInt64 {
    size.areaBytes &+ size.indexEntries &* UInt64(AF_RING_ENTRY_BYTES)
  }

  /// Counts a ring. Returns false if all together would take more than the limit.
  static func add(_ bytes: UInt64, _ settings: Settings) -> Bool {
    let limit = limit(settings)
    let (isAdded, mustTell) = withState { state in state.forks.memory.add(bytes, limit) }
    if mustTell {
      log(
        AF_LEVEL_WARNING, "AudioFork: the forks' buffers take more than 80 % of buffer_total (",
        .number(Int(truncatingIfNeeded: limit / megabyte)),
        " MB); forks beyond it will not be started: raise buffer_total or lower buffer in audiofork.conf")
    }
    return isAdded
  }

  private mutating func add(_ ring: UInt64, _ limit: UInt64) -> (isAdded: Bool, mustTell: Bool) {
    guard limit == 0 || bytes &+ ring <= limit else { return (false, false) }
    bytes &+= ring
    guard limit > 0 else { return (true, false) }
    let isNear = bytes / 4 > limit / 5
    // Below 60 % the next crossing is told again: where one fork comes and goes at the border, once is enough.
    if bytes / 3 < limit / 5 { isNearLimit = false }
    defer { if isNear { isNearLimit = true } }
    return (true, isNear && !isNearLimit)
  }

  /// A ring counts no more.
  mutating func remove(_ ring: UInt64) { bytes &-= ring }

  /// What a refusal by `add` says, for a ring of so many bytes.
  static func refusal(_ bytes: UInt64, _ settings: Settings) -> Bytes {
    let limit = Int(truncatingIfNeeded: limit(settings) / megabyte)
    return text(
      "buffer_total is reached: all buffers may take ", .number(limit), " MB",
      settings.bufferTotalMegabytes == nil ? " (half of what was free in run_dir at load)" : "",
      ", and this one needs ", .number(Int(truncatingIfNeeded: bytes / 1024)),
      " KB more; raise buffer_total or lower buffer in audiofork.conf")
  }

  /// Counts a ring that was mapped, and locks it into memory if the system allows that. Not in the audio path.
  static func mapped(_ tap: UnsafeMutablePointer<af_tap>) {
    let bytes = tap.pointee.map_bytes
    let mayLock = withState { state in
      state.forks.memory.mapped &+= 1
      return lockLimit == 0 || state.forks.memory.lockedBytes &+ bytes <= lockLimit
    }
    let failure = mayLock ? af_lock_mapping(tap.pointee.ring, bytes) : ENOMEM
    tap.pointee.is_locked = failure == 0 ? 1 : 0
    let mustTell = withState { state in
      guard failure != 0 else {
        state.forks.memory.locked &+= 1
        state.forks.memory.lockedBytes &+= bytes
        return false
      }
      defer { state.forks.memory.hasComplained = true }
      return !state.forks.memory.hasComplained
    }
    guard mustTell else { return }
    log(
      AF_LEVEL_NOTICE, "AudioFork: not all of the forks' buffers are locked into memory: ",
      mayLock ? .bytes(reason(failure)) : "they take half of the machine's memory",
      ". A call may wait for swapped pages when memory is short. ",
      mayLock ? "Set LimitMEMLOCK=infinity in Asterisk's service; " : "",
      "'audiofork show engine' counts locked rings")
  }

  /// Unmaps a tap's ring. Not with the table's lock held.
  static func unmap(_ tap: UnsafeMutablePointer<af_tap>) {
    guard tap.pointee.ring != nil else { return }
    let isLocked = tap.pointee.is_locked != 0
    let bytes = tap.pointee.map_bytes
    unmapRing(tap)
    withState { state in
      state.forks.memory.mapped &-= 1
      guard isLocked else { return }
      state.forks.memory.locked &-= 1
      state.forks.memory.lockedBytes &-= bytes
    }
  }
}
