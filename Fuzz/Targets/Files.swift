// SPDX-License-Identifier: Apache-2.0
internal import AudioForkLink
internal import AudioForkTap
internal import CAudioForkABI
internal import Glibc

/// A folder in memory for the files of this process; scripts/lab/fuzz makes it, and takes it away.
let folder = getenv("AUDIOFORK_FUZZ_FOLDER").map { String(cString: $0) } ?? "/dev/shm"

/// A path that no other process of this run has.
func path(_ name: String) -> String { "\(folder)/\(getpid()).\(name)" }

/// Makes the file anew.
func store(_ bytes: [UInt8], at path: String) {
  let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
  demand(descriptor >= 0, "\(path) cannot be made")
  let count = bytes.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
  demand(count == bytes.count, "\(path) cannot be written")
  close(descriptor)
}

func load(_ path: String) -> [UInt8] {
  let descriptor = open(path, O_RDONLY)
  defer { close(descriptor) }
  var status = stat()
  demand(fstat(descriptor, &status) == 0, "\(path) is not there")
  var bytes = [UInt8](repeating: 0, count: Int(status.st_size))
  let count = bytes.withUnsafeMutableBytes { read(descriptor, $0.baseAddress, $0.count) }
  demand(count == bytes.count, "\(path) cannot be read")
  return bytes
}

/// The ring of half a second of a call, both directions, with a digit, as the module writes it.
let goodRing: [UInt8] = {
  let path = path("good.ring")
  var facts = FieldWriter()
  let texts: [(key: UInt16, value: String)] = [
    (1, "af-1"), (2, "ws://example.org/"), (3, "D(both)"), (4, "PJSIP/a-1"), (9, "buffer=10"),
  ]
  for (key, value) in texts {
    facts.append(key: key, Array(value.utf8))
  }
  facts.append(.rate, number: 8000)
  facts.append(.drain, number: 10)
  var tap = af_tap()
  let failure = createRing(
    &tap, path: Array(path.utf8CString), size: RingSize(indexEntries: 64, areaBytes: 16_384), facts: facts.bytes,
    directions: 3,
    now: 1_000_000_000, wall: 1_700_000_000_000_000_000)
  demand(failure == 0, "the ring cannot be made: \(failure)")
  let samples = (0..<160).map { Int16($0 * 100) }
  for frame in 1...25 as ClosedRange<Int64> {
    for direction in 0...1 as ClosedRange<UInt32> {
      samples.withUnsafeBytes { bytes in
        guard let base = bytes.baseAddress else { return }
        captureFrame(
          &tap, CapturedFrame(direction: direction, samples: base, count: 160, rate: 8000), channel: nil,
          now: 1_000_000_000 + frame * 20_000_000)
      }
    }
  }
  captureDigit(&tap, direction: 0, digit: UInt8(ascii: "5"), milliseconds: 100, now: 1_500_000_000)
  closeTap(&tap, now: 1_520_000_000)
  unmapRing(&tap)
  defer { unlink(path) }
  return load(path)
}()

extension Decisions {
  /// Changes a file as the input says: words at any place, words of one of `recordBytes`-long records, its length.
  mutating func damage(_ file: inout [UInt8], records: Int, recordBytes: Int) {
    for _ in 0..<(byte() & 15) {
      let what = byte()
      switch what & 3 {
      case 0: overwrite(&file, at: Int(number(bytes: 2)), piece(Int(what >> 2) & 15))
      case 1: overwrite(&file, at: Int(byte()) * 8, piece(8))
      case 2: overwrite(&file, at: records + Int(byte() & 63) * recordBytes + Int(what >> 2 & 7) * 8, piece(8))
      default: file = Array(file.prefix(Int(number(bytes: 3))))
      }
    }
  }

  private func overwrite(_ file: inout [UInt8], at start: Int, _ bytes: [UInt8]) {
    for (index, byte) in bytes.enumerated() where start + index < file.count { file[start + index] = byte }
  }
}
