// SPDX-License-Identifier: MIT

/// Which directions a fork carries. `in` is what the party says (READ), `out` what it hears (WRITE).
package enum ForkDirection: UInt8, Sendable, Equatable, CaseIterable {
  case `in` = 1
  case out = 2
  /// The sum of both.
  case both = 3
  /// Both, interleaved: in left, out right.
  case stereo = 4

  /// The word in `D(…)`, in events and in the request header.
  package var word: StaticString {
    switch self {
    case .in: "in"
    case .out: "out"
    case .both: "both"
    case .stereo: "stereo"
    }
  }

  /// Bit 0: in, bit 1: out.
  package var directions: UInt8 {
    switch self {
    case .in: 1
    case .out: 2
    case .both, .stereo: 3
    }
  }

  /// Audio channels on the wire.
  package var channelCount: Int { self == .stereo ? 2 : 1 }
}

/// What is said on the wire.
package enum DialectName: UInt8, Sendable, Equatable, CaseIterable {
  case raw, audiofork

  /// The word in `w(…)`.
  package var word: StaticString {
    switch self {
    case .raw: "raw"
    case .audiofork: "audiofork"
    }
  }
}

/// What option T asks for.
package enum TLSRequest: UInt8, Sendable, Equatable {
  case none, on, insecure
}

/// Everything that is to be known of one fork: defaults, then `[general]`, then its profile, then its options, each
/// overriding the one before. Capture module and engine make it from the same words (af_link.h: URL, SETTING, OPTIONS).
package struct ForkOptions: Sendable, Equatable {
  // MARK: The server
  /// In failover order.
  package var endpoints = [EndpointURL]()
  package var headers = [RequestField]()
  package var parameters = [RequestField]()
  package var dialect = DialectName.raw
  /// Sub-protocols to offer; nil: those of the dialect.
  package var subprotocols: [Bytes]?
  package var tls = TLSRequest.none
  /// Whether the server's certificate and name are verified.
  package var verifies = true
  /// PEM files; empty: none.
  package var caFile = Bytes()
  package var certificateFile = Bytes()
  package var keyFile = Bytes()

  // MARK: The audio
  package var direction = ForkDirection.both
  package var format = WireFormat.slin
  /// `n` turns it off: then positions count captured audio only.
  package var fill = true
  /// Volume as a power of two, -4 … 4.
  package var gainIn = 0
  package var gainOut = 0
  /// `b`: frames count only while the channel is bridged.
  package var onlyBridged = false

  // MARK: Delivery
  /// Cap of each wait between attempts, and of each attempt where `connectTimeoutSeconds` is nil.
  package var reconnectWaitSeconds = 5
  /// Attempts within one outage.
  /// As given; nil: nobody did.
  package var reconnectAttemptsGiven: Int?
  /// Attempts in one outage. With a spool the end of `spool_time` is what ends an outage.
  package var reconnectAttempts: Int { reconnectAttemptsGiven ?? (spoolFolder.isEmpty ? 20 : 1_000_000) }
  package var connectTimeoutSeconds: Int?
  package var bufferSeconds = 10
  package var drainSeconds = 10
  /// Seconds that the rest may take after the end of capture, with what the spool has.
  package var drainSecondsMax: Int { spoolFolder.isEmpty ? drainSeconds : max(drainSeconds, spoolSeconds) }
  /// Folder on a disk for audio that the buffer cannot keep; empty: none.
  package var spoolFolder = Bytes()
  package var spoolSeconds = 3600
  /// For all forks with this folder together.
  package var spoolLimitMegabytes = 4096
  /// Whether a write to the spool waits for the disk.
  package var spoolIsSynced = false
  /// Whether the server is pinged.
  package var pings = true
  /// Whether what was sent and not confirmed is sent again after a break, by a dialect in which the server cannot say.
  package var replays = true
  /// Whether the server is told of DTMF digits, by a dialect that can (`w(audiofork)`).
  package var sendsDigits = true
  /// Whether only audio that the server has forced to its disk counts as delivered (`w(audiofork)`).
  package var wantsPersisted = false

  // MARK: In the call
  /// Whether the call is hung up when its audio is not delivered.
  package var hangsUpOnFailure = false
  /// `B`: seconds between beeps; nil: none.
  package var beepSeconds: Int?
  package var beepsAtStart = false
  package var beepsAtStop = false
  /// Channel variable for the fork's id; empty: none.
  package var idVariable = Bytes()
  /// Channel variable for server texts, besides AUDIOFORK_RESPONSE; empty: none.
  package var textVariable = Bytes()

  /// What was accepted and is still worth a line in the log.
  package var warnings = [Bytes]()

  package init() {}

  /// Longest attempt to connect, seconds.
  package var attemptSeconds: Int { connectTimeoutSeconds ?? reconnectWaitSeconds }
}

