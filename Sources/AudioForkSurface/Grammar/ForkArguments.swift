// SPDX-License-Identifier: MIT
package import AudioForkBytes

/// The arguments of `AudioFork(url[,options[,command]])`.
package struct ForkArguments: Sendable, Equatable {
  /// A URL or the name of a profile, without blanks around it.
  package var url = Bytes()
  package var options = Bytes()
  /// For a shell, without blanks around it; empty: none.
  package var command = Bytes()

  /// The three arguments, given apart as AMI has them.
  package init(url: Bytes = [], options: Bytes = [], command: Bytes = []) {
    self.url = trimmed(url)
    self.options = options
    self.command = trimmed(command)
  }

  /// Separates the arguments as Asterisk does (`__ast_app_separate_args`): quotes, backslashes, parentheses and
  /// brackets protect a comma, and quotes and backslashes are taken out; the command keeps its own. Beyond that a
  /// `^{…}` is one unit, in which nothing separates and nothing is taken out.
  package init(separating text: Bytes) {
    var done = [Bytes]()
    var argument = Bytes()
    var parentheses = 0
    var brackets = 0
    var isQuoted = false
    var index = 0
    while index < text.count, done.count < 2 {
      let byte = text[index]
      if let end = expressionEnd(in: text, at: index) {
        argument += slice(text, index, end)
        index = end
        continue
      }
      index &+= 1
      switch byte {
      case UInt8(ascii: "("): parentheses &+= 1
      case UInt8(ascii: ")"): parentheses = max(parentheses &- 1, 0)
      case UInt8(ascii: "["): brackets &+= 1
      case UInt8(ascii: "]"): brackets = max(brackets &- 1, 0)
      case UInt8(ascii: "\""):
        isQuoted = !isQuoted
        continue
      case UInt8(ascii: "\\"):
        if index < text.count { argument.append(text[index]) }
        index &+= 1
        continue
      case UInt8(ascii: ",") where parentheses == 0 && brackets == 0 && !isQuoted:
        done.append(argument)
        argument = []
        continue
      default: break
      }
      argument.append(byte)
    }
    if done.count < 2 { done.append(argument) }
    self.init(
      url: done[0], options: done.count > 1 ? done[1] : [],
      command: index < text.count && done.count == 2 ? slice(text, index, text.count) : [])
  }

  /// Whether the third argument looks as if it were options that a comma has separated, and not a command:
  /// `D(in)`, `f(slin16)n`, or single letters such as `n`.
  package var commandLooksLikeOptions: Bool {
    let given = parts(of: command, separatedBy: UInt8(ascii: ","))
    return !given.isEmpty && given.allSatisfy { ForkArguments.looksLikeOptions(trimmed($0)) }
  }

  private static func looksLikeOptions(_ text: Bytes) -> Bool {
    var letters = 0
    var hasArgument = false
    var index = 0
    while index < text.count {
      guard OptionDefinition.all.contains(where: { $0.letter == text[index] }) else { return false }
      letters &+= 1
      index &+= 1
      guard index < text.count, text[index] == UInt8(ascii: "(") else { continue }
      guard let end = closingParenthesis(in: text, opening: index) else { return false }
      hasArgument = true
      index = end &+ 1
    }
    return letters == 1 || (letters > 1 && hasArgument)
  }
}
