// SPDX-License-Identifier: GPL-2.0-or-later
import AudioForkBytes
import AudioForkSurface
import CAsterisk

extension Settings {
  /// Reads audiofork.conf. Logs each mistake, and returns nil if there is one. Without a file the defaults count.
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
      // By the pointer that browsing returned, so that two sections of one name are read apart.
      if !settings.read(bytes(category), ast_variable_browse(config, category)) { isGood = false }
      section = ast_category_browse(config, category)
    }
    ast_config_destroy(config)
    return isGood ? settings : nil
  }

  /// Reads one section. Returns false if there is a mistake in it.
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
      place.logError("a profile's name contains no '://': it would be taken for a URL")
      return false
    }
    guard profile(name) == nil else {
      place.logError("there are two sections of this name; write [name](+) to add to one")
      return false
    }
    return true
  }

  /// Checks a profile as a whole. Values of variables are not known yet.
  private static func check(_ profile: Profile) -> Bool {
    let place = ConfigurationPlace(section: profile.name)
    guard profile.lines.contains(where: { isURL($0.key) }) else {
      place.logError("a profile needs a url: ws://host[:port][/path] or wss://host[:port][/path]")
      return false
    }
    var options = ForkOptions()
    do {
      for line in profile.lines where !line.holdsVariable { try options.apply(line.key, line.value) }
      guard !profile.lines.contains(where: { $0.holdsVariable }) else { return true }
      try options.check()
    } catch {
      place.logError(.bytes(error.message))
      return false
    }
    return true
  }

  private static func add(
    _ name: Bytes, _ value: Bytes, to profile: inout Profile, _ place: ConfigurationPlace
  ) -> Bool {
    guard let key = ProfileKey.named(name) else {
      place.logUnknownKey(name, known: ProfileKey.all.map { $0.name })
      return true
    }
    guard isAccepted(key, value, place) else { return false }
    profile.lines.append(SettingLine(key: key, value: value))
    return true
  }

  /// Returns whether the key takes the value. Values with variables are checked when a fork starts.
  private static func isAccepted(_ key: ProfileKey, _ value: Bytes, _ place: ConfigurationPlace) -> Bool {
    guard !isEvaluated(value) else { return hasGoodPlaces(key, value, place) }
    var trial = ForkOptions()
    do {
      try trial.apply(key, value)
      return true
    } catch {
      // The error of a URL does not name its key.
      if isURL(key) {
        place.logError("url: ", .bytes(error.message))
      } else {
        place.logError(.bytes(error.message))
      }
      return false
    }
  }

  /// Returns whether each `^{…}` of a URL is in its path or query. A URL with `${…}` is checked when a fork starts.
  private static func hasGoodPlaces(_ key: ProfileKey, _ value: Bytes, _ place: ConfigurationPlace) -> Bool {
    let template = ArgumentTemplate(setting: value)
    guard key.kind.takesExpressions || !template.hasExpressions else {
      place.logError(
        .literal(key.name), " must not contain ^{...}, because a caller would choose its value; it takes ",
        .bytes(key.form))
      return false
    }
    guard isURL(key), !value.contains(UInt8(ascii: "$")) else { return true }
    do {
      _ = try EndpointURL.parse(try EndpointURL.text(template) { _ in Bytes(text: "x") })
      return true
    } catch {
      place.logError("url: ", .bytes(error.message))
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
      let known = GeneralKey.all.map { $0.name } + ProfileKey.all.filter { $0.isGeneral }.map { $0.name }
      place.logUnknownKey(name, known: known)
      return true
    }
    guard set(key, value) else {
      place.logError(
        .literal(key.name), " = '", .bytes(value.contains(UInt8(ascii: "@")) ? Bytes(text: "...") : shown(value)),
        "' is not accepted; it takes ", .literal(key.form))
      return false
    }
    return true
  }

  /// Parses and stores the value of a key of `[general]`. Returns false if it is invalid.
  private mutating func set(_ key: GeneralKey, _ value: Bytes) -> Bool {
    switch key.kind {
    case .engine:
      guard value.first == UInt8(ascii: "/") else { return false }
      engine = value
    case .runDirectory:
      guard value.first == UInt8(ascii: "/"), value.count <= 200 else { return false }
      runDirectory = .configured(value)
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
    case .confine:
      guard let isOn = ForkOptions.truth(value) else { return false }
      confinesEngine = isOn
    case .allow, .engineWide: return engineSettings.set(key, value)
    case .stasis:
      guard let isOn = ForkOptions.truth(value) else { return false }
      raisesStasisEvents = isOn
    }
    return true
  }
}
