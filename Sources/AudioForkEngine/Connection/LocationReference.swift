// SPDX-License-Identifier: Apache-2.0
internal import AudioForkBytes
package import AudioForkSurface

/// What a server writes in the header Location, resolved against the URL that it answers for (RFC 3986 section 5.2, RFC
/// 9110 section 10.2.2).
package enum LocationReference {
  /// Why a Location is no URL to connect to: the end of a sentence that begins with "not followed: ".
  package struct Failure: Error, Equatable, Sendable {
    package let reason: String

    package init(reason: String) { self.reason = reason }
  }

  /// Returns the URL that `location` names: an absolute URL of ws, wss, http or https, `//host`, a path or a query. A
  /// fragment is left out. `base` is the URL that was asked.
  package static func resolve(_ location: String, against base: EndpointURL) throws(Failure) -> EndpointURL {
    var text = trimmed(Bytes(location.utf8))
    guard !text.isEmpty else { throw Failure(reason: "it does not say where to") }
    guard text.count <= EndpointURL.lengthMax else {
      throw Failure(reason: "its Location is longer than \(EndpointURL.lengthMax) characters")
    }
    if let hash = firstIndex(of: UInt8(ascii: "#"), in: text) { text = slice(text, 0, hash) }
    let absolute = try absoluteText(text, base)
    do {
      let url = try EndpointURL.parse(withoutDotSegments(absolute))
      guard url.userInformation.isEmpty else { throw Failure(reason: "its Location has user information") }
      return url
    } catch let failure as Failure {
      throw failure
    } catch {
      throw Failure(reason: "its Location is no URL of a WebSocket server")
    }
  }

  /// The Location as a text that begins with ws:// or wss://.
  private static func absoluteText(_ text: Bytes, _ base: EndpointURL) throws(Failure) -> Bytes {
    if let colon = schemeEnd(text) {
      let rest = slice(text, colon &+ 1, text.count)
      guard let scheme = webSocketScheme(lowercased(slice(text, 0, colon))), hasPrefix(rest, ignoringCase: "//") else {
        throw Failure(reason: "its Location is no URL of a WebSocket server")
      }
      return Bytes(text: scheme) + rest
    }
    let scheme: Bytes = Bytes(text: base.isSecure ? "wss:" : "ws:")
    if hasPrefix(text, ignoringCase: "//") { return scheme + text }
    let origin = scheme + Bytes(text: "//") + base.hostHeader
    if text.first == UInt8(ascii: "/") { return origin + text }
    let path = slice(base.target, 0, firstIndex(of: UInt8(ascii: "?"), in: base.target) ?? base.target.count)
    // A fragment alone is the URL itself.
    guard let first = text.first else { return origin + base.target }
    if first == UInt8(ascii: "?") { return origin + path + text }
    let folder = slice(path, 0, path.lastIndex(of: UInt8(ascii: "/")).map { $0 + 1 } ?? 0)
    return origin + folder + text
  }

  /// Where the colon behind a scheme stands (RFC 3986 section 3.1); nil for a relative reference.
  private static func schemeEnd(_ text: Bytes) -> Int? {
    guard let colon = firstIndex(of: UInt8(ascii: ":"), in: text), let first = text.first,
      (97...122).contains(first.lowercased)
    else { return nil }
    let isScheme = slice(text, 0, colon).allSatisfy {
      $0.isDigit || (97...122).contains($0.lowercased) || $0 == 43 || $0 == 45 || $0 == 46
    }
    return isScheme ? colon : nil
  }

  private static func webSocketScheme(_ scheme: Bytes) -> StaticString? {
    switch String(decoding: scheme, as: UTF8.self) {
    case "ws", "http": "ws:"
    case "wss", "https": "wss:"
    default: nil
    }
  }

  /// The URL without `.` and `..` as segments of its path (RFC 3986 section 5.2.4).
  private static func withoutDotSegments(_ url: Bytes) -> Bytes {
    let query = firstIndex(of: UInt8(ascii: "?"), in: url) ?? url.count
    // Behind the two slashes of the scheme.
    let authority = (firstIndex(of: UInt8(ascii: "/"), in: url) ?? 0) + 2
    guard let path = firstIndex(of: UInt8(ascii: "/"), in: slice(url, 0, query), from: authority) else { return url }
    var segments: [Bytes] = []
    let given = parts(of: slice(url, path + 1, query), separatedBy: UInt8(ascii: "/"))
    for (index, segment) in given.enumerated() {
      let isLast = index == given.count - 1
      switch segment {
      case [46]: if isLast { segments.append([]) }
      case [46, 46]:
        _ = segments.popLast()
        if isLast { segments.append([]) }
      default: segments.append(segment)
      }
    }
    let resolved = segments.map { [UInt8(ascii: "/")] + $0 }.joined()
    return slice(url, 0, path) + (segments.isEmpty ? [UInt8(ascii: "/")] : Bytes(resolved))
      + slice(url, query, url.count)
  }
}
