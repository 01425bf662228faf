// SPDX-License-Identifier: GPL-2.0-or-later
import AudioForkBytes
import AudioForkSurface
import CAsterisk

/// A piece of a line for the log or the CLI. Lines are put together from bytes, because String's operations need
/// tables and may trap on what comes from outside.
enum TextPiece: ExpressibleByStringLiteral {
  case literal(StaticString)
  case bytes(Bytes)
  case number(Int)

  init(stringLiteral value: StaticString) { self = .literal(value) }
}

func text(_ pieces: TextPiece...) -> Bytes { joined(pieces) }

func joined(_ pieces: [TextPiece]) -> Bytes {
  var line = Bytes()
  for piece in pieces {
    switch piece {
    case .literal(let literal): line.append(literal)
    case .bytes(let bytes): line += bytes
    case .number(let number): line.append(decimal: number)
    }
  }
  return line
}

/// Writes one line to Asterisk's log; what could steer a terminal is shown as '?'. Not for the audio path.
func log(_ level: af_level, _ pieces: TextPiece...) {
  withCString(printable(joined(pieces))) { af_log(CInt(bitPattern: level.rawValue), $0) }
}

/// Prints one line on a CLI connection.
func printLine(_ descriptor: CInt, _ line: Bytes) { withCString(line) { af_cli_print(descriptor, $0) } }

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
