// SPDX-License-Identifier: MIT

/// Undoes percent-encoding (RFC 3986 section 2.1); what is none stays as it is.
package func percentDecoded(_ text: Bytes) -> Bytes {
  var decoded = Bytes()
  decoded.reserveCapacity(text.count)
  var index = 0
  while index < text.count {
    if text[index] == UInt8(ascii: "%"), index &+ 2 < text.count, let high = hexadecimal(text[index &+ 1]),
      let low = hexadecimal(text[index &+ 2])
    {
      decoded.append(high &<< 4 | low)
      index &+= 3
    } else {
      decoded.append(text[index])
      index &+= 1
    }
  }
  return decoded
}

/// One byte percent-encoded (RFC 3986 section 2.1).
package func percentEncoded(_ byte: UInt8) -> Bytes {
  [UInt8(ascii: "%"), hexadecimalDigit(byte &>> 4), hexadecimalDigit(byte & 15)]
}

/// The text with each byte percent-encoded that is not kept.
package func percentEncoded(_ text: Bytes, keeping isKept: (UInt8) -> Bool) -> Bytes {
  var encoded = Bytes()
  encoded.reserveCapacity(text.count)
  for byte in text {
    if isKept(byte) { encoded.append(byte) } else { encoded += percentEncoded(byte) }
  }
  return encoded
}

/// Base64 with padding (RFC 4648 section 4).
package func base64(_ bytes: Bytes) -> Bytes {
  let alphabet = Bytes(text: "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
  var result = Bytes()
  var index = 0
  while index < bytes.count {
    let left = bytes.count &- index
    let first = bytes[index]
    let second = left > 1 ? bytes[index &+ 1] : 0
    let third = left > 2 ? bytes[index &+ 2] : 0
    result.append(alphabet[Int(first &>> 2)])
    result.append(alphabet[Int((first & 3) &<< 4 | second &>> 4)])
    result.append(left > 1 ? alphabet[Int((second & 15) &<< 2 | third &>> 6)] : UInt8(ascii: "="))
    result.append(left > 2 ? alphabet[Int(third & 63)] : UInt8(ascii: "="))
    index &+= 3
  }
  return result
}

/// The digit of a value from 0 to 15.
package func hexadecimalDigit(_ value: UInt8) -> UInt8 { value < 10 ? 48 &+ value : 55 &+ value }

private func hexadecimal(_ byte: UInt8) -> UInt8? {
  switch byte {
  case 48...57: byte &- 48
  case 65...70: byte &- 55
  case 97...102: byte &- 87
  default: nil
  }
}
