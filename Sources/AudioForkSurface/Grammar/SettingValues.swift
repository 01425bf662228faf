// SPDX-License-Identifier: MIT
package import AudioForkBytes

extension ForkOptions {
  /// Appends a URL. Throws if it is invalid.
  package mutating func apply(url: Bytes) throws(OptionError) { endpoints.append(try EndpointURL.parse(url)) }

  /// Applies one line of a profile whose variables have been evaluated. The error names the key, the value and the
  /// accepted form.
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
      message += key.form
      throw OptionError(message: message)
    }
  }
}

// MARK: - Values

extension ForkOptions {
  /// Parses a value and stores it. Returns false if the value is invalid. This is the only parser of values.
  mutating func set(_ kind: SettingKind, to value: Bytes) -> Bool {
    switch kind {
    case .url: return false // `apply(url:)` parses it, because its errors have reasons.
    case .header: return addHeader(value)
    case .headers:
      let fields = parts(ofExpressionText: value, separatedBy: UInt8(ascii: "&"))
      for field in fields where !addHeader(field) { return false }
      return !fields.isEmpty
    case .parameters: return addParameters(value)
    case .direction:
      guard let named = ForkDirection.allCases.first(where: { equal(value, ignoringCase: $0.word) })
      else { return false }
      direction = named
    case .format:
      guard let named = WireFormat.named(value) else { return false }
      format = named
    case .dialect:
      guard let traits = DialectTraits.named(value) else { return false }
      dialect = traits.dialect
    case .subprotocol: return setSubprotocols(value)
    case .align:
      guard let milliseconds = ForkOptions.number(value, ForkOptions.alignMillisecondsRange) else { return false }
      alignMillisecondsGiven = milliseconds
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
    case .tokenFile: return ForkOptions.store(secretPath: value, in: &tokenFile)
    case .headerFile: return ForkOptions.store(secretPath: value, in: &headerFile)
    case .redirects:
      guard let named = RedirectPolicy.allCases.first(where: { equal(value, ignoringCase: $0.word) })
      else { return false }
      redirects = named
    case .proxy: return setProxy(value)
    case .noProxy:
      guard let list = NoProxyList(value) else { return false }
      noProxy = list
    case .reconnectMaxWait: return ForkOptions.store(ForkOptions.number(value, 1...3600), in: &reconnectWaitSeconds)
    case .reconnectAttempts:
      guard let attempts = ForkOptions.number(value, 0...1_000_000) else { return false }
      reconnectAttemptsGiven = attempts
    case .outage:
      guard let seconds = ForkOptions.number(value, 0...ForkOptions.outageSecondsMax) else { return false }
      outageSecondsGiven = seconds
    case .onClose:
      guard let reconnects = ForkOptions.closePolicy(value) else { return false }
      reconnectsOnClose = reconnects
    case .connectTimeout:
      guard let seconds = ForkOptions.number(value, 1...3600) else { return false }
      connectTimeoutSeconds = seconds
    case .silence:
      guard let seconds = ForkOptions.number(value, 1...3600) else { return false }
      silenceSecondsGiven = seconds
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
    case .message:
      guard let milliseconds = ForkOptions.number(value, ForkOptions.messageRange),
        milliseconds.isMultiple(of: ForkOptions.messageStep)
      else { return false }
      messageMillisecondsGiven = milliseconds
    case .catchUp: return setCatchUp(value)
    case .firstText: return ForkOptions.store(serverText: value, in: &firstText)
    case .lastText: return ForkOptions.store(serverText: value, in: &lastText)
    case .linger:
      return ForkOptions.store(ForkOptions.number(value, 0...ForkOptions.lingerSecondsMax), in: &lingerSecondsGiven)
    case .acknowledge:
      guard let persisted = ForkOptions.acknowledgement(value) else { return false }
      wantsPersisted = persisted
    }
    return true
  }

  /// Adds a header. It replaces one of the same name, so that an option overrides its profile.
  mutating func addHeader(_ text: Bytes) -> Bool {
    guard let field = RequestField.header(text) else { return false }
    headers.removeAll { sameName($0.name, field.name) }
    headers.append(field)
    return true
  }

