// SPDX-License-Identifier: Apache-2.0
internal import AudioForkMedia
internal import AudioForkResampling
internal import AudioForkRing
internal import Glibc

/// A spool file of an earlier engine, whole, damaged or something else.
func fuzzSpool(_ bytes: [UInt8]) {
  var input = Decisions(bytes)
  let what = input.byte()
  var file = good
  if what & 1 == 0 {
    input.damage(&file, records: SpoolFile.headerBytes, recordBytes: SpoolRecord.headerBytes + 320)
  } else {
    // Records that nobody writes, and whose checksums are right all the same.
    file = Array(good.prefix(SpoolFile.headerBytes))
    while !input.isOver { appendRecord(&input, to: &file) }
  }
  let spoolPath = path("spool")
  store(file, at: spoolPath)
  do {
    guard let (spool, content) = try SpoolFile.open(path: spoolPath, identity, creates: false) else {
      return demand(false, "the file is not there")
    }
    defer { spool.close() }
    demand(content.end >= SpoolFile.headerBytes && content.end <= max(file.count, SpoolFile.headerBytes), "\(content)")
    demand(content.places.isEmpty == (content.lastSequence == nil), "\(content)")
    let bytes = try spool.read(at: 0, count: max(file.count, SpoolFile.headerBytes) + 1)
    demand(bytes.count == content.end, "\(bytes.count) bytes are left, and \(content)")
    replay(bytes, content)
    // What is appended is found by the next engine.
    var batch: [UInt8] = []
    let next = (content.lastSequence ?? 0) &+ 1
    guard next > 0 else { return }
    SpoolRecord.append(CapturedDigit(direction: .out, digit: 35, milliseconds: 1), sequence: next, to: &batch)
    try spool.write(batch, at: content.end)
    let again = try SpoolFile.open(path: spoolPath, identity, creates: false)
    demand(again?.content.lastSequence == next, "\(next) was written, found was \(String(describing: again?.content))")
    again?.file.close()
  } catch {
    demand(false, "\(error)")
  }
}

private let identity = StreamEpoch(monotonic: MonotonicTime(nanoseconds: 5), wall: WallTime(nanoseconds: 7))

/// Ten entries and a digit.
private let good: [UInt8] = {
  let spoolPath = path("good.spool")
  defer { unlink(spoolPath) }
  guard let (file, content) = try? SpoolFile.open(path: spoolPath, identity, creates: true) else { return [] }
  defer { file.close() }
  var batch: [UInt8] = []
  for number in 0..<10 as Range<UInt64> {
    let entry = CapturedEntry(
      sequence: number, direction: number % 2 == 0 ? .in : .out, rateHertz: 8000, count: 160, runStart: .zero,
      runIndex: number / 2 * 160, arrival: StreamTime(nanoseconds: Int64(number / 2 + 1) * 20_000_000),
      captured: number / 2 * 160)
    SpoolRecord.append(entry, samples: [Int16](repeating: 9, count: 160), to: &batch)
  }
  SpoolRecord.append(CapturedDigit(direction: .in, digit: 49, milliseconds: 80), sequence: 10, to: &batch)
  try? file.write(batch, at: content.end)
  return load(spoolPath)
}()

/// A record of the input's making; its checksum is made as `SpoolRecord` makes it.
private func appendRecord(_ input: inout Decisions, to file: inout [UInt8]) {
  let samples = Int(input.byte() & 31)
  var entry = CapturedEntry(
    sequence: input.number(bytes: 2), direction: samples & 1 == 0 ? .in : .out, rateHertz: Int(input.number(bytes: 4)),
    count: samples, runStart: StreamTime(nanoseconds: Int64(bitPattern: input.number(bytes: 8))),
    runIndex: input.number(bytes: 8),
    arrival: StreamTime(nanoseconds: Int64(bitPattern: input.number(bytes: 8))), captured: input.number(bytes: 8))
  entry.isAhead = input.byte() & 1 != 0
  SpoolRecord.append(entry, samples: [Int16](repeating: 3, count: samples), to: &file)
}

/// What an engine does with it: every record is read and rendered.
private func replay(_ bytes: [UInt8], _ content: SpoolFile.Content) {
  var renderer = Renderer<SpeexConverter>(RenderConfiguration(directions: .both, wireRateHertz: 8000))
  var samples: [Int16] = []
  var output: [Int16] = []
  var offset = SpoolFile.headerBytes
  var blocks = 0
  var last: UInt64?
  while offset < content.end {
    guard let found = SpoolRecord.find(in: bytes, at: offset) else { return demand(false, "no record at \(offset)") }
    demand(last.map { $0 < found.sequence } ?? true, "\(found) behind \(String(describing: last))")
    last = found.sequence
    if case .audio(let entry) = SpoolRecord.decode(found, in: bytes, at: offset, into: &samples) {
      demand(entry.count <= samples.count, "\(entry)")
      renderer.consume(entry, samples: samples)
      while blocks < 2000, renderer.nextBlock(into: &output) != nil { blocks += 1 }
      _ = renderer.takeGaps()
    } else {
      renderer.skip(to: found.sequence &+ 1)
    }
    offset += found.length
  }
  demand(last == content.lastSequence, "\(String(describing: last)) is the last, and \(content)")
}
