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
  private let lock: CInt

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
    return Instance(name: name, directory: directory, lock: lock)
  }

  /// Says in the log where the directory lies in one of the service's runtime directories (systemd.exec(5)), whose
  /// names the service has in its environment.
  func tellIfRemovedBySystemd() {
    for folder in parts(of: bytes(getenv("RUNTIME_DIRECTORY")), separatedBy: UInt8(ascii: ":"))
    where !folder.isEmpty && directory.starts(with: folder + Bytes(text: "/")) {
      log(
        AF_LEVEL_NOTICE, "the run directory ", .bytes(directory), " is in ", .bytes(folder),
        ", which systemd removes when",
        " Asterisk stops, with audio that is not delivered by then; set RuntimeDirectoryPreserve=restart in the service's",
        " unit, unless that is done, or run_dir in audiofork.conf")
    }
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
}
