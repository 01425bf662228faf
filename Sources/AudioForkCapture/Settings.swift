// SPDX-License-Identifier: GPL-2.0-or-later
import CAsterisk

#if canImport(AudioForkOptions)
import AudioForkOptions
#endif

/// What `audiofork.conf` says in `[general]`.
struct Settings {
  /// Path of the engine.
  var engine = bytes(af_default_engine())
  /// Folder for the instances' directories.
  var runDirectory = Settings.defaultRunDirectory()
  /// Seconds of audio that a ring keeps.
  var bufferSeconds = 10

  static let fileName: StaticString = "audiofork.conf"
  static let bufferRange = 1...600
  /// Seconds for delivery after the end of capture.
  static let drainSeconds = 10

  /// Reads the file. Returns nil, after a line in the log for each mistake, when something in it is wrong; a
  /// missing file is none.
  static func load() -> Settings? {
    var settings = Settings()
    var broken: CInt = 0
    let name = cString(Bytes(text: fileName))
    guard let config = af_config_load(name, &broken) else {
      if broken != 0 { log(AF_LEVEL_ERROR, "audiofork.conf is of no use; see the lines above") }
      return broken == 0 ? settings : nil
    }
    var isGood = true
    let section = cString(Bytes(text: "general"))
    var variable = ast_variable_browse(config, section)
    while let entry = variable {
      if !settings.set(bytes(entry.pointee.name), to: bytes(entry.pointee.value)) { isGood = false }
      variable = entry.pointee.next
    }
    ast_config_destroy(config)
    return isGood ? settings : nil
  }

  private mutating func set(_ key: Bytes, to value: Bytes) -> Bool {
    if equal(key, ignoringCase: "engine") {
      guard value.first == UInt8(ascii: "/") else { return Settings.refuse(key, value, "an absolute path") }
      engine = value
    } else if equal(key, ignoringCase: "run_dir") {
      guard value.first == UInt8(ascii: "/"), value.count <= 200 else {
        return Settings.refuse(key, value, "an absolute path of at most 200 characters")
      }
      runDirectory = value
    } else if equal(key, ignoringCase: "buffer") {
      guard let seconds = decimal(value), bufferRange.contains(seconds) else {
        return Settings.refuse(key, value, "a whole number of seconds from 1 to 600")
      }
      bufferSeconds = seconds
    } else {
      log(
        AF_LEVEL_WARNING, "audiofork.conf, [general]: unknown key '", .bytes(key),
        "' is ignored; known are engine, run_dir, buffer")
    }
    return true
  }

  private static func refuse(_ key: Bytes, _ value: Bytes, _ form: StaticString) -> Bool {
    log(
      AF_LEVEL_ERROR, "audiofork.conf, [general]: ", .bytes(key), " = '", .bytes(value), "' is not accepted; it takes ",
      .literal(form))
    return false
  }

  private var bufferRange: ClosedRange<Int> { Settings.bufferRange }

  private static func defaultRunDirectory() -> Bytes {
    if let directory = af_run_directory(), af_is_tmpfs(directory) != 0 {
      return bytes(directory) + Bytes(text: "/audiofork")
    }
    return text("/dev/shm/audiofork-", .number(Int(geteuid())))
  }
}
