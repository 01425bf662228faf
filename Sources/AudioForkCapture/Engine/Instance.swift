// SPDX-License-Identifier: GPL-2.0-or-later
import AudioForkBytes
import AudioForkSurface
import CAsterisk

/// One load of the module: a directory of its own under `run_dir`, with a locked file that tells that it lives.
/// Process ids are no identity: `core restart now` keeps them.
struct Instance {
  /// 12 hexadecimal digits, part of every fork's id.
  let name: Bytes
  let directory: Bytes
  /// Descriptor of the locked file. The directory's lock guards it.
  nonisolated(unsafe) private static var lock: CInt = -1
  /// The log has a line about a directory that cannot be made again.
  nonisolated(unsafe) private static var hasComplained = false
  nonisolated(unsafe) private static var restored = 0

  /// Makes the directory in `place`. Returns nil, after a line in the log, where that cannot be done.
  static func make(in place: RunDirectory) -> Instance? {
    guard let runDirectory = place.make(), let name = randomName() else { return nil }
    let directory = runDirectory + Bytes(text: "/") + name
    guard withCString(directory, { mkdir($0, 0o700) }) == 0 else {
      log(
        AF_LEVEL_ERROR, "cannot make ", .bytes(directory), ": ", .bytes(reason(af_errno())),
        "; make the run directory writable for Asterisk or set run_dir in audiofork.conf")
      return nil
    }
    let lock = withCString(directory + Bytes(text: "/lock")) { af_lock_file($0) }
    guard lock >= 0 else {
      log(AF_LEVEL_ERROR, "cannot lock ", .bytes(directory), "/lock: ", .bytes(reason(0 &- lock)))
      _ = withCString(directory) { rmdir($0) }
      return nil
    }
    Instance.lock = lock
    hasComplained = false
    return Instance(name: name, directory: directory)
  }

  /// How often the directory was made again.
  static var restoredCount: Int {
    af_directory_lock()
    defer { af_directory_unlock() }
    return restored
  }

  /// Makes the directory again, and the lock in it, if they were removed. Returns whether they are there.
  /// Blocks; never with a channel or the table locked.
  func restore() -> Bool {
    af_directory_lock()
    defer { af_directory_unlock() }
    guard af_is_nameless(Instance.lock) != 0 else { return true }
    let folder = slice(directory, 0, directory.count &- name.count &- 1)
    guard RunDirectory.remake(folder, isQuiet: Instance.hasComplained) else {
      Instance.hasComplained = true
      return false
    }
    let made = withCString(directory) { mkdir($0, 0o700) }
    let failure = made == 0 || af_errno() == EEXIST ? 0 : af_errno()
    let lock = failure == 0 ? withCString(directory + Bytes(text: "/lock")) { af_lock_file($0) } : 0 &- failure
    guard lock >= 0 else {
      if !Instance.hasComplained {
        log(
          AF_LEVEL_ERROR, "the run directory was removed, and ", .bytes(directory), " cannot be made again: ",
          .bytes(reason(0 &- lock)), "; no fork starts until it can. Make its parent writable for Asterisk, or set",
          " run_dir and load the module again")
      }
      Instance.hasComplained = true
      return false
    }
    close(Instance.lock)
    Instance.lock = lock
    Instance.hasComplained = false
    Instance.restored &+= 1
    log(
      AF_LEVEL_WARNING, "the run directory ", .bytes(directory),
      " was removed and has been made again; forks continue in new rings. Find what removes it: RemoveIPC= or",
      " RuntimeDirectory= of systemd (see run_dir in docs/reference/configuration.md)")
    return true
  }

  /// Says in the log where the directory lies in one of the service's runtime directories (systemd.exec(5)), whose
  /// names the service has in its environment.
  func tellIfRemovedBySystemd() {
    for folder in parts(of: bytes(getenv("RUNTIME_DIRECTORY")), separatedBy: UInt8(ascii: ":"))
    where !folder.isEmpty && directory.starts(with: folder + Bytes(text: "/")) {
      log(
        AF_LEVEL_NOTICE, "the run directory ", .bytes(directory), " is in ", .bytes(folder),
        ", which systemd removes when Asterisk stops, with audio that is not delivered by then; set",
        " RuntimeDirectoryPreserve=restart in the service's unit, unless that is done, or run_dir in audiofork.conf")
    }
  }

  /// Takes the directory away. What a fork left in it stays: it is somebody's audio.
  func remove() {
    _ = withCString(directory + Bytes(text: "/lock")) { unlink($0) }
    _ = withCString(directory) { rmdir($0) }
    close(Instance.lock)
    Instance.lock = -1
  }

  /// The path of a generation of a fork's ring, as the engine looks for it.
  func ringPath(_ id: Bytes, _ generation: UInt32) -> Bytes {
    guard generation > 0 else { return path(id, ".ring") }
    return directory + Bytes(text: "/") + id + text(".", .number(Int(generation)), ".ring")
  }

  /// The path of a fork's file, `suffix` with its dot.
  func path(_ id: Bytes, _ suffix: StaticString) -> Bytes {
    directory + Bytes(text: "/") + id + Bytes(text: suffix)
  }
}
