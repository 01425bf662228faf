// SPDX-License-Identifier: GPL-2.0-or-later
import AudioForkBytes
import AudioForkSurface
import CAsterisk

/// Where the instances' directories are made: a folder of Asterisk's user with mode 0700, on a tmpfs.
enum RunDirectory {
  /// As `run_dir` says, and no other.
  case configured(Bytes)
  /// `audiofork` in Asterisk's own run directory.
  case ofAsterisk(Bytes)
  /// `audiofork-UID` in a folder into which every user may write. Any of them can have taken the name before us; the
  /// substitute is `audiofork-UID-` and 12 hexadecimal digits.
  case shared(folder: Bytes)

  static func standard() -> RunDirectory {
    if let directory = af_run_directory(), af_is_tmpfs(directory) != 0 {
      return .ofAsterisk(bytes(directory) + Bytes(text: "/audiofork"))
    }
    return .shared(folder: bytes(af_shared_memory()))
  }

  /// The path that is shown and tried first.
  var path: Bytes {
    switch self {
    case .configured(let path), .ofAsterisk(let path): path
    case .shared(let folder): folder + Bytes(text: "/") + RunDirectory.sharedName
    }
  }

  /// Makes the directory where it is missing. Returns its path, or nil after a line in the log.
  func make() -> Bytes? {
    guard case .shared(let folder) = self else { return RunDirectory.make(path) ? path : nil }
    // Made by an earlier load: an engine beside them finds and delivers the rings that a dead Asterisk left there.
    if let earlier = RunDirectory.earlierSubstitute(in: folder) { return use(earlier) }
    let made = withCString(path) { mkdir($0, 0o700) }
    let isTaken = made != 0 && af_errno() == EEXIST && withCString(path) { af_is_private_directory($0) } != 1
    guard isTaken else { return RunDirectory.make(path) ? path : nil }
    guard let name = randomName() else { return nil }
    let substitute = path + Bytes(text: "-") + name
    return RunDirectory.make(substitute) ? use(substitute) : nil
  }

  private func use(_ substitute: Bytes) -> Bytes {
    log(
      AF_LEVEL_WARNING, "the run directory is ", .bytes(substitute), ", because ", .bytes(path),
      " was not Asterisk's: remove that, and find out who made it; or set run_dir in audiofork.conf to a folder that",
      " only Asterisk's user may enter")
    return substitute
  }

  private static var sharedName: Bytes { text("audiofork-", .number(Int(geteuid()))) }

  /// The first directory by name in `folder` that is ours and bears a name as `make()` chooses it.
  private static func earlierSubstitute(in folder: Bytes) -> Bytes? {
    guard let stream = withCString(folder, { opendir($0) }) else { return nil }
    defer { closedir(stream) }
    let prefix = sharedName + Bytes(text: "-")
    var found: Bytes?
    while let entry = readdir(stream) {
      let name = withUnsafeBytes(of: entry.pointee.d_name) { raw in Bytes(raw.prefix { $0 != 0 }) }
      guard name.count == prefix.count &+ nameDigits, name.starts(with: prefix) else { continue }
      let path = folder + Bytes(text: "/") + name
      guard withCString(path, { af_is_private_directory($0) }) == 1 else { continue }
      if let other = found, !path.lexicographicallyPrecedes(other) { continue }
      found = path
    }
    return found
  }

  /// Makes a directory again that was used before. Returns false, after a line in the log unless `isQuiet`, if that is
  /// not possible.
  static func remake(_ path: Bytes, isQuiet: Bool) -> Bool {
    if isQuiet {
      _ = withCString(path) { mkdir($0, 0o700) }
      return withCString(path) { af_is_private_directory($0) == 1 && af_is_tmpfs($0) != 0 }
    }
    return make(path)
  }

  /// Makes one directory, or accepts it where it exists. False after a line in the log.
  private static func make(_ path: Bytes) -> Bool {
    let made = withCString(path) { mkdir($0, 0o700) }
    let failure = made == 0 ? 0 : af_errno()
    guard made == 0 || failure == EEXIST else {
      log(
        AF_LEVEL_ERROR, "cannot make the run directory ", .bytes(path), ": ", .bytes(reason(failure)),
        "; set run_dir in audiofork.conf to a folder on a tmpfs that Asterisk may write to")
      return false
    }
    guard withCString(path, { af_is_private_directory($0) }) == 1 else {
      log(
        AF_LEVEL_ERROR, "the run directory ", .bytes(path),
        " is not a folder of Asterisk's user with mode 0700; remove it or set run_dir in audiofork.conf")
      return false
    }
    guard withCString(path, { af_is_tmpfs($0) }) != 0 else {
      log(
        AF_LEVEL_ERROR, "the run directory ", .bytes(path),
        " is not on a tmpfs: a call would wait for the disk there; set run_dir in audiofork.conf to a folder under",
        " /run or /dev/shm")
      return false
    }
    return true
  }
}

/// Digits of `randomName()`.
private let nameDigits = 12

/// 12 random hexadecimal digits. Nil after a line in the log, where the system has none.
func randomName() -> Bytes? {
  var random: UInt64 = 0
  guard getentropy(&random, 6) == 0 else {
    log(AF_LEVEL_ERROR, "the system has no random numbers: ", .bytes(reason(af_errno())))
    return nil
  }
  var name = Bytes()
  var digit = 0
  while digit < nameDigits {
    let value = UInt8(truncatingIfNeeded: random & 15)
    name.append(value < 10 ? 48 &+ value : 87 &+ value)
    random = random &>> 4
    digit &+= 1
  }
  return name
}
