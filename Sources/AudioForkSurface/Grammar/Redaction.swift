// SPDX-License-Identifier: MIT
package import AudioForkBytes

extension ForkOptions {
  /// Returns an option string with `...` in place of each argument that may be a secret. The rest of an invalid string
  /// is left out: a parenthesis in a secret ends its argument early, and the rest of the secret follows.
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

  /// Returns an evaluated option, given as a letter and its argument, with `...` in place of what may be a secret.
  package static func shown(evaluated option: Bytes) -> Bytes {
    let letter = slice(option, 0, 1)
    let argument = slice(option, 1, option.count)
    guard let definition = OptionDefinition.all.first(where: { [$0.letter] == letter }), !argument.isEmpty
    else { return letter }
    let isSecret = definition.argument.kind?.isSecret ?? true
    return letter + Bytes(text: "(") + (isSecret ? Bytes(text: "...") : argument) + Bytes(text: ")")
  }

  /// Returns a profile's line `key=value` with `...` in place of a value that may be a secret.
  package static func shown(setting text: Bytes) -> Bytes {
    guard let sign = firstIndex(of: UInt8(ascii: "="), in: text) else { return Bytes(text: "...") }
    if let key = ProfileKey.named(slice(text, 0, sign)), !key.kind.isSecret { return text }
    return slice(text, 0, sign &+ 1) + Bytes(text: "...")
  }

  /// Returns an argument with `(...)` in place of all from its first parenthesis on. After a misplaced parenthesis
  /// another option may be in there, with a secret.
  static func withoutInnerArguments(_ argument: Bytes) -> Bytes {
    guard let inner = firstIndex(of: UInt8(ascii: "("), in: argument) else { return argument }
    return slice(argument, 0, inner) + Bytes(text: "(...)")
  }
}
