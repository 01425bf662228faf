// SPDX-License-Identifier: GPL-2.0-or-later
import CAsterisk

#if canImport(AudioForkOptions)
import AudioForkOptions
#endif
#if canImport(AudioForkTap)
import AudioForkTap
#endif

/// What a fork is made from: the words that its ring carries to the engine, and what they mean.
struct ForkPlan {
  private(set) var options = ForkOptions()
  /// As given, user information included: secrets.
  private var urls = [Bytes]()
  /// "key=value", evaluated: may hold secrets.
  private var settings = [Bytes]()
  private let optionText: Bytes
  /// Evaluated; empty: none.
  private(set) var command = Bytes()

  /// Defaults of `[general]`, then URL or profile, then options. Profile and command are evaluated on the channel,
  /// which must not be locked.
  init(_ channel: OpaquePointer, _ arguments: ForkArguments, _ settings: Settings) throws(CommandError) {
    optionText = arguments.options
    for line in settings.defaults { try add(line.key, line.value, of: nil) }
    if arguments.url.isEmpty || holdsScheme(arguments.url) {
      try addURL(arguments.url)
    } else {
      guard let profile = settings.profile(arguments.url) else {
        throw CommandError(message: ForkPlan.unknownProfile(arguments.url, settings))
      }
      for line in profile.lines {
        try add(line.key, holdsVariable(line.value) ? evaluated(line.value, on: channel) : line.value, of: profile.name)
      }
    }
    do {
      try options.apply(options: optionText)
      try options.check()
    } catch {
      throw CommandError(message: error.message)
    }
    try checkAllowed(settings)
    command = evaluatedCommand(arguments.command, on: channel)
  }

  private mutating func addURL(_ url: Bytes) throws(CommandError) {
    do {
      options.endpoints.append(try EndpointURL.parse(url))
    } catch {
      throw CommandError(message: error.message)
    }
    urls.append(url)
  }

  private mutating func add(_ key: ProfileKey, _ given: Bytes, of profile: Bytes?) throws(CommandError) {
    // What was read from a file ends with a line end.
    let value = trimmed(given)
    do {
      try options.apply(key, value)
    } catch {
      guard let profile else { throw CommandError(message: error.message) }
      throw CommandError(message: text("profile ", .bytes(profile), ": ", .bytes(error.message)))
    }
    if isURL(key) {
      urls.append(value)
    } else {
      settings.append(text(.literal(key.name), "=", .bytes(value)))
    }
  }

  private static func unknownProfile(_ name: Bytes, _ settings: Settings) -> Bytes {
    var known = Bytes()
    for profile in settings.profiles {
      known.append(known.isEmpty ? " the profiles " : ", ")
      known += profile.name
    }
    if known.isEmpty { known.append(" no profiles") }
    return text(
      "'", .bytes(shown(EndpointURL.redacted(name))), "' is neither a URL nor a profile: the URL must begin with ws:// or wss://, and audiofork.conf has",
      .bytes(known))
  }

  private func checkAllowed(_ settings: Settings) throws(CommandError) {
    guard !settings.allow.isEmpty else { return }
    for endpoint in options.endpoints where !settings.allow.contains(where: { $0.allows(endpoint) }) {
      throw CommandError(
        message: text(
          "the URL ", .bytes(endpoint.shown), " is not allowed; a line allow in [general] of audiofork.conf would allow it"))
    }
  }

  /// The first URL without secrets.
  var shownURL: Bytes { options.endpoints.first?.shown ?? [] }

  /// none, verified or insecure: about the server's certificate.
  var verification: StaticString {
    guard options.endpoints.contains(where: { $0.isSecure }) else { return "none" }
    return options.verifies ? "verified" : "insecure"
  }

  /// Appends what the engine makes the fork's options from.
  func write(to facts: inout FieldWriter) {
    for url in urls { facts.append(UInt16(AF_FIELD_URL.rawValue), url) }
    for setting in settings { facts.append(UInt16(AF_FIELD_SETTING.rawValue), setting) }
    facts.append(UInt16(AF_FIELD_OPTIONS.rawValue), optionText)
  }
}

/// Whether the call is to end where a fork with these arguments cannot begin: whatever is wrong with the rest of its
/// profile. The channel must not be locked.
func hangsUp(without arguments: ForkArguments, on channel: OpaquePointer) -> Bool {
  guard !holdsScheme(arguments.url), let profile = Control.settings?.profile(arguments.url) else { return false }
  var answer = false
  for line in profile.lines {
    guard case .onFailure = line.key.kind else { continue }
    let value = trimmed(holdsVariable(line.value) ? evaluated(line.value, on: channel) : line.value)
    answer = ForkOptions.policy(value) ?? true
  }
  return answer
}

/// The line's variables, functions and expressions as the dialplan evaluates them. The channel must not be locked.
private func evaluated(_ line: Bytes, on channel: OpaquePointer) -> Bytes {
  guard let result = withCString(line, { af_evaluate(channel, $0) }) else { return line }
  defer { free(result) }
  return bytes(result)
}

/// The command with each `^{X}` evaluated as `${X}`. Everything else stays as it is: the dialplan has evaluated it
/// already. Where that brought in a caller's text with a `^{` in it, it is evaluated too, as MixMonitor does: the page
/// warns of callers' texts in commands.
private func evaluatedCommand(_ command: Bytes, on channel: OpaquePointer) -> Bytes {
  var result = Bytes()
  var index = 0
  while index < command.count {
    guard command[index] == UInt8(ascii: "^"), index &+ 1 < command.count, command[index &+ 1] == UInt8(ascii: "{"),
      let end = closingBrace(in: command, opening: index &+ 1)
    else {
      result.append(command[index])
      index &+= 1
      continue
    }
    var expression = slice(command, index, end &+ 1)
    var at = 0
    while at &+ 1 < expression.count {
      if expression[at] == UInt8(ascii: "^"), expression[at &+ 1] == UInt8(ascii: "{") { expression[at] = UInt8(ascii: "$") }
      at &+= 1
    }
    if let value = withCString(expression, { af_evaluate_given(channel, $0) }) {
      result += bytes(value)
      free(value)
    }
    index = end &+ 1
  }
  return result
}

private func closingBrace(in text: Bytes, opening: Int) -> Int? {
  var depth = 0
  var index = opening
  while index < text.count {
    if text[index] == UInt8(ascii: "{") { depth &+= 1 }
    if text[index] == UInt8(ascii: "}") {
      depth &-= 1
      if depth == 0 { return index }
    }
    index &+= 1
  }
  return nil
}
