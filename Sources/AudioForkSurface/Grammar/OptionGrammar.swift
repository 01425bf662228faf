// SPDX-License-Identifier: MIT
package import AudioForkBytes

extension ForkOptions {
  /// The longest option string, bytes.
  package static let lengthMax = 8192

  /// Returns the defaults with an option string applied.
  package static func parse(_ text: Bytes) throws(OptionError) -> ForkOptions {
    var options = ForkOptions()
    try options.apply(options: text)
    return options
  }

  /// Applies an option string of the dialplan: letters, some with an argument in parentheses. Blanks between options
  /// are skipped, as in Asterisk's own option parser. A `^{…}` is text.
  package mutating func apply(options text: Bytes) throws(OptionError) {
    for option in try ForkOptions.separate(text) { try apply(option.definition, option.argument) }
  }

  /// One letter of an option string and its argument.
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
          message += definition.form
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
    message += definition.form
    return OptionError(message: message)
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

// MARK: - Expressions

/// One option of a string whose `^{…}` have been evaluated. The module sends these to the engine, which cannot read
/// channel variables (`LinkField.option`).
package struct EvaluatedOption: Sendable, Equatable {
  package let letter: UInt8
  /// For H one header, for s one parameter with nothing encoded. Empty for an option without an argument.
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
  /// Applies an option string and replaces each `^{…}` by what `evaluate` returns. Returns the options one by one, for
  /// `apply(evaluated:)`.
  ///
  /// Throws if the string is invalid as written. A value never makes it throw: control characters in a header are
  /// percent-encoded, and an option with an invalid value is left out with a warning.
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
          guard
            let field = isHeader
              ? RequestField.header(field, evaluating: evaluate)
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

  /// Returns the kinds of the options whose argument has `^{…}`, whether their values are accepted or not.
  package static func evaluatedKinds(in text: Bytes) throws(OptionError) -> [SettingKind] {
    try separate(text).compactMap { option in
      ArgumentTemplate(option.argument ?? []).hasExpressions ? option.definition.argument.kind : nil
    }
  }

  /// Applies one option that `apply(options:evaluating:)` returned. Returns false if it is invalid.
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

  /// Returns an argument without expressions in the form of `EvaluatedOption`.
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
    if let definition = option.definition { warning += definition.form }
    warnings.append(warning)
  }
}
