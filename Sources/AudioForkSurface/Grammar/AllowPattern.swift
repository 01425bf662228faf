// SPDX-License-Identifier: MIT
package import AudioForkBytes

/// One line `allow` of `[general]`: a pattern for URLs that forks may go to.
///
/// Scheme, host, port and path are matched each by itself, with what `EndpointURL` made of the URL: what stands before
/// the '@' or in the path can never pass for a host. `*` stands for any characters, `?` for one.
package struct AllowPattern: Sendable, Equatable {
  private let scheme: Bytes
  private let host: Bytes
  /// Nil: the scheme's default port.
  private let port: Bytes?
  /// Nil: any path.
  private let path: Bytes?

  /// Longest pattern.
  package static let lengthMax = 1024

  /// Parses `scheme://host[:port][/path]`; nil where the text is not of that form.
  package init?(_ text: Bytes) {
    guard text.count <= AllowPattern.lengthMax, !text.contains(where: { $0.isControl || $0 == 32 }),
      let colon = firstIndex(of: UInt8(ascii: ":"), in: text), colon > 0, colon &+ 2 < text.count,
      text[colon &+ 1] == UInt8(ascii: "/"), text[colon &+ 2] == UInt8(ascii: "/")
    else { return nil }
    scheme = lowercased(slice(text, 0, colon))
    let rest = slice(text, colon &+ 3, text.count)
    let slash = firstIndex(of: UInt8(ascii: "/"), in: rest)
    let authority = slice(rest, 0, slash ?? rest.count)
    path = slash.map { slice(rest, $0, rest.count) }
    guard !authority.contains(UInt8(ascii: "@")), !authority.isEmpty else { return nil }
    if authority.first == UInt8(ascii: "[") {
      guard let close = firstIndex(of: UInt8(ascii: "]"), in: authority) else { return nil }
      host = lowercased(slice(authority, 1, close))
      let behind = slice(authority, close &+ 1, authority.count)
      guard behind.isEmpty || (behind.first == UInt8(ascii: ":") && behind.count > 1) else { return nil }
      port = behind.isEmpty ? nil : slice(behind, 1, behind.count)
    } else if let colon = firstIndex(of: UInt8(ascii: ":"), in: authority) {
      host = lowercased(slice(authority, 0, colon))
      port = slice(authority, colon &+ 1, authority.count)
    } else {
      host = lowercased(authority)
      port = nil
    }
    guard !host.isEmpty, port?.isEmpty != true, port?.contains(UInt8(ascii: ":")) != true else { return nil }
    // A scheme that no URL can have would allow nothing, silently.
    guard AllowPattern.matches(scheme, Bytes(text: "ws")) || AllowPattern.matches(scheme, Bytes(text: "wss")) else {
      return nil
    }
  }

  /// Whether a fork may go to the URL.
  package func allows(_ url: EndpointURL) -> Bool {
    guard AllowPattern.matches(scheme, Bytes(text: url.isSecure ? "wss" : "ws")),
      AllowPattern.matches(host, lowercased(url.host))
    else { return false }
    if let port {
      var number = Bytes()
      number.append(decimal: url.port)
      guard AllowPattern.matches(port, number) else { return false }
    } else {
      guard url.port == (url.isSecure ? EndpointURL.defaultSecurePort : EndpointURL.defaultPort) else { return false }
    }
    guard let path else { return true }
    // A server that resolves `/allowed/../other` would serve what the pattern does not name.
    return !AllowPattern.climbs(url.target) && AllowPattern.matches(path, url.target)
  }

  /// Whether a segment of the path is `.` or `..`, percent-encoded or not.
  private static func climbs(_ target: Bytes) -> Bool {
    let end = firstIndex(of: UInt8(ascii: "?"), in: target) ?? target.count
    var segment = Bytes()
    for byte in percentDecoded(slice(target, 0, end)) + Bytes(text: "/") {
      if byte == UInt8(ascii: "/") || byte == UInt8(ascii: "\\") {
        if segment == Bytes(text: ".") || segment == Bytes(text: "..") { return true }
        segment = []
      } else {
        segment.append(byte)
      }
    }
    return false
  }

  /// Whether the whole text fits the pattern; `*` and `?` are its wildcards.
  static func matches(_ pattern: Bytes, _ text: Bytes) -> Bool {
    var inPattern = 0
    var inText = 0
    // Where the last star stands, and what it stood for up to now: one more character with each failure.
    var star: Int?
    var starEnd = 0
    while inText < text.count {
      if inPattern < pattern.count, pattern[inPattern] == UInt8(ascii: "*") {
        star = inPattern
        starEnd = inText
        inPattern &+= 1
      } else if inPattern < pattern.count,
        pattern[inPattern] == UInt8(ascii: "?") || pattern[inPattern] == text[inText]
      {
        inPattern &+= 1
        inText &+= 1
      } else if let star {
        starEnd &+= 1
        inText = starEnd
        inPattern = star &+ 1
      } else {
        return false
      }
    }
    while inPattern < pattern.count, pattern[inPattern] == UInt8(ascii: "*") { inPattern &+= 1 }
    return inPattern == pattern.count
  }
}
