// SPDX-License-Identifier: Apache-2.0
import AudioForkMedia
import AudioForkTestKit
import Testing

/// What the stream is made of: mixing, fill, gaps, and the end.
struct RendererTests {
  @Test("Two directions are mixed by a sum that saturates")
  func mixing() {
    var call = RenderedCall<NoConverter>(.both)
    let loud = [Int16](repeating: 30_000, count: 80) + [Int16](repeating: -30_000, count: 80)
    let other = (0..<160).map { Int16(8000 - $0 * 100) }
    call.capture(.in, loud)
    #expect(call.blocks.isEmpty)
    call.capture(.out, other)
    #expect(call.stream == zip(loud, other).map { Int16(clamping: Int32($0) + Int32($1)) })
    #expect(call.stream.max() == 32_767 && call.stream.min() == -32_768)
    #expect(call.blocks == [RenderedBlock(position: 0, frameCount: 160, fill: 0, completedAt: 20_000_000)])
  }

  @Test("One direction alone is its own samples", arguments: [DirectionSet.in, .out])
  func single(directions: DirectionSet) {
    let direction: Direction = directions == .in ? .in : .out
    var call = RenderedCall<NoConverter>(directions)
    for index in 0..<50 {
      let start = UInt64(index * 200)
      call.capture(direction, audibleSamples(direction, start..<(start + 200)))
    }
    call.finish()
    #expect(call.stream == audibleSamples(direction, 0..<10_000) + [Int16](repeating: 0, count: 80))
    #expect(call.renderer.counters.position == 10_080)
    #expect(call.renderer.counters.fill == 80)
  }

  @Test("Entries of a direction that the fork does not carry are passed over")
  func otherDirection() {
    var call = RenderedCall<NoConverter>(.out)
    call.capture(.in, audibleSamples(.in, 0..<160))
    call.capture(.out, audibleSamples(.out, 0..<160))
    call.finish()
    #expect(call.stream == audibleSamples(.out, 0..<160))
    #expect(call.renderer.counters.in.accounted == 0)
    #expect(call.gaps.isEmpty)
  }

