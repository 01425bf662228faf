// SPDX-License-Identifier: Apache-2.0
import AudioForkMedia
import AudioForkResampling
import AudioForkTestKit
import Testing

/// Rendering is a function of the ring: whoever resumes at a checkpoint gives the same stream.
struct ReplayPropertyTests {
  /// Says in words how a resumed run differs from the original behind block `index`; nil if it does not.
  private func difference(_ original: Transcript, _ resumed: Transcript, after index: Int, to end: Int?) -> String? {
    let last = end.map { min($0, original.blocks.count) } ?? original.blocks.count
    let before = index == 0 ? nil : original.blocks[index - 1]
    guard resumed.blocks.count == last - index else {
      return "\(resumed.blocks.count) blocks instead of \(last - index)"
    }
    for (offset, block) in resumed.blocks.enumerated() {
      let twin = original.blocks[index + offset]
      guard block.block == twin.block, block.counters == twin.counters else {
        return "block \(index + offset) is \(block) instead of \(twin)"
      }
      guard block.sampleEnd == twin.sampleEnd - (before?.sampleEnd ?? 0) else {
        return "length of block \(index + offset)"
      }
      var state = resumed.checkpoints[offset + 1]
      state.clockDecisions = original.checkpoints[index + offset + 1].clockDecisions
      guard state == original.checkpoints[index + offset + 1] else {
        return "state after block \(index + offset): \(state) instead of \(original.checkpoints[index + offset + 1])"
      }
    }
    let start = before?.sampleEnd ?? 0
    let stop = last == 0 ? 0 : original.blocks[last - 1].sampleEnd
    guard resumed.samples == Array(original.samples[start..<stop]) else {
      let place = zip(resumed.samples, original.samples[start...]).enumerated().first { $0.1.0 != $0.1.1 }
      return "samples differ from \(place?.0 ?? -1) on"
    }
    guard end == nil else { return nil }
    guard resumed.gaps == Array(original.gaps[(before?.gapEnd ?? 0)...]) else {
      return "gaps \(resumed.gaps) instead of \(original.gaps[(before?.gapEnd ?? 0)...])"
    }
    guard resumed.counters == original.counters else {
      return "counters \(resumed.counters) instead of \(original.counters)"
    }
    return nil
  }

  @Test("Every captured sample is rendered or in a gap, and no gap overlaps another", arguments: 0..<40)
  func accounts(seed: Int) {
    for call in (0..<5).map({ RandomCall(seed: UInt64(seed * 5 + $0) &+ 1_000_000) }) {
      let transcript = CallPlayback<SpeexConverter>.play(call)
      for direction in Direction.allCases {
        let counters = transcript.counters[direction]
        #expect(counters.accounted == call.captured[Int(direction.rawValue)], "\(direction), call \(seed)")
        let gaps = transcript.gaps.filter { $0.direction == direction }
        #expect(gaps.reduce(0) { $0 + $1.count } == counters.overrun + counters.ahead)
        #expect(zip(gaps, gaps.dropFirst()).allSatisfy { $0.start + $0.count <= $1.start })
        #expect(gaps.allSatisfy { $0.count > 0 })
      }
      let frames = transcript.samples.count / call.configuration.channelCount
      #expect(transcript.counters.position == Position(UInt64(frames)))
      #expect(transcript.counters.refused == 0)
      var position = Position.zero
      for block in transcript.blocks {
        #expect(block.block.position == position)
        position += UInt64(block.block.frameCount)
        #expect(block.block.frameCount > 0 && block.block.frameCount <= call.configuration.blockFrames)
        if call.configuration.fill { #expect(block.block.frameCount == call.configuration.blockFrames) }
      }
    }
  }

  @Test("A run resumed at any checkpoint repeats the original to the byte", arguments: 0..<60)
  func replay(seed: Int) {
    for call in (0..<3).map({ RandomCall(seed: UInt64(seed * 3 + $0)) }) {
      let original = CallPlayback<SpeexConverter>.play(call)
      var random = SeededRandom(seed: UInt64(seed) ^ 0xABCD)
      let indexes = (0..<8).map { _ in Int.random(in: 0..<original.checkpoints.count, using: &random) } + [0]
      for index in indexes {
        let stored = original.checkpoints[index].withClockDecisions(original.clockDecisions)
        guard let checkpoint = try? Checkpoint(decoding: stored.encode()) else {
          Issue.record("checkpoint \(index) of call \(seed) cannot be decoded")
          return
        }
        #expect(checkpoint == stored)
        let resumed = CallPlayback<SpeexConverter>.resume(call, at: checkpoint)
        let difference = difference(original, resumed, after: index, to: nil)
        #expect(difference == nil, "seed \(seed), block \(index), \(call.configuration)")
        if difference != nil { return }
      }
    }
  }

  @Test("A run that is resumed again and again repeats the original", arguments: 0..<20)
  func chainedReplay(seed: Int) {
    let call = RandomCall(seed: UInt64(seed) &+ 5_000_000)
    let original = CallPlayback<SpeexConverter>.play(call)
    var random = SeededRandom(seed: UInt64(seed))
    var index = 0
    var stored = original.checkpoints[0].withClockDecisions(original.clockDecisions)
    while index < original.blocks.count {
      let step = Int.random(in: 1...60, using: &random)
      let resumed = CallPlayback<SpeexConverter>.resume(call, at: stored, blocksMax: step)
      let end = min(index + step, original.blocks.count)
      #expect(difference(original, resumed, after: index, to: end) == nil, "seed \(seed), block \(index)")
      index = end
      stored = (resumed.checkpoints.last ?? stored).withClockDecisions(original.clockDecisions)
    }
  }

  @Test("Without fill the stream is the filled one without what nobody said", arguments: 0..<40)
  func withoutFill(seed: Int) {
    var call = RandomCall(seed: UInt64(seed) &+ 9_000_000)
    let (directions, rate) = (call.configuration.directions, call.configuration.wireRateHertz)
    let align = call.configuration.alignMilliseconds
    call.configuration = RenderConfiguration(
      directions: directions, wireRateHertz: rate, fill: true, alignMilliseconds: align)
    let filled = CallPlayback<SpeexConverter>.play(call)
    call.configuration = RenderConfiguration(
      directions: directions, wireRateHertz: rate, fill: false, alignMilliseconds: align)
    let bare = CallPlayback<SpeexConverter>.play(call)
    // Zeros aside, which audio may have too.
    #expect(bare.samples.filter { $0 != 0 } == filled.samples.filter { $0 != 0 })
    #expect(bare.samples.count <= filled.samples.count)
    #expect(bare.gaps.map(\.start) == filled.gaps.map(\.start))
    for direction in Direction.allCases {
      #expect(bare.counters[direction].accounted == filled.counters[direction].accounted)
      #expect(bare.counters[direction].fill <= filled.counters[direction].fill)
    }
    if directions != .both { #expect(bare.counters.fill == 0) }
    #expect(bare.clockDecisions.map(\.sequence) == filled.clockDecisions.map(\.sequence))
  }
}
