// SPDX-License-Identifier: Apache-2.0
import AudioForkMedia
import AudioForkTestKit

/// What the engine did with a ring, in order. Entries are found by their number.
enum RingStep {
  /// Consumes the entry with this index in `RandomCall.entries`.
  case entry(Int)
  /// An entry without audio, or the reader was lapped: goes on at this number.
  case skip(UInt64)
  case clock(Int64)
}

/// A call as it may come: any directions, rates, frame lengths; silences, stalls, bursts, digits, and a reader that
/// is lapped now and then.
struct RandomCall {
  var configuration: RenderConfiguration
  /// Entries that the reader got.
  var entries: [CapturedEntry] = []
  var steps: [RingStep] = []
  var captured: [UInt64] = [0, 0]

  init(seed: UInt64, seconds: Int64 = 12) {
    var random = SeededRandom(seed: seed)
    var alignRandom = SeededRandom(seed: seed ^ 0xA11_6)
    let wireRates = [8000, 8000, 8000, 16_000, 16_000, 48_000, 44_100, 12_000]
    configuration = RenderConfiguration(
      directions: [.both, .both, .both, .in, .out].randomElement(using: &random) ?? .both,
      wireRateHertz: wireRates.randomElement(using: &random) ?? 8000, fill: Int.random(in: 0...2, using: &random) > 0,
      isStereo: Int.random(in: 0...2, using: &random) == 0,
      gainIn: Gain([0, 0, 1, -2].randomElement(using: &random) ?? 0),
      gainOut: Gain([0, 0, 4, -4].randomElement(using: &random) ?? 0),
      alignMilliseconds: [160, 160, 60, 20, 500, 137].randomElement(using: &alignRandom) ?? 160)
    var frames: [SimulatedFrame] = []
    for direction in Direction.allCases where configuration.directions.contains(direction) {
      frames += RandomCall.frames(
        direction, wireRate: configuration.wireRateHertz, stop: seconds * 1_000_000_000, using: &random)
    }
    frames.sort { ($0.arrival, $0.direction.rawValue) < ($1.arrival, $1.direction.rawValue) }
    let lapEvery = [0, 0, 40, 200].randomElement(using: &random) ?? 0
    capture(frames, lapEvery: lapEvery, using: &random)
  }

  /// One direction's frames: spells of speech, silence, stall and burst.
  private static func frames(
    _ direction: Direction, wireRate: Int, stop: Int64, using random: inout SeededRandom
  ) -> [SimulatedFrame] {
    let rates = [wireRate, wireRate, 8000, 16_000, 48_000, 44_100, 24_000]
    var rate = rates.randomElement(using: &random) ?? 8000
    let mayChangeRate = Int.random(in: 0...2, using: &random) == 0
    var frames: [SimulatedFrame] = []
    var time: Int64 = Int.random(in: 0...3, using: &random) == 0 ? Int64.random(in: 0...stop / 2, using: &random) : 0
    var timestamp: Int64 = 5000
    let hasTiming = Bool.random(using: &random)
    var last: Int64 = 0
    while time < stop {
      let milliseconds = [10, 20, 20, 20, 30, 60, 0].randomElement(using: &random) ?? 20
      let jitter: Int64 = [0, 1_000_000, 30_000_000].randomElement(using: &random) ?? 0
      for _ in 0..<Int.random(in: 1...80, using: &random) {
        let count = milliseconds > 0 ? milliseconds * rate / 1000 : Int.random(in: 1...rate / 10, using: &random)
        let duration = Int64(count) * 1_000_000_000 / Int64(rate)
        last = max(last, time + duration + (jitter > 0 ? Int64.random(in: 0...jitter, using: &random) : 0))
        frames.append(
          SimulatedFrame(
            arrival: last, direction: direction, count: count, rateHertz: rate,
            timestamp: hasTiming ? timestamp : nil))
        time += duration
        timestamp += duration / 1_000_000
      }
      switch Int.random(in: 0...9, using: &random) {
      case 0...2:
        // The source is silent; with silence suppression its clock goes on.
        let pause = Int64.random(in: 1...([300, 3000, 5000].randomElement(using: &random) ?? 300), using: &random)
        time += pause * 1_000_000
        if Bool.random(using: &random) { timestamp += pause }
      case 3: last = max(last, time + Int64.random(in: 0...1_500_000_000, using: &random)) // a stall of ours
      case 4: time -= Int64.random(in: 0...1_200_000_000, using: &random) // more than real time: ahead
      case 5 where mayChangeRate: rate = rates.randomElement(using: &random) ?? 8000
      default: break
      }
    }
    return frames
  }

