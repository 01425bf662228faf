// SPDX-License-Identifier: Apache-2.0

/// Frames as a strict server reads them from a client, by RFC 6455 alone. What is wrong is written down.
package struct StrictReader {
  package struct Frame: Equatable {
    package var opcode: UInt8
    package var payload: [UInt8]
  }

  package private(set) var frames: [Frame] = []
  package private(set) var complaints: [String] = []
  private var bytes: [UInt8] = []
  private var lastKey: [UInt8]?

  package init() {}

  /// The payload of the client's Close frame.
  package var close: [UInt8]? { frames.first { $0.opcode == 8 }?.payload }
  package func payloads(of opcode: UInt8) -> [[UInt8]] { frames.filter { $0.opcode == opcode }.map(\.payload) }
  /// Whether the client stopped in the middle of a frame.
  package var isInsideFrame: Bool { !bytes.isEmpty }

  package mutating func take(_ more: some Sequence<UInt8>) {
    bytes += more
    while let count = frame() { bytes.removeFirst(count) }
  }

  /// Reads the first frame; its length with header, nil where it is not whole.
  private mutating func frame() -> Int? {
    guard bytes.count >= 2 else { return nil }
    let short = Int(bytes[1] & 0x7F)
    let extended = short == 126 ? 2 : short == 127 ? 8 : 0
    let isMasked = bytes[1] & 0x80 != 0
    let header = 2 + extended + (isMasked ? 4 : 0)
    guard bytes.count >= header else { return nil }
    let length = extended == 0 ? short : bytes[2..<(2 + extended)].reduce(0) { $0 << 8 | Int($1) }
    guard bytes.count >= header + length else { return nil }
    let opcode = bytes[0] & 0x0F
    if frames.contains(where: { $0.opcode == 8 }) { complaints.append("a frame behind its Close: opcode \(opcode)") }
    if bytes[0] & 0x70 != 0 { complaints.append("reserved bits") }
    if bytes[0] & 0x80 == 0 { complaints.append("no FIN: this client never makes fragments") }
    if ![1, 2, 8, 9, 10].contains(opcode) { complaints.append("opcode \(opcode)") }
    if !isMasked { complaints.append("no mask") }
    if extended == 2 && length < 126 || extended == 8 && length < 65_536 {
      complaints.append("a length not minimal: \(length)")
    }
    if opcode >= 8 && length > 125 { complaints.append("a control frame of \(length) bytes") }
    let key = isMasked ? Array(bytes[(header - 4)..<header]) : [0, 0, 0, 0]
    if key == lastKey { complaints.append("the masking key of the frame before") }
    lastKey = key
    let payload = (0..<length).map { bytes[header + $0] ^ key[$0 % 4] }
    judge(opcode, payload)
    frames.append(Frame(opcode: opcode, payload: payload))
    return header + length
  }

  private mutating func judge(_ opcode: UInt8, _ payload: [UInt8]) {
    if opcode == 1, String(validating: payload, as: UTF8.self) == nil { complaints.append("a text that is not UTF-8") }
    guard opcode == 8, !payload.isEmpty else { return }
    guard payload.count >= 2 else { return complaints.append("a Close of one byte") }
    let code = Int(payload[0]) << 8 | Int(payload[1])
    if !(1000...1003).contains(code) && !(1007...1014).contains(code) && !(3000...4999).contains(code) {
      complaints.append("a Close with code \(code)")
    }
    if String(validating: payload.dropFirst(2), as: UTF8.self) == nil {
      complaints.append("a close reason that is not UTF-8")
    }
  }
}
