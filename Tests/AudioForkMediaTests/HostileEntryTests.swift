// SPDX-License-Identifier: Apache-2.0
import AudioForkMedia
import AudioForkResampling
import AudioForkTestKit
import Testing

/// A broken ring or cursor must cost its fork some audio, never the engine.
struct HostileEntryTests {
  private let goodEntry = CapturedEntry(
    sequence: 0, direction: .in, rateHertz: 8000, count: 160, runStart: .zero, runIndex: 0,
    arrival: StreamTime(nanoseconds: 20_000_000), captured: 0)

  @Test("An entry that cannot be true is refused and becomes a gap")
  func refused() {
    let changes: [(inout CapturedEntry) -> Void] = [
      { $0.rateHertz = 0 }, { $0.rateHertz = -8000 }, { $0.rateHertz = 8001 }, { $0.rateHertz = Int.max },
      { $0.count = 0 }, { $0.count = -1 }, { $0.count = Int.min }, { $0.count = Int.max }, { $0.count = 161 },
      { $0.runStart.nanoseconds = Int64.max }, { $0.runStart.nanoseconds = Int64.min }, { $0.runIndex = UInt64.max },
      { $0.runIndex = 1 << 45 }, { $0.arrival.nanoseconds = Int64.max }, { $0.arrival.nanoseconds = -1 },
      { $0.arrival.nanoseconds = Int64.min }, { $0.captured = UInt64.max }, { $0.captured = 1 << 60 },
      { $0.runStart.nanoseconds = 3_600_000_000_000 }, { $0.arrival.nanoseconds = 90_000_000_000_000 },
    ]
    for (index, change) in changes.enumerated() {
      var entry = goodEntry
      change(&entry)
      var call = RenderedCall<SpeexConverter>(.in)
      call.consume(entry, [Int16](repeating: 5, count: 160))
      #expect(call.stream.isEmpty, "change \(index)")
      #expect(call.renderer.counters.refused == 1, "change \(index)")
      var next = goodEntry
      next.sequence = 1
      next.captured = 160
      next.runIndex = 160
      next.arrival.nanoseconds = 40_000_000
      call.consume(next, audibleSamples(.in, 160..<320))
      #expect(call.gaps == [Gap(direction: .in, start: 0, count: 160, reason: .overrun, position: 0)])
      #expect(call.stream == [Int16](repeating: 0, count: 160) + audibleSamples(.in, 160..<320))
    }
  }

  @Test("An entry that claims samples which were passed is refused")
  func backwards() {
    var call = RenderedCall<SpeexConverter>(.in)
    call.consume(goodEntry, audibleSamples(.in, 0..<160))
    var entry = goodEntry
    entry.sequence = 1
    entry.captured = 159
    call.consume(entry, audibleSamples(.in, 0..<160))
    #expect(call.renderer.counters.refused == 1)
    #expect(call.stream.count == 160)
  }

  /// Any number, often a small one or an extreme.
  private func anyNumber(_ random: inout SeededRandom) -> UInt64 {
    switch Int.random(in: 0...4, using: &random) {
    case 0: UInt64.random(in: 0...1000, using: &random)
    case 1: UInt64.random(in: 0...UInt64.max, using: &random)
    case 2: UInt64.max &- UInt64.random(in: 0...1000, using: &random)
    case 3: UInt64(1) << UInt64.random(in: 0...63, using: &random)
    default: UInt64.random(in: 0...100_000_000_000, using: &random)
    }
  }

  private func anyEntry(_ random: inout SeededRandom, sequence: UInt64) -> CapturedEntry {
    let rates = [8000, 16_000, 44_100, 48_000, 8050, 192_000]
    var entry = CapturedEntry(
      sequence: sequence, direction: Bool.random(using: &random) ? .in : .out,
      rateHertz: rates.randomElement(using: &random) ?? 8000, count: Int.random(in: 1...200, using: &random),
      runStart: StreamTime(nanoseconds: Int64.random(in: 0...5_000_000_000, using: &random)),
      runIndex: UInt64.random(in: 0...40_000, using: &random),
      arrival: StreamTime(nanoseconds: Int64.random(in: 0...10_000_000_000, using: &random)), captured: sequence * 200)
    entry.isAhead = Int.random(in: 0...9, using: &random) == 0
    switch Int.random(in: 0...12, using: &random) {
    case 0: entry.sequence = anyNumber(&random)
    case 1: entry.rateHertz = Int(truncatingIfNeeded: anyNumber(&random))
    case 2: entry.count = Int(truncatingIfNeeded: anyNumber(&random))
    case 3: entry.runStart.nanoseconds = Int64(truncatingIfNeeded: anyNumber(&random))
    case 4: entry.runIndex = anyNumber(&random)
    case 5: entry.arrival.nanoseconds = Int64(truncatingIfNeeded: anyNumber(&random))
    case 6: entry.captured = anyNumber(&random)
    default: break
    }
    return entry
  }

  /// Takes at most so many blocks; each of them must be what it says it is.
  private func drain<Converter>(
    _ renderer: inout Renderer<Converter>, atMost: Int, channels: Int, _ output: inout [Int16]
  ) {
    for _ in 0..<atMost {
      guard let block = renderer.nextBlock(into: &output) else { break }
      #expect(block.frameCount * channels == output.count)
    }
    _ = renderer.takeGaps()
  }

