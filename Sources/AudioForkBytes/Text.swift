// SPDX-License-Identifier: MIT

/// Text from outside as it stands in an event and on the CLI: nothing in it can begin a new line or steer a terminal. A
/// backslash is doubled; control characters, also C1 ones, and bytes that are no UTF-8 are written as in C, in octal
/// where C has no letter for them.
package func escaped(_ text: Bytes) -> Bytes {
  var escaped = Bytes()
  escaped.reserveCapacity(text.count)
  var index = 0
  while index < text.count {
    let (count, isPrintable) = character(in: text, at: index)
    for byte in slice(text, index, index &+ count) {
      switch byte {
      case UInt8(ascii: "\\"): escaped.append("\\\\")
      case 9: escaped.append("\\t")
      case 10: escaped.append("\\n")
      case 13: escaped.append("\\r")
      case _ where !isPrintable:
        escaped.append(UInt8(ascii: "\\"))
        escaped.append(48 &+ byte &>> 6)
        escaped.append(48 &+ (byte &>> 3 & 7))
        escaped.append(48 &+ (byte & 7))
      default: escaped.append(byte)
      }
    }
    index &+= count
  }
  return escaped
}

/// The text's beginning of at most `limit` bytes that does not end inside a UTF-8 character.
package func cut(_ text: Bytes, to limit: Int) -> Bytes {
  guard text.count > limit else { return text }
  var end = max(limit, 0)
  while end > 0, text[end] & 0xC0 == 0x80 { end &-= 1 }
  return slice(text, 0, end)
}
