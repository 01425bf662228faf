// SPDX-License-Identifier: GPL-2.0-or-later
import AudioForkBytes
import AudioForkSurface
import CAsterisk

/// A place in the configuration, for lines in the log about mistakes there.
struct ConfigurationPlace {
  static let fileName: StaticString = "audiofork.conf"
  /// The included file with the mistake; empty for audiofork.conf itself, as Asterisk has it.
  var file = Bytes()
  let section: Bytes

  private var shownFile: Bytes { file.isEmpty ? Bytes(text: ConfigurationPlace.fileName) : file }

  /// Logs an error at this place.
  func logError(_ pieces: TextPiece...) {
    log(AF_LEVEL_ERROR, .bytes(shownFile), ", [", .bytes(shown(section)), "]: ", .bytes(joined(pieces)))
  }

  /// Logs that a key is unknown, and the known ones.
  func logUnknownKey(_ key: Bytes, known: [StaticString]) {
    var names = Bytes()
    for name in known {
      if !names.isEmpty { names.append(", ") }
      names.append(name)
    }
    log(
      AF_LEVEL_WARNING, .bytes(shownFile), ", [", .bytes(shown(section)), "]: unknown key '", .bytes(shown(key)),
      "' is ignored; known are ", .bytes(names))
  }
}
