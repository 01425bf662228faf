// SPDX-License-Identifier: MIT
package import AudioForkBytes

/// Hosts that are reached without the proxy (`no_proxy`), separated by commas or blanks:
///  - `*`: every host,
///  - `example.org`: this host and no other,
///  - `.example.org` or `*.example.org`: every host below it, and not itself,
///  - `192.0.2.1`, `[2001:db8::1]`: a URL with this address,
///  - `192.0.2.0/24`, `2001:db8::/32`: a URL with an address in this network.
///
/// Compared with the host as the URL names it. No name is looked up for it, so that an address never stands for a name.
/// There are no ports in it.
package struct NoProxyList: Sendable, Equatable {
  private enum Entry: Sendable, Equatable {
    case every
    /// In small letters, without a final dot.
    case name(Bytes)
    /// The same, with the dot before it.
    case below(Bytes)
    case network(InternetAddress, prefix: Int)
  }

  /// Longest list, bytes.
  package static let lengthMax = 4096
  /// The accepted form.
  package static let form: StaticString =
    "*, names, .names, addresses and networks like 10.0.0.0/8, separated by commas; or nothing"

  private var entries = [Entry]()

  /// No host.
  package init() {}

  /// Parses a list; nil if an entry is none of these.
  package init?(_ text: Bytes) {
    guard text.count <= NoProxyList.lengthMax, !text.contains(where: { $0.isControl && $0 != 9 }) else { return nil }
    let separated = text.map { $0 == 32 || $0 == 9 ? UInt8(ascii: ",") : $0 }
    for part in parts(of: separated, separatedBy: UInt8(ascii: ",")) where !part.isEmpty {
      guard let entry = NoProxyList.entry(part) else { return nil }
      entries.append(entry)
    }
  }

  /// Whether the URL's host is reached without the proxy.
  package func contains(_ url: EndpointURL) -> Bool {
    let host = url.plainHost
    let address = InternetAddress(host)
    return entries.contains { entry in
      switch entry {
      case .every: true
      case .name(let name): address == nil && host == name
      case .below(let suffix):
        address == nil && host.count > suffix.count && slice(host, host.count &- suffix.count, host.count) == suffix
      case .network(let network, let prefix): address?.isWithin(network, prefix: prefix) ?? false
      }
    }
  }

  private static func entry(_ text: Bytes) -> Entry? {
    if text == Bytes(text: "*") { return .every }
    if let slash = firstIndex(of: UInt8(ascii: "/"), in: text) {
      guard let network = InternetAddress(withoutBrackets(slice(text, 0, slash))),
        let bits = decimal(slice(text, slash &+ 1, text.count))
      else { return nil }
      // Of an IPv4 address that is written as an IPv6 one the first 96 bits are the form.
      let prefix = network.isMapped ? bits &- 96 : bits
      guard prefix >= 0, prefix <= network.bytes.count &* 8 else { return nil }
      return .network(network, prefix: prefix)
    }
    if let address = InternetAddress(withoutBrackets(text)) {
      return .network(address, prefix: address.bytes.count &* 8)
    }
    var name = lowercased(text)
    if hasPrefix(name, ignoringCase: "*.") { name = slice(name, 1, name.count) }
    if name.last == UInt8(ascii: ".") { name.removeLast() }
    let isBelow = name.first == UInt8(ascii: ".")
    let plain = isBelow ? slice(name, 1, name.count) : name
    guard !plain.isEmpty, plain.allSatisfy(isNameCharacter),
      parts(of: plain, separatedBy: UInt8(ascii: ".")).allSatisfy({ !$0.isEmpty })
    else { return nil }
    return isBelow ? .below(name) : .name(name)
  }

  private static func isNameCharacter(_ byte: UInt8) -> Bool {
    byte.isDigit || (byte >= 97 && byte <= 122) || byte == 45 || byte == 46 || byte == 95
  }

  private static func withoutBrackets(_ text: Bytes) -> Bytes {
    guard text.first == UInt8(ascii: "["), text.last == UInt8(ascii: "]") else { return text }
    return slice(text, 1, text.count &- 1)
  }
}