/// Why an argument was refused: a sentence for the log that names option, value and accepted form.
package struct OptionError: Error, Sendable, Equatable {
  package let message: Bytes
}

// MARK: - Option strings

extension ForkOptions {
  /// Longest option string; a longer one is a mistake of the caller.
  package static let lengthMax = 8192
  /// The longest `spool_time`, seconds.
  package static let spoolSecondsMax = 86_400
  /// Shortest time between two beeps, as Asterisk's own recording has it.
  package static let beepSecondsMin = 5
  package static let beepSecondsDefault = 15

  /// Parses an option string alone, over the defaults.
  package static func parse(_ text: Bytes) throws(OptionError) -> ForkOptions {
    var options = ForkOptions()
    try options.apply(options: text)
    return options
  }

  /// Applies an option string as the dialplan has it: letters, each with an argument in parentheses where it
  /// takes one. White space between options is skipped, as Asterisk's own option parser does not object to it.
  ///
  /// A `^{…}` is one unit and stays as it is: it is text.
  package mutating func apply(options text: Bytes) throws(OptionError) {
    for option in try ForkOptions.separate(text) { try apply(option.definition, option.argument) }
  }

  /// One letter of an option string, with what stands in its parentheses.
  private struct WrittenOption {
    let definition: OptionDefinition
    let argument: Bytes?
  }

  private static func separate(_ text: Bytes) throws(OptionError) -> [WrittenOption] {
    guard text.count <= ForkOptions.lengthMax else {
      var message = Bytes(text: "options are ")
      message.append(decimal: text.count)
      message.append(" characters long; at most ")
      message.append(decimal: ForkOptions.lengthMax)
      message.append(" are accepted")
      throw OptionError(message: message)
    }
    var written = [WrittenOption]()
    var index = 0
    while index < text.count {
      let letter = text[index]
      index &+= 1
      if letter == UInt8(ascii: " ") { continue }
      guard let definition = OptionDefinition.all.first(where: { $0.letter == letter }) else {
        throw ForkOptions.unknownOption(letter)
      }
      var argument: Bytes?
      if index < text.count, text[index] == UInt8(ascii: "(") {
        guard let end = closingParenthesis(in: text, opening: index) else {
          var message = Bytes(text: "option ")
          message.append(letter)
          message.append(" has no closing parenthesis; the form is ")
          message.append(definition.form)
          throw OptionError(message: message)
        }
        argument = slice(text, index &+ 1, end)
        index = end &+ 1
      }
      written.append(WrittenOption(definition: definition, argument: argument))
    }
    return written
  }

  private mutating func apply(_ definition: OptionDefinition, _ argument: Bytes?) throws(OptionError) {
    switch definition.argument {
    case .none:
      if let argument, !argument.isEmpty { throw ForkOptions.refused(definition, argument, isSecret: false) }
      setFlag(definition.letter)
    case .ignored: break
    case .value(let kind):
      guard let argument, set(kind, to: argument) else {
        throw ForkOptions.refused(definition, argument, isSecret: kind.isSecret)
      }
    case .optional(let kind):
      guard set(kind, to: argument ?? []) else {
        throw ForkOptions.refused(definition, argument, isSecret: kind.isSecret)
      }
    }
  }

  private mutating func setFlag(_ letter: UInt8) {
    switch letter {
    case UInt8(ascii: "b"): onlyBridged = true
    case UInt8(ascii: "n"): fill = false
    case UInt8(ascii: "p"): beepsAtStart = true
    case UInt8(ascii: "P"): beepsAtStop = true
    default: break
    }
  }