  private mutating func capture(_ frames: [SimulatedFrame], lapEvery: Int, using random: inout SeededRandom) {
    var tap = SimulatedCapture()
    var clock: Int64 = 0
    var numberOffset: UInt64 = 0
    var lost = 0
    for frame in frames {
      while clock + 5_000_000 < frame.arrival {
        clock += 5_000_000
        if clock % 20_000_000 == 0 { steps.append(.clock(clock)) }
      }
      if Int.random(in: 0...99, using: &random) == 0 {
        numberOffset += 1
        steps.append(.skip(tap.sequence + numberOffset))
      }
      for var entry in tap.capture(frame) {
        entry.sequence += numberOffset
        if lapEvery > 0, Int.random(in: 0..<lapEvery, using: &random) == 0 {
          lost = Int.random(in: 1...30, using: &random)
        }
        if lost > 0 {
          lost -= 1
          if lost == 0 { steps.append(.skip(entry.sequence + 1)) }
          continue
        }
        steps.append(.entry(entries.count))
        entries.append(entry)
      }
    }
    for _ in 0..<Int.random(in: 0...200, using: &random) {
      clock += 20_000_000
      steps.append(.clock(clock))
    }
    captured = [tap.captured(.in), tap.captured(.out)]
  }
}

/// Writes down all that a renderer gives.
struct Transcript {
  struct Block: Equatable {
    var block: RenderedBlock
    /// Where its samples end in `samples`.
    var sampleEnd: Int
    /// Gaps fetched up to and with this block.
    var gapEnd: Int
    var counters: RenderCounters
  }
  var blocks: [Block] = []
  var samples: [Int16] = []
  var gaps: [Gap] = []
  /// One for each block, and one for the start.
  var checkpoints: [Checkpoint] = []
  var counters = RenderCounters()
  var clockDecisions: [ClockDecision] = []
}

/// Plays a call's ring into a renderer as the engine would.
struct CallPlayback<Converter: SampleRateConverter>: ~Copyable {
  private var renderer: Renderer<Converter>
  private let call: RandomCall
  private(set) var transcript = Transcript()
  private var output: [Int16] = []
  private var samples: [Int16] = []
  /// Blocks after which to stop; nil plays to the end.
  private let blocksMax: Int?

  /// The first run of a call, from its start.
  static func play(_ call: RandomCall) -> Transcript {
    var playback = CallPlayback(Renderer(call.configuration), call, blocksMax: nil)
    playback.transcript.checkpoints.append(playback.renderer.checkpoint)
    for step in call.steps {
      playback.take(step)
    }
    playback.finish()
    return playback.transcript
  }

  /// A run that goes on at a checkpoint, with nothing but the ring.
  static func resume(_ call: RandomCall, at checkpoint: Checkpoint, blocksMax: Int? = nil) -> Transcript {
    let renderer = Renderer<Converter>(call.configuration, resumingAt: checkpoint)
    var playback = CallPlayback(renderer, call, blocksMax: blocksMax)
    playback.transcript.checkpoints.append(playback.renderer.checkpoint)
    playback.takeBlocks()
    for step in call.steps where !playback.isFull {
      switch step {
      case .clock: continue // that time has passed: only what was written down is left of it
      case .entry(let index) where call.entries[index].sequence < playback.renderer.nextSequence: continue
      case .entry, .skip: playback.take(step)
      }
    }
    if !playback.isFull { playback.finish() }
    return playback.transcript
  }

  private init(_ renderer: consuming Renderer<Converter>, _ call: RandomCall, blocksMax: Int?) {
    self.renderer = renderer
    self.call = call
    self.blocksMax = blocksMax
  }

  private var isFull: Bool { blocksMax.map { transcript.blocks.count >= $0 } ?? false }

  private mutating func take(_ step: RingStep) {
    switch step {
    case .entry(let index):
      let entry = call.entries[index]
      samples.removeAll(keepingCapacity: true)
      for offset in 0..<UInt64(entry.count) { samples.append(audibleSample(entry.direction, entry.captured + offset)) }
      renderer.consume(entry, samples: samples)
    case .skip(let sequence): renderer.skip(to: sequence)
    case .clock(let now): renderer.clock(now: at(now))
    }
    takeBlocks()
  }

  private mutating func finish() {
    renderer.finish(capturedIn: call.captured[0], capturedOut: call.captured[1])
    takeBlocks()
    transcript.counters = renderer.counters
    transcript.clockDecisions = renderer.clockDecisions
  }

  private mutating func takeBlocks() {
    while !isFull, let block = renderer.nextBlock(into: &output) {
      transcript.samples += output
      transcript.gaps += renderer.takeGaps()
      transcript.blocks.append(
        Transcript.Block(
          block: block, sampleEnd: transcript.samples.count, gapEnd: transcript.gaps.count,
          counters: renderer.counters))
      transcript.checkpoints.append(renderer.checkpoint)
    }
    transcript.gaps += renderer.takeGaps()
  }
}