  @Test("A hole is zeros, counted as fill and never as audio")
  func hole() {
    var call = RenderedCall<NoConverter>(.in)
    call.capture(.in, audibleSamples(.in, 0..<160))
    call.capture(.in, audibleSamples(.in, 160..<320), run: 50, index: 0)
    call.finish()
    let zeros = { [Int16](repeating: 0, count: $0) }
    #expect(
      call.stream == audibleSamples(.in, 0..<160) + zeros(240) + audibleSamples(.in, 160..<320) + zeros(80))
    #expect(call.renderer.counters.in.fill == 320)
    #expect(call.renderer.counters.in.rendered == 320)
    #expect(call.blocks.map(\.fill) == [0, 160, 80, 80])
  }

  @Test("Without fill only what some direction has is sent")
  func withoutFill() {
    var call = RenderedCall<NoConverter>(.both, fill: false)
    // In covers 0 … 20 and 130 … 150 ms, out 10 … 30 and 400 … 420 ms.
    call.capture(.in, audibleSamples(.in, 0..<160))
    call.capture(.out, audibleSamples(.out, 0..<160), run: 10, index: 0)
    call.capture(.in, audibleSamples(.in, 160..<320), run: 130, index: 0)
    call.capture(.out, audibleSamples(.out, 160..<320), run: 400, index: 0)
    call.finish()
    let first = audibleSamples(.in, 0..<160) + [Int16](repeating: 0, count: 80)
    let second = [Int16](repeating: 0, count: 80) + audibleSamples(.out, 0..<160)
    let mixed = zip(first, second).map { Int16(clamping: Int32($0) + Int32($1)) }
    #expect(call.stream == mixed + audibleSamples(.in, 160..<320) + audibleSamples(.out, 160..<320))
    #expect(call.renderer.counters.position == 560)
    #expect(call.renderer.counters.in.fill == 240)
    #expect(call.renderer.counters.out.fill == 240)
    // 0–20 whole, 20–30, 130–140, 140–150, 400–420; the blocks without audio do not exist.
    #expect(call.blocks.map(\.frameCount) == [160, 80, 80, 80, 160])
    #expect(call.blocks.map(\.position) == [0, 160, 240, 320, 400])
  }

  @Test(
    "Without fill a silence of days costs nothing, and the audio behind it is sent", arguments: [1, 30, 400] as [Int64])
  func silenceWithoutFill(days: Int64) {
    let later = days * 86_400_000 + 3_600_000
    for directions in [DirectionSet.in, .both] {
      var call = RenderedCall<NoConverter>(directions, fill: false)
      call.capture(.in, audibleSamples(.in, 0..<160))
      call.capture(.in, audibleSamples(.in, 160..<320), run: later, index: 0)
      call.finish()
      #expect(call.stream == audibleSamples(.in, 0..<320))
      #expect(call.renderer.counters.refused == 0)
      #expect(call.renderer.counters.position == 320)
      #expect(call.gaps.isEmpty)
    }
  }

  @Test("With fill an entry that jumps by more than a day is refused: it would be answered with days of zeros")
  func jumpWithFill() {
    var call = RenderedCall<NoConverter>(.in)
    call.capture(.in, audibleSamples(.in, 0..<160))
    call.capture(.in, audibleSamples(.in, 160..<320), run: 90_000_000, index: 0)
    call.finish()
    #expect(call.stream == audibleSamples(.in, 0..<160))
    #expect(call.renderer.counters.refused == 1)
    #expect(call.gaps.reduce(0) { $0 + $1.count } == 160)
  }

  @Test("Entries that the reader lost are a gap of exactly their samples")
  func overrun() {
    var call = RenderedCall<NoConverter>(.both)
    for index in 0..<10 {
      let start = UInt64(index * 160)
      call.capture(.out, audibleSamples(.out, start..<(start + 160)))
      if index != 3 && index != 4 {
        call.capture(.in, audibleSamples(.in, start..<(start + 160)), lost: index == 5 ? 320 : 0)
      }
    }
    #expect(call.gaps == [Gap(direction: .in, start: 480, count: 320, reason: .overrun, position: 480)])
    call.finish(lostIn: 77, lostOut: 3)
    #expect(
      call.gaps.dropFirst() == [
        Gap(direction: .in, start: 1600, count: 77, reason: .overrun, position: 1600),
        Gap(direction: .out, start: 1600, count: 3, reason: .overrun, position: 1600),
      ])
    #expect(call.renderer.counters.in.accounted == 1677)
    #expect(call.renderer.counters.out.accounted == 1603)
    #expect(call.renderer.counters.lost == 400)
    #expect(call.renderer.counters.in.fill == 320)
  }

  @Test("A call of which nothing was read is one gap for each direction")
  func nothingRead() {
    var call = RenderedCall<NoConverter>(.both)
    call.finish(lostIn: 8000, lostOut: 16_000)
    #expect(call.stream.isEmpty)
    #expect(call.gaps.map(\.count) == [8000, 16_000])
    call.finish(lostIn: 9000)
    #expect(call.gaps.count == 2)
  }

  @Test("Refused frames are a gap with reason ahead, in one piece and in their place")
  func ahead() {
    var call = RenderedCall<NoConverter>(.in)
    call.capture(.in, audibleSamples(.in, 0..<160))
    for index in 1...3 {
      let start = UInt64(index * 160)
      call.capture(.in, audibleSamples(.in, start..<(start + 160)), index: 160, isAhead: true)
    }
    call.capture(.in, audibleSamples(.in, 640..<800), index: 160)
    #expect(call.gaps == [Gap(direction: .in, start: 160, count: 480, reason: .ahead, position: 160)])
    #expect(call.stream == audibleSamples(.in, 0..<160) + audibleSamples(.in, 640..<800))
    #expect(call.renderer.counters.in.ahead == 480)
    call.finish()
    #expect(call.renderer.counters.in.accounted == 800)
  }

  @Test("Late audio is shifted, and the next hole absorbs the shift")
  func shift() {
    var call = RenderedCall<NoConverter>(.in)
    call.capture(.in, audibleSamples(.in, 0..<160))
    call.clock(milliseconds: 520)
    #expect(call.blocks.count == 6)
    // Its media time is 20 ms, which the clock has filled up to 120 ms.
    call.capture(.in, audibleSamples(.in, 160..<320), late: 500)
    #expect(call.renderer.shift(of: .in) == 800)
    #expect(call.stream[960..<1120] == audibleSamples(.in, 160..<320)[...])
    call.capture(.in, audibleSamples(.in, 320..<480), run: 200, index: 0, late: 500)
    #expect(call.renderer.shift(of: .in) == 0)
    #expect(call.stream[1600..<1760] == audibleSamples(.in, 320..<480)[...])
  }

  @Test("While nothing is captured, fill stays 2.1 s behind the clock, or 0.4 s in a fork of one direction")
  func idleFill() {
    var both = RenderedCall<NoConverter>(.both)
    both.clock(milliseconds: 2119)
    #expect(both.blocks.isEmpty)
    both.clock(milliseconds: 2120)
    #expect(both.blocks.map(\.completedAt) == [2_120_000_000])
    both.clock(milliseconds: 602_100)
    #expect(both.blocks.count == 30_000)
    #expect(both.renderer.clockDecisions == [ClockDecision(sequence: 0, from: 0, to: 30_000)])
    var single = RenderedCall<NoConverter>(.out)
    single.clock(milliseconds: 419)
    #expect(single.blocks.isEmpty)
    single.clock(milliseconds: 460)
    #expect(single.blocks.count == 3)
    #expect(single.renderer.counters.fill == 480)
  }

  @Test("When both fall silent, at whatever moments, their last audio comes and fill follows the clock")
  func silenceOfBoth() {
    for outFrames in [0, 30, 47, 49, 50] {
      var call = RenderedCall<NoConverter>(.both)
      for frame in 0..<50 {
        let range = UInt64(frame * 160)..<UInt64(frame * 160 + 160)
        call.capture(.in, audibleSamples(.in, range))
        if frame < outFrames { call.capture(.out, Array(repeating: 0, count: 160)) }
      }
      call.clock(milliseconds: 1159)
      #expect(call.blocks.count == (outFrames == 50 ? 50 : 49))
      call.clock(milliseconds: 1160)
      #expect(call.stream == audibleSamples(.in, 0..<8000), "out for \(outFrames) frames")
      call.clock(milliseconds: 63_100)
      #expect(call.blocks.count == 3050)
      // Coming back, both are in their place.
      call.capture(.in, audibleSamples(.in, 8000..<8160), run: 63_200, index: 0)
      #expect(call.renderer.shift(of: .in) == 0)
    }
  }

  @Test("Audio that reaches ahead of the clock is sent as the clock comes to it")
  func silenceBehindABurst() {
    var call = RenderedCall<NoConverter>(.both)
    // A second and a half of audio within one frame's time, then nothing.
    for frame in 0..<75 {
      let range = UInt64(frame * 160)..<UInt64(frame * 160 + 160)
      call.capture(.out, audibleSamples(.out, range), late: 20 - Int64(frame) * 20 - 20)
    }
    call.clock(milliseconds: 660)
    #expect(call.blocks.count == 25)
    call.clock(milliseconds: 10_000)
    #expect(Array(call.stream.prefix(12_000)) == audibleSamples(.out, 0..<12_000))
    #expect(call.blocks.count == 395)
  }

  @Test("Without fill the clock brings the rest of what was said and nothing more")
  func restWithoutFill() {
    var call = RenderedCall<NoConverter>(.both, fill: false)
    for frame in 0..<10 {
      call.capture(.in, audibleSamples(.in, UInt64(frame * 160)..<UInt64(frame * 160 + 160)))
    }
    call.capture(.in, audibleSamples(.in, 1600..<1640))
    let before = call.stream.count
    #expect(before < 1640)
    call.renderer.clock(now: 60_000_000_000, onlyWaiting: true)
    call.takeBlocks()
    #expect(call.stream == audibleSamples(.in, 0..<1640))
    #expect(call.renderer.clockDecisions.map(\.to) == [11])
    call.renderer.clock(now: 120_000_000_000, onlyWaiting: true)
    #expect(call.renderer.clockDecisions.map(\.to) == [11])
  }

  @Test("A block waits 160 ms for a missing direction, and 40 ms for one that is silent for 500 ms")
  func waits() {
    var call = RenderedCall<NoConverter>(.both)
    call.capture(.out, audibleSamples(.out, 0..<160))
    var completed: [Int64] = []
    for index in 0..<60 {
      let start = UInt64(index * 160)
      call.capture(.in, audibleSamples(.in, start..<(start + 160)))
      while completed.count < call.blocks.count { completed.append(Int64(index + 1) * 20) }
    }
    #expect(call.blocks.map { $0.completedAt.nanoseconds / 1_000_000 } == completed)
    // Block 0 is covered by both at 20 ms; block 1 ends at 40 ms and waits until 200 ms.
    #expect(completed[0] == 20 && completed[1] == 200 && completed[2] == 220)
    // Out was heard last at 20 ms, so at 520 ms waiting gets shorter: up to the block that ends at 480 ms.
    #expect(completed[16] == 500)
    #expect(completed[17...23].allSatisfy { $0 == 520 })
    #expect(completed[24] == 540)
  }

  @Test("Clock decisions are bounded; beyond that the clock fills nothing until they are confirmed")
  func clockDecisionsAreBounded() {
    var call = RenderedCall<NoConverter>(.in)
    var time: Int64 = 0
    for _ in 0..<RenderLimit.clockDecisionsMax {
      time += 1000
      call.clock(milliseconds: time)
      call.renderer.skip(to: call.renderer.nextSequence + 1)
    }
    #expect(call.renderer.clockDecisions.count == RenderLimit.clockDecisionsMax)
    let blocks = call.blocks.count
    call.clock(milliseconds: time + 1000)
    #expect(call.blocks.count == blocks)
    let checkpoint = call.renderer.checkpoint
    #expect((try? Checkpoint(decoding: checkpoint.encode())) == checkpoint)
    call.renderer.forgetClockDecisions(before: checkpoint)
    #expect(call.renderer.clockDecisions.isEmpty)
    call.clock(milliseconds: time + 1000)
    #expect(call.blocks.count == blocks + 50)
  }

  @Test("Short silences never keep the clock from filling a long one: their words wait longer then")
  func manySilences() throws {
    var call = RenderedCall<NoConverter>(.both, align: 20)
    // In says ten milliseconds in each second, and nothing is confirmed.
    for second in 0..<Int64(RenderLimit.clockDecisionsMax) {
      call.capture(.in, audibleSamples(.in, 0..<80), run: second * 1000 + 1000, index: 0)
      call.clock(milliseconds: second * 1000 + 1100)
    }
    let decisions = call.renderer.clockDecisions
    #expect(decisions.count == RenderLimit.clockDecisionsOfWaitingMax)
    let position = call.renderer.position
    call.clock(milliseconds: 200_000)
    #expect(call.renderer.position > position, "what waits is sent with the fill")
    #expect(call.renderer.clockDecisions.count == decisions.count + 1)
    let checkpoint = call.renderer.checkpoint
    #expect((try? Checkpoint(decoding: checkpoint.encode())) == checkpoint)
    // Once they are confirmed, words leave after 20 ms again.
    call.renderer.forgetClockDecisions(before: checkpoint)
    #expect(call.renderer.clockDecisions.isEmpty)
    call.capture(.in, audibleSamples(.in, 0..<80), run: 201_000, index: 0)
    call.clock(milliseconds: 201_040)
    #expect(call.stream.suffix(80).allSatisfy { $0 == 0 } && call.stream.dropLast(80).last == audibleSample(.in, 79))
  }

  @Test("Confirmed clock decisions are forgotten, later ones kept and given to the checkpoint")
  func confirmation() {
    var call = RenderedCall<NoConverter>(.in)
    call.clock(milliseconds: 1000)
    let confirmed = call.renderer.checkpoint
    call.capture(.in, audibleSamples(.in, 0..<160), run: 980, index: 0)
    call.clock(milliseconds: 3000)
    #expect(call.renderer.clockDecisions.map(\.sequence) == [0, 1])
    call.renderer.forgetClockDecisions(before: confirmed)
    #expect(call.renderer.clockDecisions.map(\.sequence) == [1])
    #expect(confirmed.withClockDecisions(call.renderer.clockDecisions).clockDecisions.map(\.sequence) == [1])
  }

  @Test("An entry read twice is rendered once")
  func repeatedEntry() {
    var call = RenderedCall<NoConverter>(.in)
    let entry = CapturedEntry(
      sequence: 0, direction: .in, rateHertz: 8000, count: 160, runStart: .zero, runIndex: 0,
      arrival: StreamTime(nanoseconds: 20_000_000), captured: 0)
    call.consume(entry, audibleSamples(.in, 0..<160))
    call.consume(entry, audibleSamples(.in, 0..<160))
    #expect(call.stream.count == 160)
    #expect(call.renderer.nextSequence == 1)
  }

  @Test("What a lapped reader lost behind a checkpoint is a gap when the stream is resumed there")
  func lappedAfterCheckpoint() {
    var call = RenderedCall<NoConverter>(.in)
    for index in 0..<5 {
      let start = UInt64(index * 200)
      call.capture(.in, audibleSamples(.in, start..<(start + 200)))
    }
    // Six blocks: 960 of 1000 samples, so 160 of the last entry.
    let checkpoint = call.renderer.checkpoint
    #expect(checkpoint.oldestSequence == 4)
    var resumed = RenderedCall<NoConverter>(.in)
    resumed.renderer = Renderer(checkpoint.configuration, resumingAt: checkpoint)
    #expect(resumed.renderer.nextSequence == 4)
    resumed.renderer.skip(to: 7)
    resumed.consume(
      CapturedEntry(
        sequence: 7, direction: .in, rateHertz: 8000, count: 200, runStart: .zero, runIndex: 1400,
        arrival: StreamTime(nanoseconds: 200_000_000), captured: 1400), audibleSamples(.in, 1400..<1600))
    #expect(resumed.gaps == [Gap(direction: .in, start: 960, count: 440, reason: .overrun, position: 960)])
    #expect(resumed.stream == [Int16](repeating: 0, count: 440) + audibleSamples(.in, 1400..<1600))
    #expect(resumed.renderer.counters.in.accounted == 1600)
  }

  @Test("A checkpoint of another configuration is not used")
  func otherConfiguration() {
    var call = RenderedCall<NoConverter>(.in)
    call.capture(.in, audibleSamples(.in, 0..<800))
    let renderer = Renderer<NoConverter>(
      RenderConfiguration(directions: .in, wireRateHertz: 16_000), resumingAt: call.renderer.checkpoint)
    #expect(renderer.counters.position == 0)
    #expect(renderer.nextSequence == 0)
  }

  @Test("A rate that cannot be converted is a gap")
  func unconvertible() {
    var call = RenderedCall<NoConverter>(.in)
    call.capture(.in, audibleSamples(.in, 0..<320), rate: 16_000)
    call.capture(.in, audibleSamples(.in, 320..<480), run: 20, index: 0)
    #expect(call.gaps == [Gap(direction: .in, start: 0, count: 320, reason: .overrun, position: 0)])
    #expect(call.stream == [Int16](repeating: 0, count: 160) + audibleSamples(.in, 320..<480))
  }
}