  private static func refused(_ definition: OptionDefinition, _ argument: Bytes?, isSecret: Bool) -> OptionError {
    var message = Bytes(text: "option ")
    message.append(definition.letter)
    if let argument {
      message.append(" does not accept ")
      if isSecret {
        message.append("what it was given; the form is ")
      } else {
        message.append("'")
        message.append(shown: withoutInnerArguments(argument))
        message.append("'; the form is ")
      }
    } else {
      message.append(" needs an argument; the form is ")
    }
    message.append(definition.form)
    return OptionError(message: message)
  }

  /// An argument with `(...)` for the rest from its first parenthesis on: by a misplaced one another option may stand
  /// there, and its secret.
  private static func withoutInnerArguments(_ argument: Bytes) -> Bytes {
    guard let inner = firstIndex(of: UInt8(ascii: "("), in: argument) else { return argument }
    return slice(argument, 0, inner) + Bytes(text: "(...)")
  }

  private static func unknownOption(_ letter: UInt8) -> OptionError {
    var message = Bytes(text: "unknown option '")
    message.append(shown: [letter])
    message.append("'; known are")
    for definition in OptionDefinition.all {
      message.append(UInt8(ascii: " "))
      message.append(definition.letter)
    }
    return OptionError(message: message)
  }
}

// MARK: - Options with expressions

/// One option of a string whose `^{…}` have been evaluated: what the module tells the engine, which cannot ask the
/// channel (af_link.h: OPTION).
package struct EvaluatedOption: Sendable, Equatable {
  package let letter: UInt8
  /// Of H one header, of s one parameter whose value is verbatim; empty where the letter stands alone.
  package let argument: Bytes
  /// Whether a value of the channel is in the argument.
  package let isEvaluated: Bool

  package init(letter: UInt8, argument: Bytes, isEvaluated: Bool = false) {
    self.letter = letter
    self.argument = argument
    self.isEvaluated = isEvaluated
  }

  /// Nil if there is no such option.
  package var definition: OptionDefinition? { OptionDefinition.all.first { $0.letter == letter } }
}

extension ForkOptions {
  /// Applies an option string in which each `^{…}` stands for what `evaluate` returns. Returns the options one by one,
  /// for `apply(evaluated:)`.
  ///
  /// Throws for what is wrong with the string as it was written. A value never makes it throw: what cannot stand in a
  /// header is percent-encoded, and an option that does not take its value is left out with a warning.
  package mutating func apply(
    options text: Bytes, evaluating evaluate: (ChannelCall) -> Bytes
  ) throws(OptionError) -> [EvaluatedOption] {
    var evaluated = [EvaluatedOption]()
    for option in try ForkOptions.separate(text) {
      let argument = option.argument ?? []
      let letter = option.definition.letter
      guard let kind = option.definition.argument.kind, ArgumentTemplate(argument).hasExpressions else {
        try apply(option.definition, option.argument)
        for part in ForkOptions.fields(of: option.definition, argument) {
          evaluated.append(EvaluatedOption(letter: letter, argument: part))
        }
        continue
      }
      switch kind {
      case .headers, .parameters:
        for field in parts(ofExpressionText: argument, separatedBy: UInt8(ascii: "&")) {
          let isHeader = letter == UInt8(ascii: "H")
          guard let field = isHeader ? RequestField.header(field, evaluating: evaluate)
            : RequestField.parameter(field, evaluating: evaluate)
          else { throw ForkOptions.refused(option.definition, argument, isSecret: true) }
          let argument = isHeader ? field.headerLine : field.verbatimParameter
          let option = EvaluatedOption(letter: letter, argument: argument, isEvaluated: true)
          _ = apply(evaluated: option)
          evaluated.append(option)
        }
      default:
        let value = ArgumentTemplate(argument).text(evaluate)
        let option = EvaluatedOption(letter: letter, argument: value, isEvaluated: true)
        if apply(evaluated: option) {
          evaluated.append(option)
        } else {
          warnUnsuitable(option)
        }
      }
    }
    return evaluated
  }

  /// Applies one option of `apply(options:evaluating:)`; false where it is not one.
  package mutating func apply(evaluated option: EvaluatedOption) -> Bool {
    guard let definition = option.definition else { return false }
    switch definition.argument {
    case .none:
      setFlag(option.letter)
      return option.argument.isEmpty
    case .ignored: return true
    case .value(.parameters):
      guard let sign = firstIndex(of: UInt8(ascii: "="), in: option.argument) else { return false }
      add(
        parameter: RequestField(
          name: slice(option.argument, 0, sign), value: slice(option.argument, sign &+ 1, option.argument.count)))
      return true
    case .value(.headers): return addHeader(option.argument)
    case .value(let kind), .optional(let kind): return set(kind, to: option.argument)
    }
  }

