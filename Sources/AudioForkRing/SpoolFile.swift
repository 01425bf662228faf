// SPDX-License-Identifier: Apache-2.0
internal import AudioForkBytes
package import AudioForkMedia
internal import CAudioForkABI
internal import Glibc

/// A fork's spool file: a header, then records (`SpoolRecord`). Everything here may block: it is called on threads of
/// its own, one call at a time for each file.
package struct SpoolFile: Sendable {
  /// Where a record stands.
  package struct Place: Equatable, Sendable {
    package var sequence: UInt64
    package var offset: Int

    package init(sequence: UInt64, offset: Int) {
      self.sequence = sequence
      self.offset = offset
    }
  }

  /// What an earlier engine left in the file.
  package struct Content: Equatable, Sendable {
    /// Records, about one in each `placeSpacing` bytes; the first one always.
    package var places: [Place] = []
    /// The last record's number.
    package var lastSequence: UInt64?
    /// Where the next record goes.
    package var end = SpoolFile.headerBytes

    package init() {}
  }

  package static let headerBytes = 32
  /// Between two places that are remembered.
  package static let placeSpacing = 65_536
  private static let readBytes = 4 * SpoolRecord.bytesMax
  /// "AFSPOOL1".
  private static let magic: UInt64 = 0x314C_4F4F_5053_4641

  private let descriptor: CInt
  private let path: String

  /// Opens the spool file at `path` for the fork that began at `epoch`. With `creates`, creates it if missing;
  /// otherwise returns nil. Cuts off another fork's records, and everything after an incomplete record. The file stays
  /// locked against `removeLeftover` until `close`.
  ///
  /// Throws `.notPermitted` where the folder or the file is another user's, others may write into the folder, or others
  /// may open the file: a local user who knows the fork's id could read the call or change it.
  package static func open(
    path: String, _ epoch: StreamEpoch, creates: Bool
  ) throws(RingError) -> (file: SpoolFile, content: Content)? {
    guard let descriptor = try openPrivately(path, creates: creates) else { return nil }
    let file = SpoolFile(descriptor: descriptor, path: path)
    do throws(RingError) {
      guard file.locks(LOCK_SH), file.isInFolder else {
        throw RingError(.inUse, "the spool file '\(path)' is just being removed, because no fork has used it for days")
      }
      return (file, try file.prepare(epoch))
    } catch {
      file.close()
      throw error
    }
  }

  /// Opens the file, or creates it with mode 0600, in a folder that has been checked. Returns nil where there is none
  /// and none is to be created.
  private static func openPrivately(_ path: String, creates: Bool) throws(RingError) -> CInt? {
    let parts = path.split(separator: "/", omittingEmptySubsequences: false)
    let folder = parts.dropLast().joined(separator: "/") + "/"
    // The folder stays the one that is checked, even if its path leads elsewhere meanwhile.
    let directory = Glibc.open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard directory >= 0 else {
      if !creates, errno == ENOENT { return nil }
      throw RingError(what: "spool", path: path, doing: "open", errno: errno)
    }
    defer { Glibc.close(directory) }
    try checkFolder(directory, folder)
    let name = parts.last.map(String.init) ?? ""
    let flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK
    var descriptor = openat(directory, name, flags)
    if descriptor < 0, errno == ENOENT {
      guard creates else { return nil }
      descriptor = openat(directory, name, flags | O_CREAT | O_EXCL, 0o600)
    }
    guard descriptor >= 0 else { throw RingError(what: "spool", path: path, doing: "open", errno: errno) }
    return descriptor
  }

  private static func checkFolder(_ directory: CInt, _ path: String) throws(RingError) {
    var status = stat()
    guard fstat(directory, &status) == 0 else {
      throw RingError(what: "spool", path: path, doing: "look at", errno: errno)
    }
    guard status.st_uid == geteuid(), status.st_mode & 0o022 == 0 else {
      throw RingError(
        .notPermitted,
        "the spool folder '\(path)' is another user's, or others may write into it: give it to Asterisk's user with "
          + "mode 0700, or give another folder as spool")
    }
  }

  private func prepare(_ epoch: StreamEpoch) throws(RingError) -> Content {
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw failed("look at") }
    guard status.st_mode & S_IFMT == S_IFREG else {
      throw RingError(.foreign, "'\(path)' is not a regular file: give another folder as spool")
    }
    guard status.st_uid == geteuid(), status.st_mode & 0o077 == 0, status.st_nlink == 1 else {
      throw RingError(
        .notPermitted,
        "the spool file '\(path)' was not made by this Asterisk: it is another user's, others may open it, or it has "
          + "a second name. Find out who made it, and remove it")
    }
    var header = [UInt8]()
    for word in [
      SpoolFile.magic, UInt64(bitPattern: epoch.monotonic.nanoseconds),
      UInt64(bitPattern: epoch.wall.nanoseconds), 0,
    ] {
      header.append(littleEndian: word)
    }
    guard try read(at: 0, count: SpoolFile.headerBytes) == header else {
      guard ftruncate(descriptor, 0) == 0 else { throw failed("empty") }
      try write(header, at: 0)
      return Content()
    }
    let content = try scan()
    guard ftruncate(descriptor, off_t(content.end)) == 0 else { throw failed("cut") }
    return content
  }

  private func scan() throws(RingError) -> Content {
    var content = Content()
    while true {
      let bytes = try read(at: content.end, count: SpoolFile.readBytes)
      var offset = 0
      while let found = SpoolRecord.find(in: bytes, at: offset),
        content.lastSequence.map({ $0 < found.sequence }) ?? true
      {
        let place = content.end + offset
        if content.places.last.map({ place - $0.offset >= SpoolFile.placeSpacing }) ?? true {
          content.places.append(Place(sequence: found.sequence, offset: place))
        }
        content.lastSequence = found.sequence
        offset += found.length
      }
      guard offset > 0 else { return content }
      content.end += offset
    }
  }

  /// Writes records; `isSynced`: returns when the disk has them.
  package func write(_ bytes: [UInt8], at offset: Int, isSynced: Bool = false) throws(RingError) {
    var written = 0
    while written < bytes.count {
      let count = bytes.withUnsafeBytes { buffer in
        pwrite(descriptor, buffer.baseAddress.map { $0 + written }, buffer.count - written, off_t(offset + written))
      }
      guard count > 0 else {
        if count < 0, errno == EINTR { continue }
        let failure = failed("write")
        // A record that is half there would be in the way of the next one.
        _ = ftruncate(descriptor, off_t(offset))
        throw failure
      }
      written += count
    }
    guard !isSynced || fdatasync(descriptor) == 0 else { throw failed("sync") }
  }

  /// Bytes from `offset` on; fewer than `count` at the end of the file.
  package func read(at offset: Int, count: Int) throws(RingError) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    var filled = 0
    while filled < count {
      let got = bytes.withUnsafeMutableBytes { buffer in
        pread(descriptor, buffer.baseAddress.map { $0 + filled }, count - filled, off_t(offset + filled))
      }
      if got < 0, errno == EINTR { continue }
      guard got >= 0 else { throw failed("read") }
      if got == 0 { break }
      filled += got
    }
    bytes.removeLast(count - filled)
    return bytes
  }

  /// Takes all records away.
  package func empty() throws(RingError) {
    guard ftruncate(descriptor, off_t(SpoolFile.headerBytes)) == 0 else { throw failed("empty") }
  }

  /// Takes the file away, and nothing may be called afterwards but `close`.
  package func unlink() { SpoolFile.remove(path) }

  /// The same of a file that could not be opened.
  package static func remove(_ path: String) { Glibc.unlink(path) }

  /// Removes a spool file that no engine has open and that was last written before `time` (CLOCK_REALTIME, seconds).
  /// Returns how many bytes it had, or nil where it stays. Anything but a spool file stays.
  package static func removeLeftover(_ path: String, writtenBefore time: Int) -> Int? {
    let descriptor = Glibc.open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
    guard descriptor >= 0 else { return nil }
    let file = SpoolFile(descriptor: descriptor, path: path)
    defer { file.close() }
    var status = stat()
    // The lock before the look: an engine that opens the file from now on is turned away, and tries again.
    guard file.locks(LOCK_EX), fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG, status.st_nlink > 0,
      status.st_mtim.tv_sec < time, file.isSpool
    else { return nil }
    return Glibc.unlink(path) == 0 ? Int(status.st_size) : nil
  }

  /// Whether the lock was free. On a file system without locks no file is ever a leftover.
  private func locks(_ kind: CInt) -> Bool {
    if flock(descriptor, kind | LOCK_NB) == 0 { return true }
    return kind == LOCK_SH && errno != EWOULDBLOCK
  }

  /// False once the file was removed.
  private var isInFolder: Bool {
    var status = stat()
    return fstat(descriptor, &status) == 0 && status.st_nlink > 0
  }

  private var isSpool: Bool {
    guard let start = try? read(at: 0, count: 8), start.count == 8 else { return false }
    return LittleEndian.read64(start, at: 0) == SpoolFile.magic
  }

  package func close() { Glibc.close(descriptor) }

  private func failed(_ verb: String) -> RingError {
    RingError(what: "spool", path: path, doing: verb, errno: errno)
  }
}
