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