  /// An argument without expressions as `EvaluatedOption` has it.
  private static func fields(of definition: OptionDefinition, _ argument: Bytes) -> [Bytes] {
    let fields = parts(of: argument, separatedBy: UInt8(ascii: "&"))
    switch definition.letter {
    case UInt8(ascii: "H"): return fields
    case UInt8(ascii: "s"): return fields.compactMap { RequestField.parameter($0)?.verbatimParameter }
    default: return [argument]
    }
  }

  private mutating func warnUnsuitable(_ option: EvaluatedOption) {
    var warning = Bytes(text: "option ")
    warning.append(option.letter)
    warning.append(" is left out: its value '")
    warning.append(shown: option.argument)
    warning.append("' is not accepted; the form is ")
    if let definition = option.definition { warning.append(definition.form) }
    warnings.append(warning)
  }
}

// MARK: - Without secrets

extension ForkOptions {
  /// An option string with `...` in place of what may be a secret. Where it stops being one the rest is left out: a
  /// parenthesis inside a secret ends it too early, and what follows would be its other half.
  package static func shown(options text: Bytes) -> Bytes {
    var shown = Bytes()
    var index = 0
    while index < text.count {
      let letter = text[index]
      let definition = OptionDefinition.all.first { $0.letter == letter }
      guard definition != nil || letter == UInt8(ascii: " ") else { return shown + Bytes(text: "...") }
      shown.append(letter)
      index &+= 1
      guard index < text.count, text[index] == UInt8(ascii: "(") else { continue }
      let end = closingParenthesis(in: text, opening: index) ?? text.count
      if let definition, case .value(let kind) = definition.argument, !kind.isSecret {
        shown.append(UInt8(ascii: "("))
        shown += withoutInnerArguments(slice(text, index &+ 1, end))
        shown += slice(text, end, end &+ 1)
      } else {
        shown.append("(...)")
      }
      index = end &+ 1
    }
    return shown
  }

  /// An evaluated option, a letter and its argument, as it is written, with `...` in place of what may be a secret.
  package static func shown(evaluated option: Bytes) -> Bytes {
    let letter = slice(option, 0, 1)
    let argument = slice(option, 1, option.count)
    guard let definition = OptionDefinition.all.first(where: { [$0.letter] == letter }), !argument.isEmpty else { return letter }
    let isSecret = definition.argument.kind?.isSecret ?? true
    return letter + Bytes(text: "(") + (isSecret ? Bytes(text: "...") : argument) + Bytes(text: ")")
  }

  /// A profile's line `key=value` with `...` in place of what may be a secret.
  package static func shown(setting text: Bytes) -> Bytes {
    guard let sign = firstIndex(of: UInt8(ascii: "="), in: text) else { return Bytes(text: "...") }
    if let key = ProfileKey.named(slice(text, 0, sign)), !key.kind.isSecret { return text }
    return slice(text, 0, sign &+ 1) + Bytes(text: "...")
  }
}

// MARK: - Profiles

extension ForkOptions {
  /// Adds a URL behind those that are there.
  package mutating func apply(url: Bytes) throws(OptionError) { endpoints.append(try EndpointURL.parse(url)) }

  /// Applies one line of a profile, its variables evaluated. The message names key, value and accepted form.
  package mutating func apply(_ key: ProfileKey, _ value: Bytes) throws(OptionError) {
    if case .url = key.kind { return try apply(url: value) }
    guard set(key.kind, to: value) else {
      var message = Bytes(text: key.name)
      if key.kind.isSecret {
        message.append(" does not accept what it was given")
      } else {
        message.append(" = '")
        message.append(shown: value)
        message.append("' is not accepted")
      }
      message.append("; it takes ")
      message.append(key.form)
      throw OptionError(message: message)
    }
  }
}

// MARK: - Values

