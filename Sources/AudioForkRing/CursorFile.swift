// SPDX-License-Identifier: Apache-2.0
internal import CAudioForkABI
internal import Glibc

/// A fork's cursor: how far its engine has come, in a file that outlives the engine.
///
/// Two slots, each with generation, checksum and payload (offsets: docs/internals/ring-layout.md). A save writes the
/// older slot, its generation last, so a process killed between any two instructions leaves the newer slot as it
/// was, and an unfinished slot fails its checksum: it covers the generation too. Saving is memory only: the file is
/// mapped, and the page cache keeps what a killed process wrote. A crash of the machine loses it, and the call too.
///
/// An exclusive flock on the open descriptor makes this process the fork's only engine. Not Sendable: one owner.
package final class CursorFile {
  /// Longest payload: with its 64 bytes of slot header it fills 64 KiB.
  package static let payloadBytesMax = CursorLayout.slotBytes - CursorLayout.payloadOffset

  private let path: String
  private var descriptor: Int32
  /// nil once closed.
  private var mapping: UnsafeMutableRawPointer?
  /// The slot that the next save writes, and the generation that it gets.
  private var nextSlot = 0
  private var nextGeneration: UInt64 = 1
  /// Bytes of each slot that the file system has promised to hold.
  private var allocated = [0, 0]

  /// Opens the cursor at `path`, or creates it. A file that is not a cursor, or one of another version, is begun
  /// anew: `load` then says nil. Throws `inUse` when another process has it.
  package init(path: String) throws(RingError) {
    self.path = path
    descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0o600)
    guard descriptor >= 0 else { throw RingError(what: "cursor", path: path, doing: "open", errno: errno) }
    do throws(RingError) {
      try lock()
      try map(isCursor: try prepare())
    } catch {
      close()
      throw error
    }
    if let newest = newestSlot() {
      nextSlot = 1 - newest.slot
      nextGeneration = newest.generation + 1
    }
  }

  deinit { close() }

  /// Unmaps the file and gives up its ownership. `save` then refuses and `load` says nil.
  package func close() {
    if let mapping { munmap(mapping, CursorLayout.fileBytes) }
    mapping = nil
    if descriptor >= 0 {
      // The lock belongs to the open file, which a child that is just being started shares until its exec: closing
      // our descriptor alone would leave the fork locked for that moment, and the next engine would be turned away.
      _ = flock(descriptor, LOCK_UN)
      _ = Glibc.close(descriptor)
    }
    descriptor = -1
  }

  /// Saves `payload` as the newest. False, and the last one stays, when it is longer than `payloadBytesMax` or when
  /// the file system is full. A system call only where a payload is longer than any that its slot held before.
  @discardableResult
  package func save(_ payload: [UInt8]) -> Bool {
    guard let mapping, payload.count <= CursorFile.payloadBytesMax, nextGeneration < .max,
      allocate(slot: nextSlot, payloadBytes: payload.count)
    else { return false }
    let slot = mapping + CursorLayout.offset(ofSlot: nextSlot)
    // The last save's generation is in memory before the slot that it made the older one changes.
    af_fence_release()
    payload.withUnsafeBytes { bytes in
      guard let base = bytes.baseAddress else { return }
      (slot + CursorLayout.payloadOffset).copyMemory(from: base, byteCount: bytes.count)
    }
    slot.storeBytes(of: UInt32(payload.count), toByteOffset: CursorLayout.lengthOffset, as: UInt32.self)
    let sum = CursorLayout.checksum(generation: nextGeneration, payload: payload[...])
    slot.storeBytes(of: sum, toByteOffset: CursorLayout.checksumOffset, as: UInt64.self)
    af_word_store_release(slot.assumingMemoryBound(to: UInt64.self), nextGeneration)
    nextGeneration += 1
    nextSlot = 1 - nextSlot
    return true
  }

  /// Whether the file has lost its name: no other engine will find it.
  package var isNameless: Bool {
    var status = stat()
    return fstat(descriptor, &status) != 0 || status.st_nlink == 0
  }

  /// The newest payload whose checksum is right, or nil where there is none.
  package func load() -> [UInt8]? { newestSlot()?.payload }

  // MARK: - Slots

  private func newestSlot() -> (slot: Int, generation: UInt64, payload: [UInt8])? {
    let slots = [0, 1].compactMap { slot in validSlot(slot).map { (slot, $0.generation, $0.payload) } }
    return slots.max { $0.1 < $1.1 }
  }

  private func validSlot(_ number: Int) -> (generation: UInt64, payload: [UInt8])? {
    guard let mapping else { return nil }
    let slot = mapping + CursorLayout.offset(ofSlot: number)
    let generation = af_word_load_acquire(slot.assumingMemoryBound(to: UInt64.self))
    let sum = slot.load(fromByteOffset: CursorLayout.checksumOffset, as: UInt64.self)
    let length = Int(slot.load(fromByteOffset: CursorLayout.lengthOffset, as: UInt32.self))
    guard generation > 0, generation < .max, length <= CursorFile.payloadBytesMax else { return nil }
    // What was never allocated was never saved, and may not be touched: a full tmpfs answers with a SIGBUS.
    guard length <= allocated[number] - CursorLayout.payloadOffset else { return nil }
    let payload = [UInt8](UnsafeRawBufferPointer(start: slot + CursorLayout.payloadOffset, count: length))
    guard CursorLayout.checksum(generation: generation, payload: payload[...]) == sum else { return nil }
    return (generation, payload)
  }

  /// Has the file system hold a slot's first pages, so that writing them can never be a SIGBUS. A whole slot for
  /// every fork would be a quarter of its ring; a usual payload fits the first page.
  private func allocate(slot: Int, payloadBytes: Int) -> Bool {
    let wanted = (CursorLayout.payloadOffset + payloadBytes + CursorLayout.page - 1) & ~(CursorLayout.page - 1)
    guard wanted > allocated[slot] else { return true }
    guard reserve(CursorLayout.offset(ofSlot: slot), wanted) == 0 else { return false }
    allocated[slot] = wanted
    return true
  }

  /// posix_fallocate, again where a signal interrupted it (fallocate(2) allows that). Returns an errno.
  private func reserve(_ offset: Int, _ bytes: Int) -> Int32 {
    while true {
      let failure = posix_fallocate(descriptor, offset, bytes)
      if failure != EINTR { return failure }
    }
  }

  // MARK: - Opening

  private func lock() throws(RingError) {
    guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
      if errno == EWOULDBLOCK {
        throw RingError(
          .inUse, "the cursor '\(path)' belongs to another engine that still runs: let it finish, or stop it first")
      }
      throw RingError(what: "cursor", path: path, doing: "lock", errno: errno)
    }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else {
      throw RingError(what: "cursor", path: path, doing: "look at", errno: errno)
    }
    guard status.st_mode & S_IFMT == S_IFREG else {
      throw RingError(.foreign, "'\(path)' is not a regular file: give a cursor file")
    }
    guard status.st_nlink > 0 else {
      // Its last owner removed it between our open and our lock.
      throw RingError(.missing, "the cursor '\(path)' was just removed: the fork has ended")
    }
  }

  /// Makes the file as long as it has to be and allocates what is in use. Returns whether it was a cursor already.
  private func prepare() throws(RingError) -> Bool {
    let lengths = try lengthsInUse()
    if lengths == nil {
      guard ftruncate(descriptor, 0) == 0, ftruncate(descriptor, CursorLayout.fileBytes) == 0 else {
        throw RingError(what: "cursor", path: path, doing: "set up", errno: errno)
      }
    }
    let failure = reserve(0, CursorLayout.page)
    guard failure == 0 else { throw RingError(what: "cursor", path: path, doing: "allocate", errno: failure) }
    for slot in 0..<2 where !allocate(slot: slot, payloadBytes: lengths?[slot] ?? 0) {
      throw RingError(what: "cursor", path: path, doing: "allocate", errno: ENOSPC)
    }
    return lengths != nil
  }

  private func map(isCursor: Bool) throws(RingError) {
    let mapped = mmap(nil, CursorLayout.fileBytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0)
    guard let mapped, mapped != MAP_FAILED else {
      throw RingError(what: "cursor", path: path, doing: "map", errno: errno)
    }
    mapping = mapped
    guard !isCursor else { return }
    mapped.storeBytes(of: CursorLayout.version, toByteOffset: 8, as: UInt32.self)
    mapped.storeBytes(of: UInt32(CursorLayout.slotBytes), toByteOffset: 12, as: UInt32.self)
    // Last: without it the file is begun anew.
    af_word_store_release(mapped.assumingMemoryBound(to: UInt64.self), CursorLayout.magic)
  }

  /// How long the payloads of an existing cursor say they are, 0 where that is nonsense; nil if it is no cursor.
  private func lengthsInUse() throws(RingError) -> [Int]? {
    var status = stat()
    guard fstat(descriptor, &status) == 0 else {
      throw RingError(what: "cursor", path: path, doing: "look at", errno: errno)
    }
    guard status.st_size == CursorLayout.fileBytes, let magic = word(at: 0), let kind = word(at: 8) else { return nil }
    let expected = UInt64(CursorLayout.version) | UInt64(CursorLayout.slotBytes) << 32
    guard magic == CursorLayout.magic, kind == expected else { return nil }
    return (0..<2).map { slot in
      let length = word(at: CursorLayout.offset(ofSlot: slot) + CursorLayout.lengthOffset).map { Int($0 & 0xFFFF_FFFF) }
      return length.map { $0 <= CursorFile.payloadBytesMax ? $0 : 0 } ?? 0
    }
  }

  private func word(at offset: Int) -> UInt64? {
    var word: UInt64 = 0
    return pread(descriptor, &word, 8, offset) == 8 ? word : nil
  }
}