  mutating func add(parameter field: RequestField) {
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

  /// Any word but `insecure` means on, with verification. The original took any word for on and verified nothing.
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

  /// An empty value: no proxy, although `[general]` may name one.
  private mutating func setProxy(_ value: Bytes) -> Bool {
    guard !value.isEmpty else {
      proxy = nil
      return true
    }
    guard let address = ProxyAddress(value) else { return false }
    proxy = address
    return true
  }

  /// A number with at most two decimals, an `x` behind it allowed. An empty value: as fast as possible, although
  /// `[general]` may name a pace.
  private mutating func setCatchUp(_ value: Bytes) -> Bool {
    guard !value.isEmpty else {
      catchUpHundredths = nil
      return true
    }
    guard let hundredths = ForkOptions.hundredths(value), ForkOptions.catchUpRange.contains(hundredths) else {
      return false
    }
    catchUpHundredths = hundredths
    return true
  }

  /// The number in hundredths; nil if the text is none, or has more than two decimals.
  private static func hundredths(_ text: Bytes) -> Int? {
    let digits = text.last?.lowercased == UInt8(ascii: "x") ? slice(text, 0, text.count &- 1) : text
    let point = firstIndex(of: UInt8(ascii: "."), in: digits)
    guard let whole = number(slice(digits, 0, point ?? digits.count), 0...1000) else { return nil }
    guard let point else { return whole &* 100 }
    let decimals = slice(digits, point &+ 1, digits.count)
    guard decimals.count <= 2, let part = number(decimals, 0...99) else { return nil }
    return whole &* 100 &+ (decimals.count == 1 ? part &* 10 : part)
  }

  private static func store(serverText text: Bytes, in place: inout Bytes) -> Bool {
    guard text.count <= ServerText.lengthMax, ServerText.isUTF8(text) else { return false }
    place = text
    return true
  }

  /// A path of a file that is sent to a server. A value in it that begins a way up may not lead to another file.
  private static func store(secretPath path: Bytes, in place: inout Bytes) -> Bool {
    for segment in parts(of: path, separatedBy: UInt8(ascii: "/")) where segment == Bytes(text: "..") { return false }
    return store(path: path, in: &place)
  }

  private static func store(path: Bytes, in place: inout Bytes) -> Bool {
    guard path.first == UInt8(ascii: "/"), path.count <= 1024, !path.contains(where: { $0.isControl }) else {
      return false
    }
    place = path
    return true
  }

  /// Returns whether a value of `on_failure` asks for a hangup; nil if it is invalid.
  package static func policy(_ text: Bytes) -> Bool? {
    if equal(text, ignoringCase: "hangup") { return true }
    return equal(text, ignoringCase: "continue") ? false : nil
  }

  /// Returns whether a value of `on_close` is `reconnect`; nil if it is invalid.
  private static func closePolicy(_ text: Bytes) -> Bool? {
    if equal(text, ignoringCase: "reconnect") { return true }
    return equal(text, ignoringCase: "end") ? false : nil
  }

  /// Returns whether a value of `acknowledge` is `persisted`; nil if it is invalid.
  private static func acknowledgement(_ text: Bytes) -> Bool? {
    if equal(text, ignoringCase: "persisted") { return true }
    return equal(text, ignoringCase: "received") ? false : nil
  }

  /// Returns whether a value of `replay` asks to send unconfirmed audio again; nil if it is invalid.
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

  /// Returns the meaning of Asterisk's words for yes and no (ast_true, ast_false); nil for another word.
  package static func truth(_ text: Bytes) -> Bool? {
    let yes: [StaticString] = ["yes", "true", "y", "t", "1", "on"]
    let no: [StaticString] = ["no", "false", "n", "f", "0", "off"]
    if yes.contains(where: { equal(text, ignoringCase: $0) }) { return true }
    if no.contains(where: { equal(text, ignoringCase: $0) }) { return false }
    return nil
  }
}

/// Returns whether two header names are equal, case ignored (RFC 9110 section 5.1).
private func sameName(_ left: Bytes, _ right: Bytes) -> Bool {
  guard left.count == right.count else { return false }
  var index = 0
  while index < left.count {
    if left[index].lowercased != right[index].lowercased { return false }
    index &+= 1
  }
  return true
}
