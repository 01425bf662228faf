// SPDX-License-Identifier: Apache-2.0
import AudioForkMedia
import AudioForkTestKit
import Testing

/// How long a direction waits for the other: `RenderConfiguration.align`. Times are milliseconds.
@Suite("How long a direction waits for the other")
struct AlignTests {
  private static let aligns = [20, 37, 60, 160, 500]
  private static let phases: [(in: Int64, out: Int64)] = [(0, 0), (1, 0), (0, 13), (7, 7), (19, 4)]

  private static func frames(
    _ direction: Direction, _ start: Int64, _ stop: Int64, frameMilliseconds: Int64 = 20
  ) -> [SimulatedFrame] {
    SimulatedSender(direction, from: start, to: stop).with {
      $0.firstTimestamp = 1000 + start
      $0.hasTiming = direction == .in
      $0.frameMilliseconds = frameMilliseconds
    }.frames()
  }

  /// The longest time from a frame's arrival to the rendering of its last sample. A look at the clock every 5 ms.
  private static func latency(_ figures: ScenarioFigures) -> Int64 { figures.lastLatencies.max() ?? .max }

  /// The longest time from a block's end to its rendering.
  private static func blockLatency(_ figures: ScenarioFigures) -> Int64 { figures.blockLatencies.max() ?? .max }

  @Test("A direction that is alone leaves within align and a block, and so do its last words", arguments: aligns)
  func alone(align: Int) {
    for phase in (0..<20).map({ Int64($0) }) {
      for direction in Direction.allCases {
        let frames = Self.frames(direction, phase, phase + 3000)
        let figures = ScenarioPlayback.play(frames, align: align, silentFor: 600)
        #expect(figures.failure == nil)
        #expect(figures.lastLatencies.count == 150)
        #expect(Self.latency(figures) <= Int64(align) + (phase == 0 ? 20 : 30), "\(direction), \(phase)")
      }
    }
  }

  @Test("The last words before a silence of both leave within align and a block", arguments: aligns)
  func lastWords(align: Int) {
    for phase in Self.phases {
      // Out stops first, by less than a frame; both come back twice, in alone at last.
      let frames = mergedFrames(
        Self.frames(.in, phase.in, phase.in + 2000), Self.frames(.out, phase.out, phase.out + 1980),
        Self.frames(.in, 6000 + phase.in, 7000), Self.frames(.out, 6000 + phase.out, 7000),
        Self.frames(.in, 12_000 + phase.in, 13_000))
      let figures = ScenarioPlayback.play(frames, align: align, silentFor: 600)
      #expect(figures.failure == nil)
      #expect(figures.shift == [0, 0])
      #expect(Self.blockLatency(figures) <= Int64(align) + 30, "\(phase)")
      if phase == (0, 0) { #expect(Self.latency(figures) <= Int64(align) + 20) }
    }
  }

  @Test("Words that end less than half a second after the other party's leave in time too", arguments: aligns)
  func wordsAfterTheOther(align: Int) {
    for phase in Self.phases {
      for lead: Int64 in [40, 180, 300, 480] {
        let frames = mergedFrames(
          Self.frames(.in, phase.in, phase.in + 2000), Self.frames(.out, phase.out, 2000 - lead))
        let figures = ScenarioPlayback.play(frames, align: align, silentFor: 600)
        #expect(figures.failure == nil)
        #expect(Self.blockLatency(figures) <= Int64(align) + 30, "\(phase), \(lead)")
        if phase == (0, 0) { #expect(Self.latency(figures) <= Int64(align) + 20, "\(lead)") }
      }
    }
  }

  @Test("In a fork of one direction the last words leave within align and a block", arguments: aligns)
  func oneDirection(align: Int) {
    for phase: Int64 in [0, 3, 11, 19] {
      let frames = Self.frames(.in, phase, phase + 1000)
      let figures = ScenarioPlayback.play(frames, directions: .in, align: align, silentFor: 600)
      #expect(figures.failure == nil)
      #expect(Self.latency(figures) <= Int64(align) + 25)
    }
  }

  @Test("Long frames are waited for: the clock never cuts between two of them", arguments: aligns)
  func longFrames(align: Int) {
    let frames = Self.frames(.in, 10, 10 + 6000, frameMilliseconds: 60)
    let figures = ScenarioPlayback.play(frames, directions: .in, align: align, silentFor: 600)
    #expect(figures.failure == nil)
    #expect(figures.shift[0] == 0)
    // Before the first frame and behind the last one.
    #expect(figures.fill[0] <= 8 * (10 + 10 + 200))
  }

  /// The same frames, but once in each second but the first those of `length` arrive at once.
  private static func spikes(_ frames: [SimulatedFrame], of length: Int64, at phase: Int64) -> [SimulatedFrame] {
    frames.map { frame in
      var frame = frame
      let since = (frame.arrival / millisecond + 1000 - phase) % 1000
      if since > 0, since < length, frame.arrival > 1000 * millisecond {
        frame.arrival += (length - since) * millisecond
      }
      return frame
    }
  }

  @Test("At 160 ms jitter spikes of 100 ms make no fill, in one direction or both, at whatever moments")
  func jitterSpikes() {
    let (ins, outs) = (Self.frames(.in, 0, 10_000), Self.frames(.out, 0, 10_000))
    // The first packet of each spike is 80 ms late: a later one opens a hole when it is captured.
    for phase: Int64 in [0, 40, 60, 100, 500] {
      for late in [outs, Self.spikes(outs, of: 100, at: phase)] {
        let figures = ScenarioPlayback.play(mergedFrames(Self.spikes(ins, of: 100, at: 0), late))
        #expect(figures.failure == nil)
        #expect(figures.rendered == figures.captured)
        #expect(figures.fill == [0, 0], "\(phase)")
        #expect(figures.shift == [0, 0])
      }
    }
  }

  @Test("A spike that is longer than align costs fill and a shift, and loses nothing", arguments: [20, 60])
  func longerSpikes(align: Int) {
    let (ins, outs) = (Self.frames(.in, 0, 10_000), Self.frames(.out, 0, 10_000))
    let figures = ScenarioPlayback.play(mergedFrames(Self.spikes(ins, of: 100, at: 0), outs), align: align)
    #expect(figures.failure == nil)
    #expect(figures.rendered == figures.captured)
    #expect(figures.fill[0] > 0)
    #expect(figures.shift[0] <= 100)
  }

  /// Speech of 20 to 800 ms in each of twelve seconds.
  private static func talk(_ direction: Direction, _ phase: Int64) -> [SimulatedFrame] {
    (0..<12 as Range<Int64>).flatMap { second -> [SimulatedFrame] in
      let start = second * 1000 + phase
      return frames(direction, start, start + 20 * (second * 7 % 40 + 1))
    }
  }

  @Test("Pauses of silence suppression lose and reorder nothing, in one direction or both", arguments: aligns)
  func pauses(align: Int) {
    for phase in Self.phases {
      for outs in [Self.talk(.out, phase.out + 480), Self.frames(.out, phase.out, 12_000)] {
        let figures = ScenarioPlayback.play(
          mergedFrames(Self.talk(.in, phase.in), outs), align: align, silentFor: 600)
        #expect(figures.failure == nil)
        #expect(figures.rendered == figures.captured)
        #expect(Self.blockLatency(figures) <= Int64(align) + 30, "\(phase)")
        #expect(figures.shift.allSatisfy { $0 <= 20 }, "\(figures.shift)")
      }
    }
  }
}
