// SPDX-License-Identifier: MIT
package import AudioForkBytes

/// Where a fork's audio goes: the parts of a `ws://` or `wss://` URL that a connection needs.
package struct EndpointURL: Sendable, Equatable {
  /// `wss://`: TLS.
  package let isSecure: Bool
  /// Host name or address; an IPv6 literal without its brackets.
  package let host: Bytes
  package let port: Int
  /// Whether the host stood in brackets.
  package let isIPv6Literal: Bool
  /// Path and query exactly as given, at least "/". A fragment is not part of a request and not accepted.
  package let target: Bytes
  /// `user:password` before the '@', as given; empty where there is none. A secret: not for logs.
  package let userInformation: Bytes
  /// The URL for logs, events and the CLI: without user information, and without the values of query parameters whose
  /// names speak of a secret.
  package let shown: Bytes

  /// Longest URL. Servers refuse request lines beyond 8 KB.
  package static let lengthMax = 4096
  package static let defaultPort = 80
  package static let defaultSecurePort = 443

  /// Parses a URL of the form `ws[s]://[user:password@]host[:port][/path][?query]` (RFC 6455 section 3, RFC 3986).
  package static func parse(_ text: Bytes) throws(OptionError) -> EndpointURL {
    guard !text.isEmpty else { throw refused(text, "a URL is needed: ws://host[:port][/path]") }
    guard text.count <= lengthMax else { throw refused(text, "the URL is longer than 4096 characters") }
    guard !text.contains(where: { $0.isControl || $0 == 32 }) else {
      throw refused(text, "a URL contains no blanks or control characters; write %20 for a blank")
    }
    let isSecure = hasPrefix(text, ignoringCase: "wss://")
    guard isSecure || hasPrefix(text, ignoringCase: "ws://") else {
      throw refused(text, "the URL must begin with ws:// or wss://")
    }
    guard firstIndex(of: UInt8(ascii: "#"), in: text) == nil else {
      throw refused(text, "a WebSocket URL has no fragment; write %23 for '#'")
    }
    let start = isSecure ? 6 : 5
    var end = start
    while end < text.count, text[end] != UInt8(ascii: "/"), text[end] != UInt8(ascii: "?") { end &+= 1 }
    var authority = slice(text, start, end)
    var target = slice(text, end, text.count)
    if target.first != UInt8(ascii: "/") { target.insert(UInt8(ascii: "/"), at: 0) }

    var userInformation = Bytes()
    if let at = authority.lastIndex(of: UInt8(ascii: "@")) {
      userInformation = slice(authority, 0, at)
      authority = slice(authority, at &+ 1, authority.count)
    }
    let (host, isIPv6Literal, portText) = try separate(authority: authority, of: text)
    var port = isSecure ? defaultSecurePort : defaultPort
    if let portText {
      guard let value = decimal(portText), value >= 1, value <= 65535 else {
        throw refused(text, "the port must be a number from 1 to 65535")
      }
      port = value
    }
    var shown = Bytes(text: isSecure ? "wss://" : "ws://")
    shown += authority
    shown += withoutSecrets(slice(text, end, text.count))
    return EndpointURL(
      isSecure: isSecure, host: host, port: port, isIPv6Literal: isIPv6Literal, target: target,
      userInformation: userInformation,
      shown: shown)
  }

  /// A URL's text with each `^{…}` replaced by its value, percent-encoded but for unreserved characters (RFC 3986
  /// section 2.3), so that a value is never more than a part of one segment or parameter. Throws where one stands
  /// outside of path and query. A value that would make the URL too long is cut.
  package static func text(
    _ template: ArgumentTemplate, evaluating evaluate: (ChannelCall) -> Bytes
  ) throws(OptionError) -> Bytes {
    guard template.hasExpressions else { return template.text(evaluate) }
    guard case .text(let first)? = template.pieces.first, holdsScheme(first) else {
      throw OptionError(message: Bytes(text: "the URL must begin with ws:// or wss://"))
    }
    guard reachesPath(first) else {
      throw OptionError(message: Bytes(text: "^{...} may stand in the path and the query of a URL only"))
    }
    var literals = 0
    for piece in template.pieces { if case .text(let literal) = piece { literals &+= literal.count } }
    var room = max(lengthMax &- literals, 0)
    let text = template.text(
      evaluate,
      value: { value in
        var encoded = Bytes()
        for byte in value {
          let next = isUnreserved(byte) ? [byte] : percentEncoded(byte)
          guard next.count <= room else { break }
          room &-= next.count
          encoded += next
        }
        return encoded
      })
    return withoutDotSegments(text)
  }

  /// The URL with `_` for the dots of each path segment that has nothing else: a server, or a proxy before it, would
  /// take such a segment for a step up (RFC 3986 section 5.2.4).
  private static func withoutDotSegments(_ text: Bytes) -> Bytes {
    let query = firstIndex(of: UInt8(ascii: "?"), in: text) ?? text.count
    var result = Bytes()
    for (index, segment) in parts(of: slice(text, 0, query), separatedBy: UInt8(ascii: "/")).enumerated() {
      if index > 0 { result.append(UInt8(ascii: "/")) }
      let decoded = percentDecoded(segment)
      // The first three are the scheme, nothing, and the host.
      let isDots = index > 2 && !decoded.isEmpty && decoded.allSatisfy { $0 == UInt8(ascii: ".") }
      result += isDots ? decoded.map { _ in UInt8(ascii: "_") } : segment
    }
    return result + slice(text, query, text.count)
  }

  /// The URL as it is dialed: without user information, and with its port only where that is not the scheme's.
  package var dialed: Bytes { Bytes(text: isSecure ? "wss://" : "ws://") + hostHeader + target }

  /// Whether the two name the same host, letter case and a final dot ignored. The port may be another one.
  package func isSameHost(as other: EndpointURL) -> Bool { plainHost == other.plainHost }

  /// Whether the two have the same scheme, host and port (RFC 6454 section 4).
  package func isSameOrigin(as other: EndpointURL) -> Bool {
    isSecure == other.isSecure && port == other.port && isSameHost(as: other)
  }

  /// The host in small letters, without a name's final dot.
  package var plainHost: Bytes {
    let small = lowercased(host)
    return small.last == UInt8(ascii: ".") ? slice(small, 0, small.count &- 1) : small
  }

  private static func holdsScheme(_ text: Bytes) -> Bool {
    hasPrefix(text, ignoringCase: "wss://") || hasPrefix(text, ignoringCase: "ws://")
  }

  /// A URL's text from outside, with what no URL can hold percent-encoded: blanks, control characters and '#'. Cut to
  /// the longest URL.
  package static func text(encoding text: Bytes) -> Bytes {
    var encoded = Bytes()
    for byte in text {
      let next = byte.isControl || byte == 32 || byte == UInt8(ascii: "#") ? percentEncoded(byte) : [byte]
      guard encoded.count &+ next.count <= lengthMax else { break }
      encoded += next
    }
    return encoded
  }

  /// Whether the text, the beginning of a URL, goes beyond its host and port.
  private static func reachesPath(_ text: Bytes) -> Bool {
    let start = hasPrefix(text, ignoringCase: "wss://") ? 6 : hasPrefix(text, ignoringCase: "ws://") ? 5 : text.count
    return slice(text, start, text.count).contains { $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: "?") }
  }

  /// Whether a URL holds the byte as it is anywhere (RFC 3986 section 2.3).
  package static func isUnreserved(_ byte: UInt8) -> Bool {
    byte.isDigit || (byte.lowercased >= 97 && byte.lowercased <= 122) || byte == 45 || byte == 46 || byte == 95
      || byte == 126
  }

  /// The value of the request's Host header: the port only where it is not the default (RFC 6455 section 4.1).
  package var hostHeader: Bytes {
    var value = Bytes()
    if isIPv6Literal { value.append(UInt8(ascii: "[")) }
    value += host
    if isIPv6Literal { value.append(UInt8(ascii: "]")) }
    if port != (isSecure ? EndpointURL.defaultSecurePort : EndpointURL.defaultPort) {
      value.append(UInt8(ascii: ":"))
      value.append(decimal: port)
    }
    return value
  }

  /// Separates `host[:port]`. Throws where that is none; `text`, without secrets, is in the error.
  static func separate(
    authority: Bytes, of text: Bytes
  ) throws(OptionError) -> (host: Bytes, isIPv6Literal: Bool, port: Bytes?) {
    if authority.first == UInt8(ascii: "[") {
      guard let close = firstIndex(of: UInt8(ascii: "]"), in: authority), close > 1 else {
        throw refused(text, "an IPv6 address stands in brackets: ws://[::1]:8080/")
      }
      let host = slice(authority, 1, close)
      guard
        host.allSatisfy({
          $0.isDigit || ($0.lowercased >= 97 && $0.lowercased <= 102) || $0 == 58 || $0 == 46 || $0 == 37
        })
      else { throw refused(text, "what stands in the brackets is not an IPv6 address") }
      let rest = slice(authority, close &+ 1, authority.count)
      if rest.isEmpty { return (host, true, nil) }
      guard rest.first == UInt8(ascii: ":") else {
        throw refused(text, "only a colon and a port may follow the bracket")
      }
      return (host, true, slice(rest, 1, rest.count))
    }
    var host = authority
    var port: Bytes?
    if let colon = firstIndex(of: UInt8(ascii: ":"), in: authority) {
      host = slice(authority, 0, colon)
      port = slice(authority, colon &+ 1, authority.count)
    }
    guard !host.isEmpty else { throw refused(text, "the URL names no host") }
    guard host.count <= 253, host.allSatisfy(isHostCharacter) else {
      throw refused(text, "the host name has a character that host names don't have")
    }
    return (host, false, port)
  }

  private static func isHostCharacter(_ byte: UInt8) -> Bool {
    byte.isDigit || (byte.lowercased >= 97 && byte.lowercased <= 122) || byte == 45 || byte == 46 || byte == 95
  }

  /// Parts of parameter names whose values are not shown.
  private static let secretWords: [StaticString] = [
    "token", "secret", "passw", "signature", "credential", "apikey", "api_key", "api-key", "access_key", "access-key",
    "auth", "jwt",
  ]
  /// Names that are secrets as a whole.
  private static let secretNames: [StaticString] = ["key", "sig", "pwd", "pass"]

  /// Path and query with `***` in place of each query value that is likely a secret.
  private static func withoutSecrets(_ target: Bytes) -> Bytes {
    guard let question = firstIndex(of: UInt8(ascii: "?"), in: target) else { return target }
    var shown = slice(target, 0, question &+ 1)
    var isFirst = true
    for part in parts(of: slice(target, question &+ 1, target.count), separatedBy: UInt8(ascii: "&")) {
      if !isFirst { shown.append(UInt8(ascii: "&")) }
      isFirst = false
      guard let sign = firstIndex(of: UInt8(ascii: "="), in: part), isSecretName(slice(part, 0, sign)) else {
        shown += part
        continue
      }
      shown += slice(part, 0, sign &+ 1)
      shown.append("***")
    }
    return shown
  }

  /// The URL for logs without its whole query, of which only the server that made it knows what is a secret.
  package var shownWithoutQuery: Bytes {
    guard let question = firstIndex(of: UInt8(ascii: "?"), in: shown) else { return shown }
    return slice(shown, 0, question &+ 1) + Bytes(text: "...")
  }

  /// All values of the query, as they stand there.
  package var queryValues: [Bytes] {
    guard let question = firstIndex(of: UInt8(ascii: "?"), in: target) else { return [] }
    return parts(of: slice(target, question &+ 1, target.count), separatedBy: UInt8(ascii: "&")).map { part in
      slice(part, firstIndex(of: UInt8(ascii: "="), in: part).map { $0 &+ 1 } ?? 0, part.count)
    }
  }

  /// The values of the query's secret parameters, as they stand there.
  package var secrets: [Bytes] {
    guard let question = firstIndex(of: UInt8(ascii: "?"), in: target) else { return [] }
    var values: [Bytes] = []
    for part in parts(of: slice(target, question &+ 1, target.count), separatedBy: UInt8(ascii: "&")) {
      guard let sign = firstIndex(of: UInt8(ascii: "="), in: part), EndpointURL.isSecretName(slice(part, 0, sign))
      else { continue }
      values.append(slice(part, sign &+ 1, part.count))
    }
    return values
  }

  /// Whether a parameter's name speaks of a secret.
  package static func isSecretName(_ name: Bytes) -> Bool {
    // A name may itself be percent-encoded.
    let name = percentDecoded(name)
    if secretNames.contains(where: { equal(name, ignoringCase: $0) }) { return true }
    for word in secretWords {
      var start = 0
      while start < name.count {
        if hasPrefix(slice(name, start, name.count), ignoringCase: word) { return true }
        start &+= 1
      }
    }
    return false
  }

  /// Returns rejected text without possible secrets: user information (before the last '@') and the query. Returns
  /// "..." if '@' follows '?'.
  package static func redacted(_ text: Bytes) -> Bytes {
    let question = firstIndex(of: UInt8(ascii: "?"), in: text) ?? text.count
    let at = text.lastIndex(of: UInt8(ascii: "@"))
    if let at, at > question { return Bytes(text: "...") }
    let shown = at.map { Bytes(text: "...@") + slice(text, $0 &+ 1, question) } ?? slice(text, 0, question)
    return question < text.count ? shown + Bytes(text: "?...") : shown
  }

  /// A refusal that shows the URL without what could be a password.
  private static func refused(_ text: Bytes, _ why: StaticString) -> OptionError {
    var message = Bytes(text: why)
    if !text.isEmpty {
      message.append(" (given: '")
      message.append(shown: redacted(text))
      message.append("')")
    }
    return OptionError(message: message)
  }
}
