// SPDX-License-Identifier: GPL-2.0-or-later
import AudioForkBytes
import AudioForkLink
import AudioForkSurface
import CAsterisk

/// What a fork is made from: the words that its ring carries to the engine, and what they mean.
struct ForkPlan {
  /// What was given, evaluated: may hold secrets.
  private var given = ForkSources()
  /// What it means.
  var options: ForkOptions { given.options }
  /// Evaluated; empty: none.
  private(set) var command = Bytes()
  /// Number of the first engine that may open the fork's files; 0: any.
  var firstEngine: UInt32 = 0

  /// Defaults of `[general]`, then URL or profile, then options. All is evaluated on the channel, which must not be
  /// locked, when it has been parsed.
  init(
    _ channel: OpaquePointer, _ arguments: ForkArguments, _ settings: Settings, from origin: ForkOrigin
  ) throws(CommandError) {
    try ForkPlan.check(arguments, settings, origin)
    var asked = AskedChannel(channel, settings.functions)
    for line in settings.defaults { try add(line, of: nil, &asked) }
    if arguments.url.isEmpty || holdsScheme(arguments.url) {
      try addURL(arguments.url, isEvaluated: origin.evaluatesExpressions, &asked)
    } else {
      guard let profile = settings.profile(arguments.url) else {
        throw CommandError(message: ForkPlan.unknownProfile(arguments.url, settings))
      }
      for line in profile.lines { try add(line, of: profile.name, &asked) }
      guard !options.endpoints.isEmpty else {
        for warning in options.warnings { log(AF_LEVEL_WARNING, "AudioFork: ", .bytes(warning)) }
        throw CommandError(
          message: text("profile ", .bytes(profile.name), ": none of its url lines gave a URL; see the lines above"))
      }
    }
    do {
      if origin.evaluatesExpressions, ArgumentTemplate(arguments.options).hasExpressions {
        try given.add(options: arguments.options) { asked.answer($0) }
      } else {
        try given.add(options: arguments.options)
      }
      leaveOutForbidden(settings)
      try given.settle()
    } catch {
      // The comma that ended the URL may be one of its query's.
      let isQuery =
        arguments.url.contains(UInt8(ascii: "?")) && hasPrefix(error.message, ignoringCase: "unknown option")
      throw CommandError(
        message: isQuery
          ? text(.bytes(error.message), "; a comma in a URL ends it: write %2C for one in the query")
          : error.message)
    }
    try checkAllowed(settings)
    command = evaluatedCommand(arguments.command, on: channel)
    asked.logRefusals()
  }

  /// Whether there may be a command, and whether it is one.
  private static func check(
    _ arguments: ForkArguments, _ settings: Settings, _ origin: ForkOrigin
  ) throws(CommandError) {
    guard !arguments.command.isEmpty else { return }
    if arguments.commandLooksLikeOptions {
      throw CommandError(
        message: text(
          "the third argument is a shell command, and '", .bytes(shown(ForkOptions.shown(options: arguments.command))),
          "' looks like options; write all options in the second argument, without commas between them"))
    }
    guard !origin.mayRunCommand(settings.commands) else { return }
    throw CommandError(
      message: settings.commands == .no
        ? Bytes(text: "commands = no in audiofork.conf: leave the third argument out")
        : Bytes(
          text:
            """
            a command, the third argument, runs only for a dialplan that the channel executes and for the AMI action \
            AudioFork; leave it out, or set commands = yes in audiofork.conf
            """
        ))
  }

  private mutating func addURL(
    _ url: Bytes, isEvaluated: Bool, _ asked: inout AskedChannel
  ) throws(CommandError) {
    do {
      let template = ArgumentTemplate(url)
      let holdsValue = isEvaluated && template.hasExpressions
      try given.add(
        url: holdsValue ? try EndpointURL.text(template) { asked.answer($0) } : url, isEvaluated: holdsValue)
    } catch {
      throw CommandError(message: error.message)
    }
  }

  /// Applies a line of the configuration. Throws if the line as written is invalid. An invalid evaluated value only
  /// drops the line, with a warning.
  private mutating func add(
    _ line: SettingLine, of profile: Bytes?, _ asked: inout AskedChannel
  ) throws(CommandError) {
    let place = profile.map { text("profile ", .bytes($0), ": ") } ?? Bytes(text: "[general]: ")
    do {
      // What was read from a file ends with a line end.
      let value = trimmed(try line.evaluated(by: &asked))
      try given.add(line.key, value, isEvaluated: line.holdsVariable, place: place)
    } catch {
      guard line.holdsVariable else { throw CommandError(message: text(.bytes(place), .bytes(error.message))) }
      given.leaveOut(line.key, place, error)
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
      "'", .bytes(shown(EndpointURL.redacted(name))),
      "' is neither a URL nor a profile: the URL must begin with ws:// or wss://, and audiofork.conf has",
      .bytes(known))
  }

  private func checkAllowed(_ settings: Settings) throws(CommandError) {
    for endpoint in options.endpoints where !settings.allows(endpoint) {
      throw CommandError(message: ForkPlan.forbidden(endpoint))
    }
  }

  /// Leaves out each evaluated URL of a profile that is not allowed. The last URL stays, to be refused.
  private mutating func leaveOutForbidden(_ settings: Settings) {
    for endpoint in options.endpoints where !settings.allows(endpoint) {
      _ = given.leaveOut(endpoint, because: ForkPlan.forbidden(endpoint))
    }
  }

  private static func forbidden(_ endpoint: EndpointURL) -> Bytes {
    text(
      "the URL ", .bytes(endpoint.shown), " is not allowed; a line allow in [general] of audiofork.conf would allow it")
  }

  /// Leaves evaluated sizes of the buffer out, the last one first, until the fork needs less memory. Returns false, and
  /// changes nothing, if it needs as much without all of them.
  mutating func leaveOutEvaluatedBuffer(because reason: Bytes) -> Bool {
    var smaller = given
    repeat {
      guard smaller.leaveOutEvaluated(.buffer, because: reason) else { return false }
    } while smaller.options.bufferSeconds >= options.bufferSeconds
    given = smaller
    return true
  }

  /// The first URL without secrets.
  var shownURL: Bytes { options.endpoints.first?.shown ?? [] }

  /// none, verified or insecure: about the server's certificate.
  var verification: StaticString {
    guard options.endpoints.contains(where: { $0.isSecure }) else { return "none" }
    return options.verifies ? "verified" : "insecure"
  }

  /// Paths that the engine opens for the fork.
  var paths: [(use: PathUse, path: Bytes)] {
    given.sources.compactMap { source in
      guard case .setting(let key, let value) = source.text, let use = key.kind.pathUse else { return nil }
      return (use, value)
    }
  }

  /// Appends what the engine makes the fork's options from.
  func write(to facts: inout FieldWriter) {
    SettingFields(given.sources.map { $0.text }).write(to: &facts)
  }
}

/// Whether the call is to end where a fork with these arguments cannot begin: whatever is wrong with the rest of its
/// profile. The channel must not be locked.
func hangsUp(without arguments: ForkArguments, on channel: OpaquePointer) -> Bool {
  guard !holdsScheme(arguments.url), let profile = Control.settings?.profile(arguments.url) else { return false }
  var answer = false
  var asked = AskedChannel(channel, Control.settings?.functions ?? [])
  for line in profile.lines {
    guard case .onFailure = line.key.kind else { continue }
    // A URL alone may throw.
    let value = trimmed((try? line.evaluated(by: &asked)) ?? [])
    answer = ForkOptions.policy(value) ?? true
  }
  return answer
}
