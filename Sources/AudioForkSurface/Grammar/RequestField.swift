// SPDX-License-Identifier: MIT
package import AudioForkBytes

/// A name and a value for the server: a header of the upgrade request or a parameter of the start message.
package struct RequestField: Sendable, Equatable {
  package let name: Bytes
  /// May be a secret: not for logs.
  package let value: Bytes

  package init(name: Bytes, value: Bytes) {
    self.name = name
    self.value = value
  }

  /// Longest value of a header. Servers refuse request heads beyond 8 KB.
  package static let valueMax = 8192

  /// Parses `Name: value` (RFC 9110 section 5). Nil where that is not a header, or one that AudioFork makes itself.
  package static func header(_ text: Bytes) -> RequestField? {
    guard let colon = firstIndex(of: UInt8(ascii: ":"), in: text) else { return nil }
    let name = trimmed(slice(text, 0, colon))
    let value = trimmed(slice(text, colon &+ 1, text.count))
    guard name.count <= 64, isToken(name), value.count <= valueMax,
      !value.contains(where: { $0.isControl }), !isReserved(name)
    else { return nil }
    return RequestField(name: name, value: value)
  }

  /// Whether AudioFork makes this header itself (RFC 6455 section 4.1, and its own `AudioFork-…`).
  package static func isReserved(_ name: Bytes) -> Bool {
    if hasPrefix(name, ignoringCase: "Sec-WebSocket-") || hasPrefix(name, ignoringCase: "AudioFork-") { return true }
    return equal(name, ignoringCase: "Host") || equal(name, ignoringCase: "Upgrade")
      || equal(name, ignoringCase: "Connection") || equal(name, ignoringCase: "Content-Length")
      || equal(name, ignoringCase: "Transfer-Encoding")
  }

  /// Parses `key=value`, percent-encoding in the value undone. Nil where there is no key.
  package static func parameter(_ text: Bytes) -> RequestField? {
    guard let sign = firstIndex(of: UInt8(ascii: "="), in: text) else { return nil }
    let name = trimmed(slice(text, 0, sign))
    let value = percentDecoded(slice(text, sign &+ 1, text.count))
    guard name.count <= 64, isToken(name), value.count <= valueMax,
      !value.contains(where: { $0.isControl })
    else { return nil }
    return RequestField(name: name, value: value)
  }

  /// Parses `Name: value` whose value may hold `^{…}`; the name is literal. Nil where the text as written is not a
  /// header. Any value is taken: control characters are percent-encoded, and what is longer than `valueMax` is cut.
  package static func header(_ text: Bytes, evaluating evaluate: (ChannelCall) -> Bytes) -> RequestField? {
    guard let colon = firstIndex(of: UInt8(ascii: ":"), in: text),
      let name = header(slice(text, 0, colon &+ 1))?.name
    else { return nil }
    let written = ArgumentTemplate(trimmed(slice(text, colon &+ 1, text.count)))
    return RequestField(name: name, value: headerValue(written.text(evaluate)))
  }

  /// A value from outside as a header can carry it.
  package static func headerValue(_ value: Bytes) -> Bytes {
    var encoded = Bytes()
    for byte in trimmed(value) {
      let next = byte.isControl ? percentEncoded(byte) : [byte]
      guard encoded.count &+ next.count <= valueMax else { break }
      encoded += next
    }
    return encoded
  }

  /// Parses `key=value` whose value may hold `^{…}`: percent-encoding is undone in what was written, values stay as
  /// they are. Nil where there is no key.
  package static func parameter(_ text: Bytes, evaluating evaluate: (ChannelCall) -> Bytes) -> RequestField? {
    guard let sign = firstIndex(of: UInt8(ascii: "="), in: text),
      let name = parameter(slice(text, 0, sign &+ 1))?.name
    else { return nil }
    let written = ArgumentTemplate(slice(text, sign &+ 1, text.count))
    return RequestField(name: name, value: slice(written.text(evaluate, literal: percentDecoded), 0, valueMax))
  }

  /// `Name: value`.
  package var headerLine: Bytes { name + Bytes(text: ": ") + value }

  /// `key=value`, nothing encoded.
  package var verbatimParameter: Bytes { name + Bytes(text: "=") + value }

  /// Whether the bytes are a `token` of RFC 9110 section 5.6.2.
  package static func isToken(_ text: Bytes) -> Bool { !text.isEmpty && text.allSatisfy(isTokenCharacter) }

  /// `tchar` of RFC 9110 section 5.6.2.
  private static func isTokenCharacter(_ byte: UInt8) -> Bool {
    if byte.isDigit || (byte.lowercased >= 97 && byte.lowercased <= 122) { return true }
    switch byte {
    case 33, 35, 36, 37, 38, 39, 42, 43, 45, 46, 94, 95, 96, 124, 126: return true
    default: return false
    }
  }
}
