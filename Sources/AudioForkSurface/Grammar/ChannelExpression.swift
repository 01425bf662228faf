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

/// What an expression asks the channel for.
package struct ChannelCall: Sendable, Equatable {
  /// As it was written.
  package let source: Bytes
  /// Empty where the expression is malformed.
  package let name: Bytes
  /// Evaluated, for a function; nil for a variable.
  package let arguments: Bytes?

  package init(source: Bytes, name: Bytes, arguments: Bytes?) {
    self.source = source
    self.name = name
    self.arguments = arguments
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

extension ChannelCall {
  /// Functions that read the call, or change a text, and do nothing else. A caller's text may name a function, so that
  /// every other one is refused, whatever `live_dangerously` in asterisk.conf says.
  private static let harmless: [StaticString] = [
    "ABS", "BASE64_DECODE", "BASE64_ENCODE", "CALLERID", "CALLERPRES", "CDR", "CHANNEL", "CONNECTEDLINE", "CSV_QUOTE",
    "EXISTS", "FILTER", "GLOBAL", "GROUP", "GROUP_COUNT", "HANGUPCAUSE", "HASH", "IF", "ISNULL", "LEN", "LOCAL",
    "LTRIM", "MATH", "MAX", "MD5", "MIN", "PASSTHRU", "PJSIP_HEADER", "PJSIP_PARSE_URI", "QUOTE", "RAND",
    "REDIRECTING", "REGEX", "RTRIM", "SHA1", "SIP_HEADER", "SPRINTF", "STACK_PEEK", "STRFTIME", "STRPTIME", "TOLOWER",
    "TOUPPER", "TRIM", "URIDECODE", "URIENCODE",
  ]

  /// Functions that take the name of a variable and substitute `${name}`: a function could stand there, or hide behind
  /// a character that Asterisk takes out.
  private static let byVariableName: [StaticString] = [
    "CUT", "FIELDNUM", "FIELDQTY", "JSON_DECODE", "LISTFILTER", "REPLACE", "STRBETWEEN", "STRREPLACE",
  ]

  /// Functions that reach beyond the call. `functions` in audiofork.conf cannot allow them; each word stands for all
  /// names that begin with it.
  private static let refusedPrefixes: [StaticString] = [
    "SHELL", "FILE", "DB", "REALTIME", "CURL", "EVAL", "ODBC", "ENV", "AST_CONFIG", "AST_SORCERY", "STAT", "LOCK",
    "TRYLOCK", "UNLOCK", "HOOK", "PERIODIC_HOOK", "IMPORT", "MASTER_CHANNEL", "SET", "SHARED", "EXPORT", "VM_INFO",
    "MINIVM",
  ]

  /// Longest arguments, bytes: Asterisk copies them to its stack.
  private static let argumentsMax = 8192

  /// Whether the channel may be asked. `more`: functions that the administrator has allowed besides.
  package func isAllowed(_ more: [Bytes] = []) -> Bool {
    guard !name.isEmpty else { return false }
    guard let arguments else { return true }
    guard arguments.count <= ChannelCall.argumentsMax else { return false }
    if ChannelCall.byVariableName.contains(where: { equal(name, ignoringCase: $0) }) {
      return !arguments.contains { ChannelCall.isSyntax($0) }
    }
    if ChannelCall.harmless.contains(where: { equal(name, ignoringCase: $0) }) { return true }
    return ChannelCall.mayBeAllowed(name) && more.contains { lowercased($0) == lowercased(name) }
      && !arguments.contains { ChannelCall.isSyntax($0) }
  }

  /// Whether an administrator may allow the function.
  package static func mayBeAllowed(_ name: Bytes) -> Bool {
    !name.isEmpty && name.count <= 80 && RequestField.isToken(name)
      && !refusedPrefixes.contains { hasPrefix(name, ignoringCase: $0) }
  }

  /// What Asterisk's parser of arguments or its substitution would look at.
  private static func isSyntax(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "("), UInt8(ascii: ")"), UInt8(ascii: "\\"), UInt8(ascii: "\""), UInt8(ascii: "$"),
      UInt8(ascii: "{"),
      UInt8(ascii: "}"), UInt8(ascii: "["), UInt8(ascii: "]"):
      true
    default: byte.isControl
    }
  }
}

/// Longest `^{…}`, `${…}` or `$[…]` that is looked for, bytes. A longer one is text: the search for an end that is not
/// there must not take long.
private let unitLengthMax = 1024

/// The end of the `^{…}` that begins at `start`, behind its closing brace; nil where none begins there or none closes
/// it.
package func expressionEnd(in text: Bytes, at start: Int) -> Int? {
  guard start &+ 1 < text.count, text[start] == UInt8(ascii: "^"), text[start &+ 1] == UInt8(ascii: "{") else {
    return nil
  }
  return end(of: text, openedAt: start &+ 1, by: UInt8(ascii: "{"), closedBy: UInt8(ascii: "}"))
}

/// The end of the `${…}` or `$[…]` that begins at `start`, as `expressionEnd`.
package func variableEnd(in text: Bytes, at start: Int) -> Int? {
  guard start &+ 1 < text.count, text[start] == UInt8(ascii: "$") else { return nil }
  switch text[start &+ 1] {
  case UInt8(ascii: "{"): return end(of: text, openedAt: start &+ 1, by: UInt8(ascii: "{"), closedBy: UInt8(ascii: "}"))
  case UInt8(ascii: "["): return end(of: text, openedAt: start &+ 1, by: UInt8(ascii: "["), closedBy: UInt8(ascii: "]"))
  default: return nil
  }
}

/// Behind the bracket that closes the one at `opening`; nil where none does within `unitLengthMax`.
private func end(of text: Bytes, openedAt opening: Int, by open: UInt8, closedBy close: UInt8) -> Int? {
  var depth = 0
  var index = opening
  let limit = min(text.count, opening &+ unitLengthMax)
  while index < limit {
    if text[index] == open { depth &+= 1 }
    if text[index] == close {
      depth &-= 1
      if depth == 0 { return index &+ 1 }
    }
    index &+= 1
  }
  return nil
}

/// The parenthesis that closes the one at `opening`, or nil. Parentheses inside pair up; those in a `^{…}` don't count.
package func closingParenthesis(in text: Bytes, opening: Int) -> Int? {
  var depth = 0
  var index = opening
  while index < text.count {
    if let end = expressionEnd(in: text, at: index) {
      index = end
      continue
    }
    if text[index] == UInt8(ascii: "(") { depth &+= 1 }
    if text[index] == UInt8(ascii: ")") {
      depth &-= 1
      if depth == 0 { return index }
    }
    index &+= 1
  }
  return nil
}

/// The parts between separators, as `parts(of:separatedBy:)`; a separator inside of a `^{…}` is none.
package func parts(ofExpressionText text: Bytes, separatedBy separator: UInt8) -> [Bytes] {
  guard !text.isEmpty else { return [] }
  var parts = [Bytes]()
  var start = 0
  var index = 0
  while index < text.count {
    if let end = expressionEnd(in: text, at: index) {
      index = end
      continue
    }
    if text[index] == separator {
      parts.append(slice(text, start, index))
      start = index &+ 1
    }
    index &+= 1
  }
  parts.append(slice(text, start, text.count))
  return parts
}
