// SPDX-License-Identifier: Apache-2.0
import AudioForkBytes
import AudioForkDialects
import AudioForkMedia
import AudioForkSurface

// What the skeletons share. They speak whole protocols, and are no product: each proves that `DialectSession` carries
// what its servers say and have to hear.

/// Base64 with padding.
func base64Text(_ bytes: [UInt8]) -> String { String(decoding: base64(bytes), as: UTF8.self) }

/// What a server has written in base64, with or without padding and line ends; nil for another text.
func base64Bytes(_ text: String) -> [UInt8]? {
  var bytes: [UInt8] = []
  var (bits, count): (UInt32, Int) = (0, 0)
  var isOver = false
  for byte in text.utf8 {
    let digit: UInt32
    switch byte {
    case UInt8(ascii: "A")...UInt8(ascii: "Z"): digit = UInt32(byte) - 65
    case UInt8(ascii: "a")...UInt8(ascii: "z"): digit = UInt32(byte) - 71
    case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = UInt32(byte) + 4
    case UInt8(ascii: "+"): digit = 62
    case UInt8(ascii: "/"): digit = 63
    case UInt8(ascii: "\r"), UInt8(ascii: "\n"): continue
    case UInt8(ascii: "="):
      isOver = true
      continue
    default: return nil
    }
    guard !isOver else { return nil }
    bits = bits << 6 | digit
    count += 6
    guard count >= 8 else { continue }
    count -= 8
    bytes.append(UInt8(truncatingIfNeeded: bits >> UInt32(count)))
    bits &= 1 << UInt32(count) - 1
  }
  return count == 6 ? nil : bytes
}

extension SampleEncoding {
  /// Samples as they go over the wire.
  func bytes(of samples: [Int16]) -> [UInt8] {
    switch self {
    case .linear: samples.flatMap { [UInt8(truncatingIfNeeded: $0), UInt8(truncatingIfNeeded: $0 >> 8)] }
    case .muLaw: samples.map { G711.muLaw($0) }
    case .aLaw: samples.map { G711.aLaw($0) }
    }
  }
}

extension StreamDescription {
  /// The value of a parameter of `s()`.
  func parameter(_ name: String) -> String? {
    parameters.last { $0.name.elementsEqual(name.utf8) }.map { String(decoding: $0.value, as: UTF8.self) }
  }

  /// All parameters as an object of strings.
  func parameterObject(leavingOut names: Set<String> = []) -> JSONObject {
    var object = JSONObject()
    for field in parameters {
      let name = String(decoding: field.name, as: UTF8.self)
      if !names.contains(name) { object.add(name, String(decoding: field.value, as: UTF8.self)) }
    }
    return object
  }

  /// Whose words a recognizer hears in this audio channel; nil where both directions are one.
  func speaker(channel: Int = 0) -> Transcript.Speaker? {
    switch direction {
    case .in: .in
    case .out: .out
    case .both: nil
    case .stereo: channel == 0 ? .in : .out
    }
  }
}

extension Direction {
  var track: String { self == .in ? "inbound" : "outbound" }
}

extension JSONValue {
  /// The value of a member of members.
  subscript(_ first: String, _ second: String) -> JSONValue? { self[first]?[second] }

  /// A whole number that servers write as a number or as a string.
  var looseNumber: UInt64? { wholeNumber ?? text.flatMap { UInt64($0) } }

  /// Any number.
  var decimal: Double? {
    guard case .number(let digits) = self else { return nil }
    return Double(digits)
  }

  var isTrue: Bool { self == .bool(true) }
}
