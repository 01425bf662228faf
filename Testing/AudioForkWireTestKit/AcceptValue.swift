// SPDX-License-Identifier: Apache-2.0

/// What a server answers to a key: base64 of SHA-1 of the key and a fixed text (RFC 6455 section 4.2.2).
package func acceptValue(_ key: String) -> String {
  var words = sha1(Array((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").utf8)) + [0]
  let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
  var text: [UInt8] = []
  while !words.isEmpty {
    let number = words.prefix(3).reduce(0) { $0 << 8 | Int($1) }
    text += [18, 12, 6, 0].map { alphabet[number >> $0 & 63] }
    words.removeFirst(3)
  }
  // Twenty bytes leave one place empty.
  return String(decoding: text.dropLast() + [UInt8(ascii: "=")], as: UTF8.self)
}

/// FIPS 180-4. Written again so that the peer shares nothing with what it judges.
private func sha1(_ message: [UInt8]) -> [UInt8] {
  func rotated(_ word: UInt32, _ count: UInt32) -> UInt32 { word << count | word >> (32 - count) }
  var padded = message + [0x80]
  while padded.count % 64 != 56 { padded.append(0) }
  for shift in (0..<8).reversed() { padded.append(UInt8(truncatingIfNeeded: (message.count * 8) >> (8 * shift))) }
  var state: [UInt32] = [0x6745_2301, 0xEFCD_AB89, 0x98BA_DCFE, 0x1032_5476, 0xC3D2_E1F0]
  for block in stride(from: 0, to: padded.count, by: 64) {
    var words = stride(from: block, to: block + 64, by: 4).map { at in
      padded[at..<(at + 4)].reduce(0) { $0 << 8 | UInt32($1) }
    }
    for index in 16..<80 {
      words.append(rotated(words[index - 3] ^ words[index - 8] ^ words[index - 14] ^ words[index - 16], 1))
    }
    var (a, b, c, d, e) = (state[0], state[1], state[2], state[3], state[4])
    for index in 0..<80 {
      let (f, constant): (UInt32, UInt32) =
        switch index {
        case 0..<20: (b & c | ~b & d, 0x5A82_7999)
        case 20..<40: (b ^ c ^ d, 0x6ED9_EBA1)
        case 40..<60: (b & c | b & d | c & d, 0x8F1B_BCDC)
        default: (b ^ c ^ d, 0xCA62_C1D6)
        }
      (a, b, c, d, e) = (rotated(a, 5) &+ f &+ e &+ constant &+ words[index], a, rotated(b, 30), c, d)
    }
    for (index, word) in [a, b, c, d, e].enumerated() { state[index] &+= word }
  }
  return state.flatMap { word in [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: word >> UInt32($0)) } }
}
