// SPDX-License-Identifier: GPL-2.0-or-later
import CAsterisk

#if canImport(AudioForkOptions)
import AudioForkOptions
#endif

/// One load of the module: a directory of its own under `run_dir`, with a locked file that tells that it lives.
/// Process ids are no identity: `core restart now` keeps them.
struct Instance {
  /// 12 hexadecimal digits, part of every fork's id.
  let name: Bytes
  let directory: Bytes
  private let lock: CInt

  /// Makes the directory. Returns nil, after a line in the log, where that cannot be done.
  static func make(in runDirectory: Bytes) -> Instance? {
    let made = withCString(runDirectory) { mkdir($0, 0o700) }
    let failure = made == 0 ? 0 : af_errno()
    guard made == 0 || failure == EEXIST else {
      log(
        AF_LEVEL_ERROR, "cannot make the run directory ", .bytes(runDirectory), ": ", .bytes(reason(failure)),
        "; set run_dir in audiofork.conf to a folder on a tmpfs that Asterisk may write to")
      return nil
    }
    guard withCString(runDirectory, { af_is_private_directory($0) }) == 1 else {
      log(
        AF_LEVEL_ERROR, "the run directory ", .bytes(runDirectory),
        " is not a folder of Asterisk's user with mode 0700; remove it or set run_dir in audiofork.conf")
      return nil
    }
    guard withCString(runDirectory, { af_is_tmpfs($0) }) != 0 else {
      log(
        AF_LEVEL_ERROR, "the run directory ", .bytes(runDirectory),
        " is not on a tmpfs: a call would wait for the disk there; set run_dir in audiofork.conf to a folder under /run or /dev/shm")
      return nil
    }
    guard let name = randomName() else {
      log(AF_LEVEL_ERROR, "the system has no random numbers: ", .bytes(reason(af_errno())))
      return nil
    }
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
    return Instance(name: name, directory: directory, lock: lock)
  }

  /// Takes the directory away. What a fork left in it stays: it is somebody's audio.
  func remove() {
    _ = withCString(directory + Bytes(text: "/lock")) { unlink($0) }
    _ = withCString(directory) { rmdir($0) }
    close(lock)
  }

  /// The path of a fork's file, `suffix` with its dot.
  func path(_ id: Bytes, _ suffix: StaticString) -> Bytes {
    directory + Bytes(text: "/") + id + Bytes(text: suffix)
  }

  private static func randomName() -> Bytes? {
    var random: UInt64 = 0
    guard getentropy(&random, 6) == 0 else { return nil }
    var name = Bytes()
    var digit = 0
    while digit < 12 {
      let value = UInt8(truncatingIfNeeded: random & 15)
      name.append(value < 10 ? 48 &+ value : 87 &+ value)
      random = random &>> 4
      digit &+= 1
    }
    return name
  }
}
