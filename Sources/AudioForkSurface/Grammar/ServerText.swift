// SPDX-License-Identifier: MIT
package import AudioForkBytes

/// A text for the server, `first_text` or `last_text`, as it is written in a profile.
///
/// Where it begins with `{` or `[` it is JSON: values of variables, functions and expressions are escaped as in a JSON
/// string (RFC 8259 section 7), so that a caller cannot add members. In other texts control characters of a value
/// become blanks. Bytes of a value that are not UTF-8 become U+FFFD. Values are cut where the whole would be too long.
package enum ServerText {
  /// Longest text, bytes.
  package static let lengthMax = 8192

  /// Whether the text, as it is written, is JSON.
  package static func isJSON(_ written: Bytes) -> Bool {
    let first = trimmed(written).first
    return first == UInt8(ascii: "{") || first == UInt8(ascii: "[")
  }

  /// Returns whether the bytes are UTF-8 (RFC 3629), as a text message has to be (RFC 6455 section 5.6).
  package static func isUTF8(_ text: Bytes) -> Bool {
    var index = 0
    while index < text.count {
      let count = character(in: text, at: index).count
      if count == 1, text[index] >= 0x80 { return false }
      index &+= count
    }
    return true
  }

  /// Returns the text with values in place. `substitute` evaluates one `${…}` or `$[…]`, `evaluate` one `^{…}`.
  package static func text(
    _ written: Bytes, substitute: (Bytes) -> Bytes, evaluate: (ChannelCall) -> Bytes
  ) -> Bytes {
    var parts = [Part]()
    // The template's own result is not needed: it tells its pieces in order.
    _ = ArgumentTemplate(setting: written).text(
      evaluate,
      literal: { piece in
        append(piece, to: &parts, substitute)
        return []
      },
      value: { value in
        parts.append(Part(text: value, isValue: true))
        return []
      })
    let isJSON = isJSON(written)
    var room = lengthMax
    for part in parts where !part.isValue { room &-= part.text.count }
    var result = Bytes()
    for part in parts {
      guard part.isValue else {
        result += part.text
        continue
      }
      let value = encoded(part.text, isJSON: isJSON, limit: room)
      room &-= value.count
      result += value
    }
    return result
  }

  private struct Part {
    let text: Bytes
    let isValue: Bool
  }

  /// Cuts a piece without `^{…}` into what stands for itself and what Asterisk evaluates.
  private static func append(_ piece: Bytes, to parts: inout [Part], _ substitute: (Bytes) -> Bytes) {
    var start = 0
    var index = 0
    while index < piece.count {
      guard let end = variableEnd(in: piece, at: index) else {
        index &+= 1
        continue
      }
      if index > start { parts.append(Part(text: slice(piece, start, index), isValue: false)) }
      parts.append(Part(text: substitute(slice(piece, index, end)), isValue: true))
      start = end
      index = end
    }
    if start < piece.count { parts.append(Part(text: slice(piece, start, piece.count), isValue: false)) }
  }

  /// Returns the beginning of a value, as the text takes it, of at most `limit` bytes.
  private static func encoded(_ value: Bytes, isJSON: Bool, limit: Int) -> Bytes {
    var result = Bytes()
    var index = 0
    while index < value.count {
      let count = character(in: value, at: index).count
      let unit = encodedCharacter(slice(value, index, index &+ count), isJSON: isJSON)
      guard result.count &+ unit.count <= limit else { break }
      result += unit
      index &+= count
    }
    return result
  }

  /// `character`: one character in UTF-8, or one byte that is no part of any.
  private static func encodedCharacter(_ character: Bytes, isJSON: Bool) -> Bytes {
    guard character.count == 1, let byte = character.first else { return character }
    guard byte < 0x80 else { return [0xEF, 0xBF, 0xBD] }
    if byte.isControl {
      guard isJSON else { return [UInt8(ascii: " ")] }
      return Bytes(text: "\\u00") + [hexadecimalDigit(byte &>> 4), hexadecimalDigit(byte & 15)]
    }
    guard isJSON, byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") else { return character }
    return [UInt8(ascii: "\\"), byte]
  }
}
