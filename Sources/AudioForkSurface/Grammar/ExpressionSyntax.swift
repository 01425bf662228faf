// SPDX-License-Identifier: MIT
// Finds where ^{…}, ${…} and $[…] end.
package import AudioForkBytes

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
