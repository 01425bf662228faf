// SPDX-License-Identifier: Apache-2.0

/// Something of one direction that waits to be passed by the stream: audio, or a gap.
struct QueuedEntry {
  /// Entry in the ring that it came from; for a gap the one that showed it.
  var sequence: UInt64
  /// Wire-rate sample frame since the epoch at which it begins.
  var start: Int64
  /// Its length in wire-rate sample frames; 0 for a gap, and for audio too short to complete one.
  var frames: Int
  /// Captured samples that it stands for, and the index of the first of them.
  var count: UInt64
  var captured: UInt64
  /// Why the samples are missing; nil for audio.
  var gap: Gap.Reason?
  /// Where its audio lies in its run.
  var run: RunPoint
  /// Input samples that a converter must have seen before what follows; 0 where nothing is converted.
  var historyMax: Int
  /// Zeros that stand for what was said while the direction was muted.
  var isMuted = false
}

/// Which frames of a block a direction covers; its arrays are reused.
struct BlockRanges {
  private(set) var audio: [Range<Int>] = []
  private(set) var muted: [Range<Int>] = []

  mutating func removeAll() {
    audio.removeAll(keepingCapacity: true)
    muted.removeAll(keepingCapacity: true)
  }

  mutating func append(_ range: Range<Int>, isMuted: Bool) {
    audio.append(range)
    if isMuted { muted.append(range) }
  }
}

/// What one direction has ready and the stream has not yet passed. Starts never decrease, pieces never overlap.
struct DirectionQueue {
  let direction: Direction
  private let gain: Gain
  private var entries = Fifo<QueuedEntry>()
  /// Wire-rate samples of the queued audio, without holes.
  private var samples = Fifo<Int16>()
  /// Captured samples of converted audio: `historyCount` that the stream has passed, then the queued ones.
  private var inputs = Fifo<Int16>()
  private var historyCount = 0
  /// Where the run goes on after the passed samples in `inputs`; nil where nothing was converted.
  private(set) var historyEnd: RunPoint?
  /// Frames of the first entry that the stream has passed.
  private(set) var renderedOfFirst = 0
  /// End of the last audio queued, in wire-rate sample frames since the epoch.
  private(set) var end: Int64 = 0
  /// Captured samples up to the tail of the queue.
  private(set) var tailCaptured: UInt64 = 0

  init(_ direction: Direction, gain: Gain) {
    self.direction = direction
    self.gain = gain
  }

  /// A queue whose passed part is described by a checkpoint.
  init(_ direction: Direction, gain: Gain, accounted: UInt64, history: [Int16], historyEnd: RunPoint?) {
    self.direction = direction
    self.gain = gain
    tailCaptured = accounted
    inputs.storage = history
    historyCount = history.count
    self.historyEnd = historyEnd
  }

  var firstSequence: UInt64? { entries.first?.sequence }

  /// Where the next queued audio begins; nil when none is queued.
  var nextAudioStart: Int64? {
    for index in entries.head..<entries.storage.count where entries.storage[index].frames > 0 {
      return entries.storage[index].start &+ (index == entries.head ? Int64(renderedOfFirst) : 0)
    }
    return nil
  }

  /// The passed samples that a converter must see before what follows `historyEnd`.
  var history: [Int16] {
    historyCount == 0 ? [] : Array(inputs.storage[inputs.head..<(inputs.head + historyCount)])
  }

  /// Queues an entry's audio at its place, converted to the wire rate. An entry of a rate that cannot be converted is
  /// left out. `input` may be longer than the entry.
  mutating func take(
    _ entry: CapturedEntry, _ input: [Int16], _ placement: Placement, _ wireRate: Int,
    conversion: inout Conversion?, by kind: any SampleRateConverter.Type
  ) {
    var queued = QueuedEntry(
      sequence: entry.sequence, start: placement.start, frames: placement.frames, count: UInt64(entry.count),
      captured: entry.captured, gap: nil, run: RunPoint(entry), historyMax: 0, isMuted: entry.isMuted)
    if entry.rateHertz == wireRate {
      conversion = nil
      samples.storage.append(contentsOf: input[placement.rendered..<entry.count])
    } else {
      guard Conversion.bring(&conversion, to: queued.run, wireRateHertz: wireRate, by: kind) else { return }
      queued.historyMax = conversion?.historySamples ?? 0
      conversion?.convert(input, count: entry.count, frames: placement.frames, into: &samples.storage)
      // Only the first entry after a break has frames that were passed before. The queue is empty then.
      samples.dropFirst(placement.rendered)
    }
    push(queued, rendered: placement.rendered, inputs: input)
  }

  /// Queues audio whose wire-rate samples were just appended to `samples`. `rendered` frames of it have been passed
  /// before a break: the caller leaves them out of `samples`.
  private mutating func push(_ entry: QueuedEntry, rendered: Int, inputs converted: [Int16]) {
    if entry.historyMax > 0 { inputs.storage.append(contentsOf: converted[0..<Int(entry.count)]) }
    if entries.isEmpty { renderedOfFirst = rendered }
    entries.storage.append(entry)
    end = entry.start &+ Int64(entry.frames)
    tailCaptured = entry.captured &+ entry.count
  }

