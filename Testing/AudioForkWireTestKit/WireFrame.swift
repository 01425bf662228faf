// SPDX-License-Identifier: Apache-2.0

/// Returns the bytes of a frame, valid or not. `length`: value written in place of the payload's length. `lengthBytes`:
/// width of that field; default: the shortest.
package func wireFrame(
  _ opcode: UInt8, _ payload: [UInt8] = [], fin: Bool = true, reserved: UInt8 = 0, key: [UInt8]? = nil,
  length: UInt64? = nil,
  lengthBytes: Int? = nil
) -> [UInt8] {
  let length = length ?? UInt64(payload.count)
  let wide = lengthBytes ?? (length < 126 ? 0 : length < 65_536 ? 2 : 8)
  let mask: UInt8 = key == nil ? 0 : 0x80
  var bytes = [(fin ? 0x80 : 0) | reserved << 4 | opcode]
  bytes.append(mask | (wide == 0 ? UInt8(length) : wide == 2 ? 126 : 127))
  for shift in (0..<wide).reversed() { bytes.append(UInt8(truncatingIfNeeded: length >> UInt64(8 * shift))) }
  guard let key else { return bytes + payload }
  return bytes + key + payload.indices.map { payload[$0] ^ key[$0 % 4] }
}
