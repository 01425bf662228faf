// SPDX-License-Identifier: Apache-2.0

/// Where to listen: `HOST:PORT`, an IPv6 address in brackets.
package struct ListenAddress: Equatable, Sendable {
  /// Host name or address, without brackets.
  package let host: String
  /// 0 lets the system choose one.
  package let port: Int

  /// Reads an address as a user writes it; nil if it is none.
  package init?(_ text: String) {
    guard let colon = text.lastIndex(of: ":") else { return nil }
    var host = text[..<colon]
    let digits = text[text.index(after: colon)...]
    guard (1...5).contains(digits.utf8.count), digits.utf8.allSatisfy({ (48...57).contains($0) }),
      let port = Int(digits), port <= 65535
    else { return nil }
    if host.first == "[", host.last == "]" {
      host = host.dropFirst().dropLast()
      guard host.contains(":") else { return nil }
    } else {
      guard !host.contains(":") else { return nil }
    }
    guard !host.isEmpty, host.utf8.allSatisfy({ $0 > 32 && $0 < 127 && $0 != UInt8(ascii: "/") }) else { return nil }
    self.host = String(host)
    self.port = port
  }

  package init(host: String, port: Int) {
    self.host = host
    self.port = port
  }

  /// The address as part of a URL.
  package var shown: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}
