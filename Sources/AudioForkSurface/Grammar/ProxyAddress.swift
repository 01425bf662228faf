// SPDX-License-Identifier: MIT
package import AudioForkBytes

/// An HTTP proxy (`proxy`): `http://[user:password@]host:port`.
package struct ProxyAddress: Sendable, Equatable {
  /// Host name or address; an IPv6 literal without its brackets.
  package let host: Bytes
  package let port: Int
  package let isIPv6Literal: Bool
  /// `user[:password]`, percent-encoded as given; empty: none. A secret: not for logs.
  package let userInformation: Bytes

  /// Longest text.
  package static let lengthMax = 1024

  /// Parses the text; nil if it is not of that form. The port has to be there: proxies have no common one.
  package init?(_ text: Bytes) {
    guard text.count <= ProxyAddress.lengthMax, hasPrefix(text, ignoringCase: "http://"),
      !text.contains(where: { $0.isControl || $0 == 32 })
    else { return nil }
    var authority = slice(text, 7, text.count)
    if authority.last == UInt8(ascii: "/") { authority.removeLast() }
    guard
      !authority.contains(where: { $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: "?") || $0 == UInt8(ascii: "#") })
    else { return nil }
    var user = Bytes()
    if let at = authority.lastIndex(of: UInt8(ascii: "@")) {
      user = slice(authority, 0, at)
      authority = slice(authority, at &+ 1, authority.count)
    }
    guard let parts = try? EndpointURL.separate(authority: authority, of: []), let portText = parts.port,
      let port = decimal(portText), port >= 1, port <= 65_535
    else { return nil }
    host = parts.host
    isIPv6Literal = parts.isIPv6Literal
    self.port = port
    userInformation = user
  }

  /// The proxy for logs: without user information.
  package var shown: Bytes {
    var shown = Bytes(text: "http://")
    if isIPv6Literal { shown.append(UInt8(ascii: "[")) }
    shown += host
    if isIPv6Literal { shown.append(UInt8(ascii: "]")) }
    shown.append(UInt8(ascii: ":"))
    shown.append(decimal: port)
    return shown
  }
}
