// SPDX-License-Identifier: MIT
package import AudioForkBytes

/// An IP address. An IPv4 address that is written as an IPv6 one (`::ffff:192.0.2.1`, RFC 4291 section 2.5.5.2) is the
/// IPv4 address.
package struct InternetAddress: Sendable, Equatable {
  /// 4 or 16, in network order.
  package let bytes: Bytes
  /// Whether it was written as an IPv6 address and is an IPv4 one.
  let isMapped: Bool

  private static let mappedPrefix: Bytes = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF]

  /// Parses four decimal numbers, or an IPv6 address without brackets, whose zone is ignored. Nil for anything else.
  package init?(_ text: Bytes) {
    if let bytes = InternetAddress.version4(text) {
      self.bytes = bytes
      isMapped = false
      return
    }
    guard let bytes = InternetAddress.version6(text) else { return nil }
    isMapped = slice(bytes, 0, 12) == InternetAddress.mappedPrefix
    self.bytes = isMapped ? slice(bytes, 12, 16) : bytes
  }

  /// Whether the first `prefix` bits are those of the network.
  package func isWithin(_ network: InternetAddress, prefix: Int) -> Bool {
    guard bytes.count == network.bytes.count, prefix <= bytes.count &* 8 else { return false }
    var left = prefix
    var index = 0
    while left > 0, index < bytes.count {
      let mask: UInt8 = left >= 8 ? 0xFF : ~(0xFF &>> UInt8(truncatingIfNeeded: left))
      if (bytes[index] ^ network.bytes[index]) & mask != 0 { return false }
      left = left &- 8
      index = index &+ 1
    }
    return true
  }

  private static func version4(_ text: Bytes) -> Bytes? {
    let numbers = parts(of: text, separatedBy: UInt8(ascii: "."))
    guard numbers.count == 4 else { return nil }
    var bytes = Bytes()
    for number in numbers {
      // A leading zero would make it octal for some.
      guard number.count <= 3, number.count == 1 || number.first != UInt8(ascii: "0"), let value = decimal(number),
        value <= 255
      else { return nil }
      bytes.append(UInt8(truncatingIfNeeded: value))
    }
    return bytes
  }

  private static func version6(_ text: Bytes) -> Bytes? {
    let address = slice(text, 0, firstIndex(of: UInt8(ascii: "%"), in: text) ?? text.count)
    guard let gap = doubleColon(in: address, from: 0) else {
      return groups(address).flatMap { $0.count == 16 ? $0 : nil }
    }
    guard doubleColon(in: address, from: gap &+ 1) == nil, let first = groups(slice(address, 0, gap), isEnd: false),
      let last = groups(slice(address, gap &+ 2, address.count)), first.count &+ last.count <= 14
    else { return nil }
    return first + Bytes(repeating: 0, count: 16 &- first.count &- last.count) + last
  }

  private static func doubleColon(in text: Bytes, from start: Int) -> Int? {
    var index = start
    while index &+ 1 < text.count {
      if text[index] == UInt8(ascii: ":"), text[index &+ 1] == UInt8(ascii: ":") { return index }
      index = index &+ 1
    }
    return nil
  }

  /// Groups of hexadecimal digits between colons. `isEnd`: the last one may be an IPv4 address.
  private static func groups(_ text: Bytes, isEnd: Bool = true) -> Bytes? {
    var bytes = Bytes()
    let groups = parts(of: text, separatedBy: UInt8(ascii: ":"))
    for (index, group) in groups.enumerated() {
      if isEnd, index == groups.count &- 1, let four = version4(group) { return bytes + four }
      guard let value = hexadecimal(group) else { return nil }
      bytes.append(UInt8(truncatingIfNeeded: value &>> 8))
      bytes.append(UInt8(truncatingIfNeeded: value))
    }
    return bytes
  }

  private static func hexadecimal(_ group: Bytes) -> Int? {
    guard group.count >= 1, group.count <= 4 else { return nil }
    var value = 0
    for byte in group {
      let letter = byte.lowercased
      if byte.isDigit {
        value = value &* 16 &+ Int(byte &- 48)
      } else if letter >= 97, letter <= 102 {
        value = value &* 16 &+ Int(letter &- 87)
      } else {
        return nil
      }
    }
    return value
  }
}