  /// Queues a gap from the tail up to the captured sample `upTo`.
  mutating func pushGap(_ reason: Gap.Reason, upTo: UInt64, sequence: UInt64) {
    guard upTo > tailCaptured else { return }
    let count = upTo - tailCaptured
    let last = entries.storage.count - 1
    if !entries.isEmpty, entries.storage[last].gap == reason {
      entries.storage[last].count &+= count
    } else {
      entries.storage.append(
        QueuedEntry(
          sequence: sequence, start: end, frames: 0, count: count, captured: tailCaptured, gap: reason,
          run: RunPoint(rateHertz: 0, runStart: .zero, runIndex: 0), historyMax: 0))
    }
    tailCaptured = upTo
  }

  /// How a direction's audio goes into a block.
  enum Layer {
    /// The block is empty: samples are appended, zeros where none are.
    case first
    /// The block has the other direction: samples are added, saturating.
    case added
  }

  /// Passes the block of `count` frames at `start`: writes its audio, enters what was passed in the ledger.
  /// Returns the frames that had audio; `covered` gets their ranges in the block, in order.
  mutating func render(
    start: Int64, count: Int, layer: Layer, into output: inout [Int16], covered: inout BlockRanges,
    ledger: inout RenderLedger
  ) -> Int {
    let blockEnd = start &+ Int64(count)
    var total = 0
    while let entry = entries.first, entry.start &+ Int64(renderedOfFirst) < blockEnd {
      let at = entry.start &+ Int64(renderedOfFirst)
      let length = Int(max(min(Int64(entry.frames - renderedOfFirst), blockEnd &- at), 0))
      if length > 0 {
        let offset = Int(max(at &- start, 0))
        write(length, at: offset, layer: layer, into: &output)
        covered.append(offset..<(offset + length), isMuted: entry.isMuted)
        total += length
      }
      guard pass(length, of: entry, ledger: &ledger) else { break }
    }
    if layer == .first, output.count < count {
      output.append(contentsOf: repeatElement(0, count: count - output.count))
    }
    return total
  }

  /// Passes what has no frames left to render: at the end of capture no block will do it.
  mutating func passRest(ledger: inout RenderLedger) {
    while let entry = entries.first, renderedOfFirst >= entry.frames { _ = pass(0, of: entry, ledger: &ledger) }
  }

  /// Notes that `length` more frames of the first entry have been passed; true when that was all of it.
  private mutating func pass(_ length: Int, of entry: QueuedEntry, ledger: inout RenderLedger) -> Bool {
    let before = partOfCount(entry, frames: renderedOfFirst)
    renderedOfFirst += length
    let isDone = renderedOfFirst >= entry.frames
    if let reason = entry.gap {
      ledger.pass(direction, captured: entry.captured, count: entry.count, missing: reason)
    } else {
      let after = isDone ? entry.count : partOfCount(entry, frames: renderedOfFirst)
      ledger.counters[direction].rendered &+= after &- before
    }
    if isDone { pop(entry) }
    return isDone
  }

  /// Captured samples that count as rendered while the stream has passed so many of the entry's frames.
  private func partOfCount(_ entry: QueuedEntry, frames: Int) -> UInt64 {
    guard entry.frames > 0 else { return 0 }
    return frames >= entry.frames ? entry.count : entry.count &* UInt64(frames) / UInt64(entry.frames)
  }

  private mutating func write(_ length: Int, at offset: Int, layer: Layer, into output: inout [Int16]) {
    let from = samples.head
    switch layer {
    case .first:
      if output.count < offset { output.append(contentsOf: repeatElement(0, count: offset - output.count)) }
      if gain == .none {
        output.append(contentsOf: samples.storage[from..<(from + length)])
      } else {
        for index in from..<(from + length) { output.append(gain.applied(to: samples.storage[index])) }
      }
    case .added where gain == .none && offset == 0 && length == output.count:
      // The usual block: two spans of one length, known before the loop, so that the compiler adds many at once.
      let added = samples.storage.span.extracting(from..<(from + length))
      var sums = output.mutableSpan
      guard added.count == sums.count else { break }
      for index in sums.indices { sums[index] = Int16(clamping: Int32(sums[index]) + Int32(added[index])) }
    case .added:
      for index in 0..<length {
        output[offset + index] = Int16(
          clamping: Int32(output[offset + index]) + Int32(gain.applied(to: samples.storage[from + index])))
      }
    }
    samples.dropFirst(length)
  }

  private mutating func pop(_ entry: QueuedEntry) {
    entries.dropFirst(1)
    renderedOfFirst = 0
    guard entry.gap == nil else { return }
    guard entry.historyMax > 0 else {
      inputs.dropFirst(historyCount)
      historyCount = 0
      historyEnd = nil
      return
    }
    if historyEnd != entry.run {
      inputs.dropFirst(historyCount)
      historyCount = 0
    }
    historyCount += Int(entry.count)
    if historyCount > entry.historyMax {
      inputs.dropFirst(historyCount - entry.historyMax)
      historyCount = entry.historyMax
    }
    historyEnd = entry.run.advanced(by: Int(entry.count))
  }
}
