// SPDX-License-Identifier: GPL-2.0-or-later
import AudioForkOptions
import CAsterisk

/// One line of `audiofork.conf` that a fork's options are made from, its variables not yet evaluated.
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

/// What `audiofork.conf` says.
struct Settings {
  /// Path of the engine.
  var engine = bytes(af_default_engine())
  /// Folder for the instances' directories.
  var runDirectory = RunDirectory.standard()
  /// Patterns for URLs; empty: every URL.
  var allow = [AllowPattern]()
  /// Cap of all rings together, megabytes; 0: none.
  var bufferTotalMegabytes = 0
  /// Whether events are raised for Stasis too.
  var raisesStasisEvents = false
  /// Who may give AudioFork a command.
  var commands = CommandPolicy.dialplan
  /// Functions that `^{…}` may name besides the built-in ones.
  var functions = [Bytes]()
  /// Keys of `[general]` that the engine uses as a whole.
  var engineSettings = EngineSettings()
  /// Keys of `[general]` that are defaults for every fork.
  var defaults = [SettingLine]()
  var profiles = [Profile]()

  /// The profile with this name, case ignored as in Asterisk's own sections.
  func profile(_ name: Bytes) -> Profile? { profiles.first { lowercased($0.name) == lowercased(name) } }

  /// Whether a fork may go to the URL.
  func allows(_ url: EndpointURL) -> Bool { allow.isEmpty || allow.contains { $0.allows(url) } }

  /// Reads the file. Returns nil, after a line in the log for each mistake, when something in it is wrong; a
  /// missing file is none.
  static func load() -> Settings? {
    var settings = Settings()
    var broken: CInt = 0
    let name = cString(Bytes(text: ConfigurationPlace.fileName))
    guard let config = af_config_load(name, &broken) else {
      if broken != 0 { log(AF_LEVEL_ERROR, "audiofork.conf is of no use; see the lines above") }
      return broken == 0 ? settings : nil
    }
    var isGood = true
    var section = ast_category_browse(config, nil)
    while let category = section {
      // By the pointer that browsing returned: two sections of one name are told apart.
      if !settings.read(bytes(category), ast_variable_browse(config, category)) { isGood = false }
      section = ast_category_browse(config, category)
    }
    ast_config_destroy(config)
    return isGood ? settings : nil
  }

  /// Reads one section; false where something in it is wrong.
  private mutating func read(_ name: Bytes, _ first: UnsafeMutablePointer<ast_variable>?) -> Bool {
    let isGeneral = equal(name, ignoringCase: "general")
    guard isGeneral || checkName(name) else { return false }
    var profile = Profile(name: name)
    var isGood = true
    var variable = first
    while let entry = variable {
      let place = ConfigurationPlace(file: bytes(entry.pointee.file), section: name)
      let key = bytes(entry.pointee.name)
      let value = bytes(entry.pointee.value)
      let isAccepted = isGeneral ? setGeneral(key, value, place) : Settings.add(key, value, to: &profile, place)
      if !isAccepted { isGood = false }
      variable = entry.pointee.next
    }
    if !isGeneral {
      if isGood { isGood = Settings.check(profile) }
      profiles.append(profile)
    }
    return isGood
  }

  private func checkName(_ name: Bytes) -> Bool {
    let place = ConfigurationPlace(section: name)
    if holdsScheme(name) {
      place.refuse("a profile's name contains no '://': it would be taken for a URL")
      return false
    }
    guard profile(name) == nil else {
      place.refuse("there are two sections of this name; write [name](+) to add to one")
      return false
    }
    return true
  }

  /// A profile as a whole. What stands in a variable is not known yet.
  private static func check(_ profile: Profile) -> Bool {
    let place = ConfigurationPlace(section: profile.name)
    guard profile.lines.contains(where: { isURL($0.key) }) else {
      place.refuse("a profile needs a url: ws://host[:port][/path] or wss://host[:port][/path]")
      return false
    }
    var options = ForkOptions()
    do {
      for line in profile.lines where !line.holdsVariable { try options.apply(line.key, line.value) }
      guard !profile.lines.contains(where: { $0.holdsVariable }) else { return true }
      try options.check()
    } catch {
      place.refuse(.bytes(error.message))
      return false
    }
    return true
  }

  private static func add(_ name: Bytes, _ value: Bytes, to profile: inout Profile, _ place: ConfigurationPlace) -> Bool {
    guard let key = ProfileKey.named(name) else {
      place.warnUnknown(name, known: ProfileKey.all.map { $0.name })
      return true
    }
    guard isAccepted(key, value, place) else { return false }
    profile.lines.append(SettingLine(key: key, value: value))
    return true
  }