  @Test("Entries of random fields never trap and never make a block wrong", arguments: 0..<60)
  func randomEntries(seed: Int) {
    var random = SeededRandom(seed: UInt64(seed))
    let configuration = RenderConfiguration(
      directions: [.both, .in, .out][seed % 3], wireRateHertz: [8000, 16_000, 44_100][seed / 3 % 3],
      fill: seed % 2 == 0, isStereo: seed % 5 == 0, gainIn: Gain(seed % 9 - 4))
    var renderer = Renderer<SpeexConverter>(configuration)
    let samples = [Int16](repeating: 1000, count: 200)
    var output: [Int16] = []
    for step in 0..<400 {
      renderer.consume(anyEntry(&random, sequence: UInt64(step)), samples: samples)
      drain(&renderer, atMost: 50, channels: configuration.channelCount, &output)
      if step % 7 == 0 { renderer.clock(now: at(Int64(truncatingIfNeeded: anyNumber(&random)))) }
      if step % 31 == 0 { renderer.skip(to: UInt64(step)) }
      let checkpoint = renderer.checkpoint
      if step % 97 == 0, let decoded = try? Checkpoint(decoding: checkpoint.encode()) {
        renderer = Renderer(configuration, resumingAt: decoded)
      }
    }
    renderer.finish(capturedIn: anyNumber(&random), capturedOut: anyNumber(&random))
    drain(&renderer, atMost: 500, channels: configuration.channelCount, &output)
  }

  @Test("Random bytes are no checkpoint")
  func randomBytes() {
    var random = SeededRandom(seed: 3)
    for length in 0..<600 {
      let bytes = (0..<length).map { _ in UInt8.random(in: 0...255, using: &random) }
      #expect((try? Checkpoint(decoding: bytes)) == nil)
    }
  }

  @Test("A damaged checkpoint is refused or used, and never traps", arguments: 0..<40)
  func damagedCheckpoint(seed: Int) {
    var random = SeededRandom(seed: UInt64(seed))
    let call = RandomCall(seed: UInt64(seed), seconds: 4)
    let original = CallPlayback<SpeexConverter>.play(call)
    for _ in 0..<60 {
      guard let checkpoint = original.checkpoints.randomElement(using: &random) else { return }
      var bytes = checkpoint.withClockDecisions(original.clockDecisions).encode()
      for _ in 0..<Int.random(in: 1...4, using: &random) {
        let index = Int.random(in: 0..<bytes.count, using: &random)
        switch Int.random(in: 0...3, using: &random) {
        case 0: bytes[index] = UInt8.random(in: 0...255, using: &random)
        case 1: bytes[index] = 255
        case 2: bytes[index] ^= 1 << UInt8.random(in: 0...7, using: &random)
        default: bytes.removeLast(min(bytes.count - 1, Int.random(in: 0...3, using: &random)))
        }
      }
      guard let damaged = try? Checkpoint(decoding: bytes) else { continue }
      #expect((try? Checkpoint(decoding: damaged.encode())) == damaged)
      var renderer = Renderer<SpeexConverter>(damaged.configuration, resumingAt: damaged)
      var output: [Int16] = []
      let samples = [Int16](repeating: 1000, count: 65_536)
      for entry in call.entries.prefix(300) where entry.sequence >= renderer.nextSequence {
        renderer.consume(entry, samples: samples)
        drain(&renderer, atMost: 20, channels: damaged.configuration.channelCount, &output)
      }
      renderer.clock(now: 100_000_000_000)
      drain(&renderer, atMost: 20, channels: damaged.configuration.channelCount, &output)
      renderer.finish(capturedIn: call.captured[0], capturedOut: call.captured[1])
      drain(&renderer, atMost: 200, channels: damaged.configuration.channelCount, &output)
      _ = renderer.checkpoint.encode()
    }
  }

  @Test("A checkpoint with its longest histories fits the cursor")
  func size() throws {
    var call = RenderedCall<SpeexConverter>(.both)
    for index in 0..<40 {
      let samples = [Int16](repeating: Int16(index), count: 3840)
      call.capture(.in, samples, rate: 192_000)
      call.capture(.out, samples, rate: 192_000)
    }
    for number in 0..<200 {
      call.clock(milliseconds: Int64(number) * 1000 + 4000)
      call.renderer.skip(to: call.renderer.nextSequence + 1)
    }
    let checkpoint = call.renderer.checkpoint
    #expect(checkpoint.in.history.count > 1000 && checkpoint.out.history.count > 1000)
    #expect(checkpoint.clockDecisions.count == RenderLimit.clockDecisionsMax)
    let bytes = checkpoint.encode()
    #expect(bytes.count < 10_000)
    #expect(try Checkpoint(decoding: bytes) == checkpoint)
    #expect(throws: CheckpointError(.end, .isOutOfRange)) { try Checkpoint(decoding: bytes + [0]) }
    #expect(throws: CheckpointError.self) { try Checkpoint(decoding: Array(bytes.dropLast())) }
  }
}
