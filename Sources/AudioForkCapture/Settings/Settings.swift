// SPDX-License-Identifier: GPL-2.0-or-later
import AudioForkBytes
import AudioForkSurface
import CAsterisk

/// One line of `audiofork.conf` for forks, its variables not yet evaluated.
struct SettingLine {
  let key: ProfileKey
  let value: Bytes

  /// Whether the value is known only when the fork starts.
  var holdsVariable: Bool { isEvaluated(value) }
}

/// A section of `audiofork.conf` other than `[general]`.
struct Profile {
  let name: Bytes
  /// In the file's order, those of templates first.
  var lines = [SettingLine]()
}

/// The settings of `audiofork.conf`.
struct Settings {
  /// Path of the engine.
  var engine = bytes(af_default_engine())
  /// Folder for the instances' directories.
  var runDirectory = RunDirectory.standard()
  /// Cap of all rings together, megabytes; 0: none; nil: the default, `RingMemory.standardLimit`.
  var bufferTotalMegabytes: Int?
  /// Whether events are raised for Stasis too.
  var raisesStasisEvents = false
  /// Who may give AudioFork a command.
  var commands = CommandPolicy.dialplan
  /// Functions that `^{…}` may name besides the built-in ones.
  var functions = [Bytes]()
  /// Whether the engine confines itself.
  var confinesEngine = true
  /// Keys of `[general]` that the engine uses as a whole, and the patterns for URLs.
  var engineSettings = EngineSettings()
  /// Keys of `[general]` that are defaults for every fork.
  var defaults = [SettingLine]()
  var profiles = [Profile]()

  /// The profile with this name, case ignored as in Asterisk's own sections.
  func profile(_ name: Bytes) -> Profile? { profiles.first { lowercased($0.name) == lowercased(name) } }

  /// Returns whether forks to this URL are allowed.
  func allows(_ url: EndpointURL) -> Bool { engineSettings.allows(url) }
}

/// Whether the text has something that is evaluated when the fork starts: `${…}`, `$[…]` or `^{…}`.
func isEvaluated(_ text: Bytes) -> Bool {
  var index = 0
  while index &+ 1 < text.count {
    if expressionEnd(in: text, at: index) != nil { return true }
    let next = text[index &+ 1]
    if text[index] == UInt8(ascii: "$"), next == UInt8(ascii: "{") || next == UInt8(ascii: "[") { return true }
    index &+= 1
  }
  return false
}

/// Whether the text contains `://`: a URL and not the name of a profile.
func holdsScheme(_ text: Bytes) -> Bool {
  var index = 0
  while index &+ 2 < text.count {
    if text[index] == UInt8(ascii: ":"), text[index &+ 1] == UInt8(ascii: "/"), text[index &+ 2] == UInt8(ascii: "/") {
      return true
    }
    index &+= 1
  }
  return false
}

func isURL(_ key: ProfileKey) -> Bool {
  if case .url = key.kind { return true }
  return false
}

/// What came from outside, for a message: on one line, cut.
func shown(_ text: Bytes) -> Bytes {
  var line = Bytes()
  line.append(shown: text)
  return line
}
