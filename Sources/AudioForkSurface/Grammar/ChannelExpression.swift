// SPDX-License-Identifier: MIT
package import AudioForkBytes

/// One `^{…}` of an argument or a setting: a variable or a dialplan function of the channel, evaluated when the fork
/// starts and behind the parsing, so that its value is never syntax.
///
/// The forms are `^{NAME}`, `^{NAME:offset:length}` and `^{FUNC(args)}` with the same offset and length. `args` may
/// hold further `^{…}`; the name may not.
package struct ChannelExpression: Sendable, Equatable {
  /// The unit as it was written, `^{` and `}` included.
  package let source: Bytes
  /// Name of the variable or function; empty where the unit is malformed.
  package let name: Bytes
  /// What stands in a function's parentheses; nil for a variable.
  package let arguments: ArgumentTemplate?
  /// As in Asterisk: characters left out at the front; below 0, counted from the end.
  package let offset: Int
  /// Bytes at most; below 0, how many are left out at the end.
  package let length: Int

  /// Deepest nesting of `^{…}` in the arguments of another. A deeper one is malformed.
  package static let depthMax = 8

  /// Parses what stands between the braces of `source`. Never fails: a malformed unit has an empty name.
  fileprivate init(source: Bytes, depth: Int) {
    self.source = source
    let inner = slice(source, 2, source.count &- 1)
    let nameEnd = inner.firstIndex { $0 == UInt8(ascii: "(") || $0 == UInt8(ascii: ":") } ?? inner.count
    var end = nameEnd
    var arguments: ArgumentTemplate?
    var isGood = depth < ChannelExpression.depthMax
    if nameEnd < inner.count, inner[nameEnd] == UInt8(ascii: "(") {
      if let close = closingParenthesis(in: inner, opening: nameEnd) {
        if isGood { arguments = ArgumentTemplate(slice(inner, nameEnd &+ 1, close), depth: depth &+ 1) }
        end = close &+ 1
      } else {
        isGood = false
      }
    }
    if end < inner.count, inner[end] != UInt8(ascii: ":") { isGood = false }
    let name = slice(inner, 0, nameEnd)
    self.name = isGood && ChannelExpression.isName(name) ? name : []
    self.arguments = arguments
    let range = ChannelExpression.range(slice(inner, end, inner.count))
    offset = range.offset
    length = range.length
  }

  /// A name is literal: it holds no expression and nothing that Asterisk would take for one.
  private static func isName(_ name: Bytes) -> Bool {
    !name.isEmpty && name.count <= 80
      && name.allSatisfy { !$0.isControl && $0 != 32 && $0 != 36 && $0 != 94 && $0 != 123 && $0 != 125 }
  }

  /// `:offset` or `:offset:length`. A part that is no number has no effect, as in Asterisk (`parse_variable_name`).
  private static func range(_ text: Bytes) -> (offset: Int, length: Int) {
    let given = parts(of: text, separatedBy: UInt8(ascii: ":"))
    guard given.count > 1, let offset = signed(given[1]) else { return (0, Int.max) }
    guard given.count > 2, let length = signed(given[2]) else { return (offset, Int.max) }
    return (offset, length)
  }

  private static func signed(_ text: Bytes) -> Int? {
    let isNegative = text.first == UInt8(ascii: "-")
    guard let value = decimal(isNegative ? slice(text, 1, text.count) : text) else { return nil }
    return isNegative ? 0 &- value : value
  }

  /// The part of a value that offset and length name, by the rules of `${NAME:offset:length}`.
  package func substring(of value: Bytes) -> Bytes {
    let start = min(offset < 0 ? max(value.count &+ offset, 0) : offset, value.count)
    let rest = value.count &- start
    let count = length < 0 ? max(rest &+ length, 0) : min(length, rest)
    return slice(value, start, start &+ count)
  }
}

/// Text of an argument or a setting, cut into what stands for itself and its `^{…}`.
package struct ArgumentTemplate: Sendable, Equatable {
  package enum Piece: Sendable, Equatable {
    case text(Bytes)
    case expression(ChannelExpression)
  }

  package let pieces: [Piece]

  /// Cuts the text. A `^{` that nothing closes is text.
  package init(_ text: Bytes) { self.init(text, depth: 0) }

  /// Cuts a line of `audiofork.conf`, in which Asterisk evaluates `${…}` and `$[…]`: a `^{…}` inside of these is
  /// theirs.
  package init(setting text: Bytes) {
    var pieces = [Piece]()
    var start = 0
    var index = 0
    while index < text.count {
      if let end = variableEnd(in: text, at: index) {
        index = end
      } else if let end = expressionEnd(in: text, at: index) {
        if index > start { pieces.append(.text(slice(text, start, index))) }
        pieces.append(.expression(ChannelExpression(source: slice(text, index, end), depth: 0)))
        start = end
        index = end
      } else {
        index &+= 1
      }
    }
    if start < text.count { pieces.append(.text(slice(text, start, text.count))) }
    self.pieces = pieces
  }

  private init(pieces: [Piece]) { self.pieces = pieces }

  /// The same with other text between the expressions. The new text is not cut again.
  package func mapText(_ change: (Bytes) -> Bytes) -> ArgumentTemplate {
    ArgumentTemplate(
      pieces: pieces.map { piece in
        switch piece {
        case .text(let text): .text(change(text))
        case .expression: piece
        }
      })
  }

  fileprivate init(_ text: Bytes, depth: Int) {
    var pieces = [Piece]()
    var start = 0
    var index = 0
    while index < text.count {
      guard let end = expressionEnd(in: text, at: index) else {
        index &+= 1
        continue
      }
      if index > start { pieces.append(.text(slice(text, start, index))) }
      pieces.append(.expression(ChannelExpression(source: slice(text, index, end), depth: depth)))
      start = end
      index = end
    }
    if start < text.count { pieces.append(.text(slice(text, start, text.count))) }
    self.pieces = pieces
  }

  /// Whether it has a `^{…}`.
  package var hasExpressions: Bool {
    pieces.contains { if case .expression = $0 { true } else { false } }
  }

  /// The text with each expression's value in its place. `literal` and `value` say how the two kinds of pieces are
  /// written down; `evaluate` is called once for each expression, inner ones first.
  package func text(
    _ evaluate: (_ call: ChannelCall) -> Bytes, literal: (Bytes) -> Bytes = { $0 }, value: (Bytes) -> Bytes = { $0 }
  ) -> Bytes {
    var result = Bytes()
    for piece in pieces {
      switch piece {
      case .text(let text): result += literal(text)
      case .expression(let expression): result += value(expression.value(evaluate))
      }
    }
    return result
  }
}

extension ChannelExpression {
  /// Its value, cut to `valueMax`.
  fileprivate func value(_ evaluate: (ChannelCall) -> Bytes) -> Bytes {
    let call = ChannelCall(source: source, name: name, arguments: arguments.map { $0.text(evaluate) })
    return slice(substring(of: evaluate(call)), 0, ChannelExpression.valueMax)
  }

  /// Longest value, bytes: of a header, and of a variable that Asterisk itself would substitute.
  package static let valueMax = 8192
}