extension ForkOptions {
  /// Sets what a value of this kind stands for; false where the value is not one. The only place that knows the forms.
  private mutating func set(_ kind: SettingKind, to value: Bytes) -> Bool {
    switch kind {
    case .url: return false  // says why itself: `apply`
    case .header: return addHeader(value)
    case .headers:
      let fields = parts(ofExpressionText: value, separatedBy: UInt8(ascii: "&"))
      for field in fields where !addHeader(field) { return false }
      return !fields.isEmpty
    case .parameters: return addParameters(value)
    case .direction:
      guard let word = ForkDirection.allCases.first(where: { equal(value, ignoringCase: $0.word) }) else { return false }
      direction = word
    case .format:
      guard let named = WireFormat.named(value) else { return false }
      format = named
    case .dialect:
      guard let word = DialectName.allCases.first(where: { equal(value, ignoringCase: $0.word) }) else { return false }
      dialect = word
    case .subprotocol: return setSubprotocols(value)
    case .gainIn: return ForkOptions.store(ForkOptions.gain(value), in: &gainIn)
    case .gainOut: return ForkOptions.store(ForkOptions.gain(value), in: &gainOut)
    case .gainBoth:
      return ForkOptions.store(ForkOptions.gain(value), in: &gainIn)
        && ForkOptions.store(ForkOptions.gain(value), in: &gainOut)
    case .beepInterval: return setBeep(value)
    case .idVariable: return ForkOptions.store(variable: value, in: &idVariable)
    case .textVariable: return ForkOptions.store(variable: value, in: &textVariable)
    case .tls: setTLS(value)
    case .verify:
      guard let isOn = ForkOptions.truth(value) else { return false }
      verifies = isOn
    case .caFile: return ForkOptions.store(path: value, in: &caFile)
    case .certificateFile: return ForkOptions.store(path: value, in: &certificateFile)
    case .keyFile: return ForkOptions.store(path: value, in: &keyFile)
    case .reconnectMaxWait: return ForkOptions.store(ForkOptions.number(value, 1...3600), in: &reconnectWaitSeconds)
    case .reconnectAttempts:
      guard let attempts = ForkOptions.number(value, 0...1_000_000) else { return false }
      reconnectAttemptsGiven = attempts
    case .connectTimeout:
      guard let seconds = ForkOptions.number(value, 1...3600) else { return false }
      connectTimeoutSeconds = seconds
    case .buffer: return ForkOptions.store(ForkOptions.number(value, 1...600), in: &bufferSeconds)
    case .drain: return ForkOptions.store(ForkOptions.number(value, 1...3600), in: &drainSeconds)
    case .ping:
      guard let isOn = ForkOptions.truth(value) else { return false }
      pings = isOn
    case .spool:
      guard !value.isEmpty else {
        spoolFolder = []
        return true
      }
      return ForkOptions.store(path: value, in: &spoolFolder)
    case .spoolTime:
      return ForkOptions.store(ForkOptions.number(value, 1...ForkOptions.spoolSecondsMax), in: &spoolSeconds)
    case .spoolLimit: return ForkOptions.store(ForkOptions.number(value, 1...1_000_000_000), in: &spoolLimitMegabytes)
    case .spoolSync:
      guard let isSynced = ForkOptions.truth(value) else { return false }
      spoolIsSynced = isSynced
    case .onFailure:
      guard let hangsUp = ForkOptions.policy(value) else { return false }
      hangsUpOnFailure = hangsUp
    case .replay:
      guard let isRepeated = ForkOptions.replay(value) else { return false }
      replays = isRepeated
    case .digits:
      guard let isOn = ForkOptions.truth(value) else { return false }
      sendsDigits = isOn
    case .acknowledge:
      guard let persisted = ForkOptions.acknowledgement(value) else { return false }
      wantsPersisted = persisted
    }
    return true
  }

  /// A header given again replaces the one before: an option overrides its profile.
  private mutating func addHeader(_ text: Bytes) -> Bool {
    guard let field = RequestField.header(text) else { return false }
    headers.removeAll { sameName($0.name, field.name) }
    headers.append(field)
    return true
  }

  private mutating func add(parameter field: RequestField) {
    parameters.removeAll { $0.name == field.name }
    parameters.append(field)
  }

  private mutating func addParameters(_ text: Bytes) -> Bool {
    let given = parts(ofExpressionText: text, separatedBy: UInt8(ascii: "&"))
    for part in given {
      guard let field = RequestField.parameter(part) else { return false }
      add(parameter: field)
    }
    return !given.isEmpty
  }

