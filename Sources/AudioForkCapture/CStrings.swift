// SPDX-License-Identifier: GPL-2.0-or-later
import AudioForkBytes
import CAsterisk

/// Calls `body` with the bytes as a C string; it ends at the first NUL.
func withCString<Result>(_ bytes: Bytes, _ body: (UnsafePointer<CChar>) -> Result) -> Result {
  let terminated = cString(bytes)
  return terminated.withUnsafeBufferPointer { buffer in
    guard let base = buffer.baseAddress else { return body(emptyCString) }
    return body(base)
  }
}

/// The bytes with a terminating NUL.
func cString(_ bytes: Bytes) -> [CChar] {
  var characters = [CChar]()
  characters.reserveCapacity(bytes.count &+ 1)
  for byte in bytes { characters.append(CChar(bitPattern: byte)) }
  characters.append(0)
  return characters
}

private nonisolated(unsafe) let emptyCString: UnsafePointer<CChar> = {
  let empty = UnsafeMutablePointer<CChar>.allocate(capacity: 1)
  empty.initialize(to: 0)
  return UnsafePointer(empty)
}()

/// The bytes of a C string; none for NULL.
func bytes(_ string: UnsafePointer<CChar>?) -> Bytes {
  guard let string else { return [] }
  return Bytes(UnsafeRawBufferPointer(start: string, count: strlen(string)))
}

/// Whether the C string consists of these bytes. NULL is no string.
func isSame(_ string: UnsafePointer<CChar>?, _ bytes: Bytes) -> Bool {
  guard let string else { return false }
  var index = 0
  while index < bytes.count {
    // Behind the string's end nothing is read.
    guard bytes[index] != 0, UInt8(bitPattern: string[index]) == bytes[index] else { return false }
    index &+= 1
  }
  return string[index] == 0
}

/// A copy of the bytes as a C string on the C heap, for a field of a fork. Freed with `free`.
func duplicate(_ bytes: Bytes) -> UnsafeMutablePointer<CChar>? { withCString(bytes) { strdup($0) } }

/// What the system says about an errno.
func reason(_ failure: CInt) -> Bytes { bytes(strerror(failure)) }
