// SPDX-License-Identifier: MIT

/// Which directions a fork carries. `in` is what the party says (READ), `out` what it hears (WRITE).
package enum ForkDirection: UInt8, Sendable, Equatable, CaseIterable {
  case `in` = 1
  case out = 2
  case both = 3

  /// The word in `D(…)`, in events and in the request header.
  package var word: StaticString {
    switch self {
    case .in: "in"
    case .out: "out"
    case .both: "both"
    }
  }
}

/// The options of one fork, parsed and checked.
package struct ForkOptions: Sendable, Equatable {
  package var direction = ForkDirection.both
  /// `n` turns it off: then positions count captured audio only.
  package var fill = true
  /// Channel variable for the fork's id; empty: none.
  package var idVariable = Bytes()
  /// Cap of each connection attempt and of each wait between attempts.
  package var reconnectWaitSeconds = 5
  /// Attempts within one outage.
  package var reconnectAttempts = 20

  package init() {}
}

/// Why an argument was refused: a sentence for the log that names option, value and accepted form.
package struct OptionError: Error, Sendable, Equatable {
  package let message: Bytes
}

extension ForkOptions {
  /// Longest option string; a longer one is a mistake of the caller.
  package static let lengthMax = 8192

  /// Parses an option string as the dialplan has it: letters, each with an argument in parentheses where it
  /// takes one. White space between options is skipped, as Asterisk's own option parser does not object to it.
  package static func parse(_ text: Bytes) throws(OptionError) -> ForkOptions {
    guard text.count <= lengthMax else {
      var message = Bytes(text: "options are ")
      message.append(decimal: text.count)
      message.append(" characters long; at most ")
      message.append(decimal: lengthMax)
      message.append(" are accepted")
      throw OptionError(message: message)
    }
    var options = ForkOptions()
    var index = 0
    while index < text.count {
      let letter = text[index]
      index &+= 1
      if letter == UInt8(ascii: " ") { continue }
      guard let definition = OptionDefinition.all.first(where: { $0.letter == letter }) else {
        throw unknownOption(letter)
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
      try options.set(definition, argument)
    }
    return options
  }

  private mutating func set(_ definition: OptionDefinition, _ argument: Bytes?) throws(OptionError) {
    switch definition.argument {
    case .none:
      if let argument, !argument.isEmpty { throw ForkOptions.refused(definition, argument) }
    case .direction:
      guard let argument, let direction = ForkDirection.allCases.first(where: { equal(argument, ignoringCase: $0.word) })
      else { throw ForkOptions.refused(definition, argument) }
      self.direction = direction
    case .variable:
      guard let argument, !argument.isEmpty, argument.count <= 80, !argument.contains(where: { $0.isControl || $0 == 32 })
      else { throw ForkOptions.refused(definition, argument) }
      idVariable = argument
    case .seconds(let range):
      guard let argument, let value = decimal(argument), range.contains(value)
      else { throw ForkOptions.refused(definition, argument) }
      reconnectWaitSeconds = value
    case .count(let range):
      guard let argument, let value = decimal(argument), range.contains(value)
      else { throw ForkOptions.refused(definition, argument) }
      reconnectAttempts = value
    }
    if definition.letter == UInt8(ascii: "n") { fill = false }
  }

  private static func refused(_ definition: OptionDefinition, _ argument: Bytes?) -> OptionError {
    var message = Bytes(text: "option ")
    message.append(definition.letter)
    if let argument {
      message.append(" does not accept '")
      message.append(shown: argument)
      message.append("'; the form is ")
    } else {
      message.append(" needs an argument; the form is ")
    }
    message.append(definition.form)
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

  /// The parenthesis that closes the one at `opening`; parentheses inside an argument pair up.
  private static func closingParenthesis(in text: Bytes, opening: Int) -> Int? {
    var depth = 0
    var index = opening
    while index < text.count {
      if text[index] == UInt8(ascii: "(") { depth &+= 1 }
      if text[index] == UInt8(ascii: ")") {
        depth &-= 1
        if depth == 0 { return index }
      }
      index &+= 1
    }
    return nil
  }
}