  private mutating func setSubprotocols(_ text: Bytes) -> Bool {
    var names = [Bytes]()
    for part in parts(of: text, separatedBy: UInt8(ascii: ",")) {
      let name = trimmed(part)
      guard name.count <= 64, RequestField.isToken(name) else { return false }
      names.append(name)
    }
    subprotocols = names
    return true
  }

  private mutating func setBeep(_ text: Bytes) -> Bool {
    guard !text.isEmpty else {
      beepSeconds = ForkOptions.beepSecondsDefault
      return true
    }
    guard let seconds = ForkOptions.number(text, 1...3600) else { return false }
    if seconds < ForkOptions.beepSecondsMin {
      var warning = Bytes(text: "option B: ")
      warning.append(decimal: seconds)
      warning.append(" seconds are taken as 5, the shortest time between two beeps")
      warnings.append(warning)
    }
    beepSeconds = max(seconds, ForkOptions.beepSecondsMin)
    return true
  }

  /// The original took any word for "on" and verified nothing; here any word but `insecure` verifies.
  private mutating func setTLS(_ text: Bytes) {
    if equal(text, ignoringCase: "insecure") {
      tls = .insecure
      verifies = false
      return
    }
    tls = .on
    verifies = true
    if !text.isEmpty, !equal(text, ignoringCase: "on") {
      var warning = Bytes(text: "option T: '")
      warning.append(shown: text)
      warning.append("' counts as on; the form is T(on|insecure)")
      warnings.append(warning)
    }
  }

  private static func store(_ value: Int?, in place: inout Int) -> Bool {
    guard let value else { return false }
    place = value
    return true
  }

  private static func store(variable: Bytes, in place: inout Bytes) -> Bool {
    // Parentheses would make it a dialplan function, which may reach beyond Asterisk.
    guard !variable.isEmpty, variable.count <= 80,
      !variable.contains(where: { $0.isControl || $0 == 32 || $0 == UInt8(ascii: "(") || $0 == UInt8(ascii: ")") })
    else { return false }
    place = variable
    return true
  }

  private static func store(path: Bytes, in place: inout Bytes) -> Bool {
    guard path.first == UInt8(ascii: "/"), path.count <= 1024, !path.contains(where: { $0.isControl }) else {
      return false
    }
    place = path
    return true
  }

  /// Whether the word of `on_failure` asks for a hangup; nil for another word.
  package static func policy(_ text: Bytes) -> Bool? {
    if equal(text, ignoringCase: "hangup") { return true }
    return equal(text, ignoringCase: "continue") ? false : nil
  }

  /// Whether the word asks for more than reception; nil for another word.
  private static func acknowledgement(_ text: Bytes) -> Bool? {
    if equal(text, ignoringCase: "persisted") { return true }
    return equal(text, ignoringCase: "received") ? false : nil
  }

  /// Whether unconfirmed audio is sent again; nil for another word.
  private static func replay(_ text: Bytes) -> Bool? {
    if equal(text, ignoringCase: "unacked") { return true }
    return equal(text, ignoringCase: "none") ? false : nil
  }

  private static func number(_ text: Bytes, _ range: ClosedRange<Int>) -> Int? {
    guard let value = decimal(text), range.contains(value) else { return nil }
    return value
  }

  /// -4 … 4, with or without a sign.
  private static func gain(_ text: Bytes) -> Int? {
    let isNegative = text.first == UInt8(ascii: "-")
    let digits = isNegative || text.first == UInt8(ascii: "+") ? slice(text, 1, text.count) : text
    guard let value = number(digits, 0...4) else { return nil }
    return isNegative ? 0 &- value : value
  }

  /// Asterisk's words for yes and no (ast_true, ast_false).
  package static func truth(_ text: Bytes) -> Bool? {
    let yes: [StaticString] = ["yes", "true", "y", "t", "1", "on"]
    let no: [StaticString] = ["no", "false", "n", "f", "0", "off"]
    if yes.contains(where: { equal(text, ignoringCase: $0) }) { return true }
    if no.contains(where: { equal(text, ignoringCase: $0) }) { return false }
    return nil
  }
}

/// Whether two names of headers are the same: case does not count (RFC 9110 section 5.1).
private func sameName(_ left: Bytes, _ right: Bytes) -> Bool {
  guard left.count == right.count else { return false }
  var index = 0
  while index < left.count {
    if left[index].lowercased != right[index].lowercased { return false }
    index &+= 1
  }
  return true
}