  /// Whether the key takes the value, as far as that can be said before its variables are evaluated.
  private static func isAccepted(_ key: ProfileKey, _ value: Bytes, _ place: ConfigurationPlace) -> Bool {
    guard !isEvaluated(value) else { return hasGoodPlaces(key, value, place) }
    var trial = ForkOptions()
    do {
      try trial.apply(key, value)
      return true
    } catch {
      // The message of a URL does not say which key it is.
      if isURL(key) {
        place.refuse("url: ", .bytes(error.message))
      } else {
        place.refuse(.bytes(error.message))
      }
      return false
    }
  }

  /// Whether each `^{…}` of a URL stands where it may, as far as that can be said before `${…}` are evaluated.
  private static func hasGoodPlaces(_ key: ProfileKey, _ value: Bytes, _ place: ConfigurationPlace) -> Bool {
    let template = ArgumentTemplate(setting: value)
    guard isURL(key), !value.contains(UInt8(ascii: "$")) else { return true }
    do {
      _ = try EndpointURL.parse(try EndpointURL.text(template) { _ in Bytes(text: "x") })
      return true
    } catch {
      place.refuse("url: ", .bytes(error.message))
      return false
    }
  }

  private mutating func setGeneral(_ name: Bytes, _ value: Bytes, _ place: ConfigurationPlace) -> Bool {
    if let key = ProfileKey.named(name), key.isGeneral {
      guard Settings.isAccepted(key, value, place) else { return false }
      defaults.append(SettingLine(key: key, value: value))
      return true
    }
    guard let key = GeneralKey.named(name) else {
      place.warnUnknown(name, known: GeneralKey.all.map { $0.name } + ProfileKey.all.filter { $0.isGeneral }.map { $0.name })
      return true
    }
    guard set(key, value) else {
      place.refuse(
        .literal(key.name), " = '", .bytes(value.contains(UInt8(ascii: "@")) ? Bytes(text: "...") : shown(value)),
        "' is not accepted; it takes ", .literal(key.form))
      return false
    }
    return true
  }

  /// Sets what a key of `[general]` stands for; false where the value is not one.
  private mutating func set(_ key: GeneralKey, _ value: Bytes) -> Bool {
    switch key.kind {
    case .engine:
      guard value.first == UInt8(ascii: "/") else { return false }
      engine = value
    case .runDirectory:
      guard value.first == UInt8(ascii: "/"), value.count <= 200 else { return false }
      runDirectory = .configured(value)
    case .allow:
      guard let pattern = AllowPattern(value) else { return false }
      allow.append(pattern)
    case .bufferTotal:
      guard let megabytes = decimal(value), megabytes <= GeneralKey.bufferTotalMax else { return false }
      bufferTotalMegabytes = megabytes
    case .commands:
      guard let policy = CommandPolicy(value) else { return false }
      commands = policy
    case .functions:
      let names = parts(of: value, separatedBy: UInt8(ascii: ",")).map { trimmed($0) }
      guard !names.isEmpty, names.allSatisfy({ ChannelCall.mayBeAllowed($0) }) else { return false }
      functions += names
    case .engineWide: return engineSettings.set(key, value)
    case .stasis:
      guard let isOn = ForkOptions.truth(value) else { return false }
      raisesStasisEvents = isOn
    }
    return true
  }
}

/// Where in the configuration something is wrong.
private struct ConfigurationPlace {
  static let fileName: StaticString = "audiofork.conf"
  /// As Asterisk says it: empty for the file itself, else the included one.
  var file = Bytes()
  let section: Bytes

  private var shownFile: Bytes { file.isEmpty ? Bytes(text: ConfigurationPlace.fileName) : file }

  func refuse(_ pieces: TextPiece...) {
    log(AF_LEVEL_ERROR, .bytes(shownFile), ", [", .bytes(shown(section)), "]: ", .bytes(joined(pieces)))
  }

  func warnUnknown(_ key: Bytes, known: [StaticString]) {
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

/// Whether the text has something that is evaluated when the fork starts: `${…}`, `$[…]` or `^{…}`.
func isEvaluated(_ text: Bytes) -> Bool {
  var index = 0
  while index &+ 1 < text.count {
    if expressionEnd(in: text, at: index) != nil { return true }
    if text[index] == UInt8(ascii: "$"), text[index &+ 1] == UInt8(ascii: "{") || text[index &+ 1] == UInt8(ascii: "[") {
      return true
    }
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
