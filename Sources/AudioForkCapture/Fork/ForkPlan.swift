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

/// The channel as expressions ask it, and which of them it refused. It must not be locked.
private struct AskedChannel {
  private let channel: OpaquePointer
  /// Functions allowed besides the built-in ones.
  private let functions: [Bytes]
  private var refused = 0
  private var firstRefused = Bytes()
  /// What all values together may still take, percent-encoded: servers refuse a request whose head is longer than 8 KB.
  private var room = AskedChannel.valuesMax
  private var isCut = false

  private static let valuesMax = 4096

  init(_ channel: OpaquePointer, _ functions: [Bytes]) {
    self.channel = channel
    self.functions = functions
  }

  /// The value of a variable or function; empty where there is none, or where it is refused.
  mutating func answer(_ call: ChannelCall) -> Bytes {
    guard call.isAllowed(functions) else {
      if refused == 0 { firstRefused = call.source }
      refused &+= 1
      return []
    }
    var expression = call.name
    if let arguments = call.arguments { expression += Bytes(text: "(") + arguments + Bytes(text: ")") }
    guard let result = withCString(expression, { af_read(channel, $0, call.arguments == nil ? 0 : 1) }) else {
      return []
    }
    defer { free(result) }
    return fitting(bytes(result))
  }

  /// The value's beginning for which there is room.
  private mutating func fitting(_ value: Bytes) -> Bytes {
    var end = 0
    while end < value.count {
      let size = EndpointURL.isUnreserved(value[end]) ? 1 : 3
      guard size <= room else {
        isCut = true
        break
      }
      room &-= size
      end &+= 1
    }
    return slice(value, 0, end)
  }

  /// Text of the administrator with its variables, functions and expressions evaluated as the dialplan does it.
  func substitute(_ line: Bytes) -> Bytes {
    guard let result = withCString(line, { af_evaluate(channel, $0) }) else { return line }
    defer { free(result) }
    return bytes(result)
  }

  /// One line, however many there were: a caller may have written them.
  func logRefusals() {
    guard refused > 0 || isCut else { return }
    af_channel_lock(channel)
    let name = bytes(ast_channel_name(channel))
    af_channel_unlock(channel)
    if isCut {
      log(
        AF_LEVEL_WARNING, "AudioFork on ", .bytes(name),
        ": values of ^{...} are cut: percent-encoded they take more than ",
        .number(AskedChannel.valuesMax), " bytes together, and servers refuse long requests")
    }
    guard refused > 0 else { return }
    log(
      AF_LEVEL_WARNING, "AudioFork on ", .bytes(name), ": ", .number(refused),
      refused == 1 ? " expression counts as empty: '" : " expressions count as empty, the first is '",
      .bytes(shown(firstRefused)),
      "'; it is malformed, or names a function that is not allowed (functions in audiofork.conf can allow more)")
  }
}

extension SettingLine {
  /// The value with its variables and expressions evaluated. Throws for a URL with an expression outside of path and
  /// query.
  fileprivate func evaluated(by asked: inout AskedChannel) throws(OptionError) -> Bytes {
    guard holdsVariable else { return value }
    let written = ArgumentTemplate(setting: value)
    switch key.kind {
    case .url:
      let template = written.mapText { asked.substitute($0) }
      return try EndpointURL.text(template.mapText(EndpointURL.text(encoding:))) { asked.answer($0) }
    case .header:
      let literal = slice(value, 0, firstIndex(of: UInt8(ascii: ":"), in: value) ?? value.count)
      if RequestField.isToken(trimmed(literal)) {
        // Evaluated behind the name, so that no value can choose it.
        let rest = ArgumentTemplate(setting: slice(value, literal.count &+ 1, value.count)).mapText {
          asked.substitute($0)
        }
        return literal + Bytes(text: ": ") + RequestField.headerValue(rest.text { asked.answer($0) })
      }
      let line = written.mapText { asked.substitute($0) }.text { asked.answer($0) }
      let colon = firstIndex(of: UInt8(ascii: ":"), in: line) ?? line.count
      return slice(line, 0, colon &+ 1) + Bytes(text: " ")
        + RequestField.headerValue(slice(line, colon &+ 1, line.count))
    default: return written.mapText { asked.substitute($0) }.text { asked.answer($0) }
    }
  }
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
      if expression[at] == UInt8(ascii: "^"), expression[at &+ 1] == UInt8(ascii: "{") {
        expression[at] = UInt8(ascii: "$")
      }
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
