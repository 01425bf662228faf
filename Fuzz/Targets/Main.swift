// SPDX-License-Identifier: Apache-2.0
internal import CLibFuzzer
internal import Glibc

/// What can be fuzzed: what takes bytes from a server, from the other process, from a file or from a dialplan. Each
/// function takes any bytes, and ends the process where something is not as it has to be.
private let targets: [(name: String, run: @Sendable ([UInt8]) -> Void)] = [
  ("frames", fuzzFrames),
  ("handshake", fuzzHandshake),
  ("route", fuzzRoute),
  ("json", fuzzJSON),
  ("dialects", fuzzDialects),
  ("receiver", fuzzReceiver),
  ("link", fuzzLink),
  ("ring", fuzzRing),
  ("cursor", fuzzCursor),
  ("spool", fuzzSpool),
  ("options", fuzzOptions),
]

nonisolated(unsafe) private var chosen: ([UInt8]) -> Void = { _ in }

/// The target is named by the program's own name (scripts/lab/fuzz makes the links): what libFuzzer starts again for a
/// merge is then the same target.
@main private enum Main {
  static func main() {
    var count = CommandLine.argc
    let words: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?> = CommandLine.unsafeArgv
    let name = words[0].map { String(cString: $0) }?.split(separator: "/").last.map(String.init) ?? ""
    guard let target = targets.first(where: { $0.name == name }) else {
      print(targets.map(\.name).joined(separator: "\n"))
      exit(2)
    }
    chosen = target.run
    var arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? = words
    exit(
      LLVMFuzzerRunDriver(&count, &arguments) { bytes, size in
        chosen(Array(UnsafeBufferPointer(start: bytes, count: size)))
        return 0
      })
  }
}

/// Ends the process with a line that says what is wrong; libFuzzer keeps the input.
func demand(_ isRight: Bool, _ what: @autoclosure () -> String) {
  guard !isRight else { return }
  let line = Array("WRONG: \(what())\n".utf8)
  _ = line.withUnsafeBytes { write(2, $0.baseAddress, $0.count) }
  abort()
}

/// An input as a series of decisions: numbers and pieces off its front. At its end every number is 0.
struct Decisions {
  private var rest: ArraySlice<UInt8>

  init(_ bytes: [UInt8]) { rest = bytes[...] }

  var isOver: Bool { rest.isEmpty }

  mutating func byte() -> UInt8 { rest.popFirst() ?? 0 }

  /// Little-endian, in so many bytes.
  mutating func number(bytes: Int) -> UInt64 {
    var number: UInt64 = 0
    for index in 0..<bytes { number |= UInt64(byte()) << UInt64(8 * index) }
    return number
  }

  mutating func piece(_ count: Int) -> [UInt8] {
    defer { rest = rest.dropFirst(count) }
    return Array(rest.prefix(count))
  }

  /// All that is left.
  mutating func remainder() -> [UInt8] { piece(rest.count) }
}
