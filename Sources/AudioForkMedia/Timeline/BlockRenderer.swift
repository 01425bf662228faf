// SPDX-License-Identifier: Apache-2.0

/// Makes a decided block of what the directions' queues hold: mixes or interleaves them, and cuts out what none of them
/// covers where fill is off. Its arrays are reused.
struct BlockRenderer {
  /// Whether fill and muted audio are noted in the ledger.
  var notesRanges = false

  private let hasIn: Bool
  private let hasOut: Bool
  private let isStereo: Bool
  private let fill: Bool
  private let blockFrames: Int
  /// What each direction covers of the block being rendered.
  private var ranges = PerDirection(in: BlockRanges(), out: BlockRanges())
  /// Both together, in order: what is kept of a block that is cut.
  private var coveredRanges: [Range<Int>] = []
  /// The right channel of the block being rendered.
  private var right: [Int16] = []

  init(_ configuration: RenderConfiguration) {
    hasIn = configuration.directions.contains(.in)
    hasOut = configuration.directions.contains(.out)
    isStereo = configuration.isStereo
    fill = configuration.fill
    blockFrames = configuration.blockFrames
  }

  /// Passes the block at `start` (wire-rate sample frames since the epoch) and enters it in the ledger. `output` gets
  /// its samples; it is empty before.
  mutating func render(
    at start: Int64, completedAt: StreamTime, queues: inout PerDirection<DirectionQueue>, ledger: inout RenderLedger,
    into output: inout [Int16]
  ) -> RenderedBlock {
    let position = ledger.counters.position
    let covered = mix(at: start, &queues, &ledger, into: &output)
    let isCut = !fill && covered.in < blockFrames && covered.out < blockFrames
    if isCut { cut(&output) }
    if notesRanges {
      if hasIn { noteRanges(.in, ranges.in, covered.in, position, isCut: isCut, &ledger) }
      if hasOut { noteRanges(.out, ranges.out, covered.out, position, isCut: isCut, &ledger) }
    }
    let frames = output.count
    let fillIn = hasIn ? frames - covered.in : 0
    let fillOut = hasOut ? frames - covered.out : 0
    ledger.counters.in.fill &+= UInt64(fillIn)
    ledger.counters.out.fill &+= UInt64(fillOut)
    ledger.counters.position += UInt64(frames)
    if isStereo { interleave(into: &output) }
    return RenderedBlock(position: position, frameCount: frames, fill: fillIn + fillOut, completedAt: completedAt)
  }

  /// Returns the frames that each direction covers. In stereo `output` gets the left channel, `right` the other one.
  private mutating func mix(
    at start: Int64, _ queues: inout PerDirection<DirectionQueue>, _ ledger: inout RenderLedger,
    into output: inout [Int16]
  ) -> PerDirection<Int> {
    var covered = PerDirection(in: 0, out: 0)
    // The two are written out because iterating over all cases allocates.
    if hasIn {
      ranges.in.removeAll()
      covered.in = queues.in.render(
        start: start, count: blockFrames, layer: .first, into: &output, covered: &ranges.in, ledger: &ledger)
    }
    guard hasOut else { return covered }
    ranges.out.removeAll()
    if isStereo {
      right.removeAll(keepingCapacity: true)
      covered.out = queues.out.render(
        start: start, count: blockFrames, layer: .first, into: &right, covered: &ranges.out, ledger: &ledger)
    } else {
      covered.out = queues.out.render(
        start: start, count: blockFrames, layer: hasIn ? .added : .first, into: &output, covered: &ranges.out,
        ledger: &ledger)
    }
    return covered
  }

  // MARK: Without fill

  /// Leaves only frames that some direction covers.
  private mutating func cut(_ output: inout [Int16]) {
    coveredRanges.removeAll(keepingCapacity: true)
    coveredRanges.append(contentsOf: ranges.in.audio)
    coveredRanges.append(contentsOf: ranges.out.audio)
    coveredRanges.sort { $0.lowerBound < $1.lowerBound }
    BlockRenderer.keepOnly(coveredRanges, of: &output)
    if isStereo { BlockRenderer.keepOnly(coveredRanges, of: &right) }
  }

  /// `ranges` are in order and may overlap.
  private static func keepOnly(_ ranges: [Range<Int>], of output: inout [Int16]) {
    var kept = 0
    var done = 0
    for range in ranges where range.upperBound > done {
      for index in max(range.lowerBound, done)..<range.upperBound {
        output[kept] = output[index]
        kept += 1
      }
      done = range.upperBound
    }
    output.removeLast(output.count - kept)
  }

  /// Frames of a cut block that were kept before this one.
  private func kept(before frame: Int) -> Int {
    var kept = 0
    var done = 0
    for range in coveredRanges where range.upperBound > done {
      let lower = max(range.lowerBound, done)
      kept += max(min(range.upperBound, frame) - lower, 0)
      done = range.upperBound
    }
    return kept
  }

  // MARK: Stereo

  /// Makes frames of what is the left channel so far: from the end, so that nothing is overwritten before it moved.
  private func interleave(into output: inout [Int16]) {
    let frames = output.count
    output.append(contentsOf: right)
    for index in stride(from: frames - 1, through: 0, by: -1) {
      output[2 * index] = output[index]
      output[2 * index + 1] = right[index]
    }
  }

  // MARK: Notes

  /// Notes what of a block a direction does not cover, and what of it is muted. `isCut`: only frames that some
  /// direction covers are in the stream.
  private func noteRanges(
    _ direction: Direction, _ ranges: BlockRanges, _ covered: Int, _ position: Position, isCut: Bool,
    _ ledger: inout RenderLedger
  ) {
    for range in ranges.muted { noteRange(.muted, direction, range, position, isCut: isCut, &ledger) }
    guard covered < blockFrames else { return }
    var done = 0
    for range in ranges.audio {
      noteRange(.fill, direction, done..<max(done, range.lowerBound), position, isCut: isCut, &ledger)
      done = max(done, range.upperBound)
    }
    noteRange(.fill, direction, done..<max(done, blockFrames), position, isCut: isCut, &ledger)
  }

  private func noteRange(
    _ kind: StreamRange.Kind, _ direction: Direction, _ range: Range<Int>, _ position: Position, isCut: Bool,
    _ ledger: inout RenderLedger
  ) {
    let first = isCut ? kept(before: range.lowerBound) : range.lowerBound
    let end = isCut ? kept(before: range.upperBound) : range.upperBound
    guard end > first else { return }
    ledger.note(StreamRange(kind, direction, position: position + UInt64(first), frames: UInt64(end - first)))
  }
}