/// Where everything stands in a cursor file (docs/internals/ring-layout.md); all integers little-endian.
package enum CursorLayout {
  /// "AFCURSR1" as bytes in the file.
  package static let magic: UInt64 = 0x3152_5352_5543_4641
  package static let version: UInt32 = 1
  package static let page = 4096
  package static let slotBytes = 65536
  package static let fileBytes = page + 2 * slotBytes
  /// In a slot: generation at 0, then these.
  package static let checksumOffset = 8
  package static let lengthOffset = 16
  package static let payloadOffset = 64

  package static func offset(ofSlot slot: Int) -> Int { page + slot * slotBytes }

  /// FNV-1a, 64 bits, over generation (8 bytes), length (4 bytes) and payload. Against torn writes, not attackers.
  package static func checksum(generation: UInt64, payload: ArraySlice<UInt8>) -> UInt64 {
    // Lazily: a save allocates nothing.
    let first = (0..<8).lazy.map { UInt8(truncatingIfNeeded: generation &>> UInt64($0 * 8)) }
    let second = (0..<4).lazy.map { UInt8(truncatingIfNeeded: payload.count &>> ($0 * 8)) }
    return FNV1a.sum(payload, from: FNV1a.sum(second, from: FNV1a.sum(first, from: FNV1a.start64)))
  }
}
