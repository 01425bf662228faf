// SPDX-License-Identifier: Apache-2.0
import AudioForkMedia
import AudioForkTestKit
import Foundation
import Testing

/// Random calls, given to the renderer and to docs/internals/timeline_model.py: both must decide each block at the same
/// moment, with the same fill.
@Suite("The renderer against the model")
struct TimelineModelTests {
  private static let python = "/usr/bin/python3"
  private static let seconds: Int64 = 8

  /// A call: its packets with a look at the clock every 5 ms, and when capture ends.
  private struct ModelCall {
    var directions: DirectionSet
    var align: Int
    var frames: [SimulatedFrame] = []

    init(seed: UInt64) {
      var random = SeededRandom(seed: seed)
      directions = [.both, .both, .both, .in, .out].randomElement(using: &random) ?? .both
      align = [20, 60, 160, 500, Int.random(in: 20...500, using: &random)].randomElement(using: &random) ?? 160
      for direction in Direction.allCases where directions.contains(direction) { speak(direction, using: &random) }
      frames.sort { ($0.arrival, $0.direction.rawValue) < ($1.arrival, $1.direction.rawValue) }
    }

    /// Spells of speech with pauses, stalls and bursts between them. All times are whole milliseconds, so that model
    /// and renderer round nothing.
    private mutating func speak(_ direction: Direction, using random: inout SeededRandom) {
      let hasTiming = direction == .in && Bool.random(using: &random)
      let length = [10, 20, 20, 20, 30, 60].randomElement(using: &random) ?? 20
      let jitter: Int64 = [0, 3, 30, 90].randomElement(using: &random) ?? 0
      var time = Int64.random(in: 0...[0, 25, 3000][Int.random(in: 0...2, using: &random)], using: &random)
      var timestamp: Int64 = 5000
      var last: Int64 = 0
      while time < TimelineModelTests.seconds * 1000 {
        for _ in 0..<Int.random(in: 1...60, using: &random) {
          last = max(last, time + Int64(length) + Int64.random(in: 0...jitter, using: &random))
          frames.append(
            SimulatedFrame(
              arrival: last * millisecond, direction: direction, count: length * 8, rateHertz: 8000,
              timestamp: hasTiming ? timestamp : nil))
          time += Int64(length)
          timestamp += Int64(length)
        }
        switch Int.random(in: 0...5, using: &random) {
        case 0...2:
          let pause = Int64.random(in: 1...([100, 400, 3000].randomElement(using: &random) ?? 100), using: &random)
          time += pause
          if Bool.random(using: &random) { timestamp += pause }
        case 3: last = max(last, time + Int64.random(in: 0...700, using: &random))
        case 4: time -= Int64.random(in: 0...900, using: &random)
        default: break
        }
      }
    }

    private var names: String {
      Direction.allCases.filter { directions.contains($0) }.map { "\($0)" }.joined(separator: ",")
    }

    private enum Step {
      case packet(SimulatedFrame)
      case clock(Int64)
      case end(Int64)
    }

    private var steps: [Step] {
      var steps: [Step] = []
      var now: Int64 = 0
      for frame in frames {
        while now + 5 * millisecond < frame.arrival {
          now += 5 * millisecond
          steps.append(.clock(now))
        }
        steps.append(.packet(frame))
      }
      while now < (TimelineModelTests.seconds + 4) * 1000 * millisecond {
        now += 5 * millisecond
        steps.append(.clock(now))
      }
      return steps + [.end(now)]
    }

    /// The call as `play_blocks` of the model reads it.
    var lines: [String] {
      ["call \(names) \(Int64(align) * millisecond)"]
        + steps.map { step in
          switch step {
          case .packet(let frame):
            let timestamp = frame.timestamp.map { "\($0)" } ?? "-"
            return "packet \(frame.arrival) \(frame.direction) \(frame.count * 125_000) \(timestamp)"
          case .clock(let now): return "clock \(now)"
          case .end(let now): return "end \(now)"
          }
        }
    }

    /// What the renderer decides, as the model prints it.
    var blocks: [String] {
      var renderer = Renderer<NoConverter>(
        RenderConfiguration(directions: directions, wireRateHertz: 8000, alignMilliseconds: align))
      var capture = SimulatedCapture()
      let samples = [Int16](repeating: 1, count: 480)
      var lines: [String] = []
      var output: [Int16] = []
      var fill: [UInt64] = [0, 0]
      for step in steps {
        let moment: Int64
        switch step {
        case .packet(let frame):
          moment = frame.arrival
          for entry in capture.capture(frame) { renderer.consume(entry, samples: samples) }
        case .clock(let now):
          moment = now
          renderer.clock(now: at(now))
        case .end(let now):
          moment = now
          renderer.finish(capturedIn: capture.captured(.in), capturedOut: capture.captured(.out))
        }
        while let block = renderer.nextBlock(into: &output) {
          let total = [renderer.counters.in.fill, renderer.counters.out.fill]
          let added = zip(total, fill).map { ($0 - $1) * 125_000 }
          fill = total
          lines.append("\(moment) \(block.position.frames / 160) \(added[0]) \(added[1])")
        }
      }
      return lines
    }
  }

  @Test("Both decide each block at the same moment and with the same fill", .enabled(if: access(python, X_OK) == 0))
  func blocks() async throws {
    let calls = (0..<30).map { ModelCall(seed: $0 &+ 19) }
    let folder = try ScratchFolder()
    let lines = calls.flatMap(\.lines).joined(separator: "\n")
    try Data(lines.utf8).write(to: URL(fileURLWithPath: folder.file("calls")))
    let root = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
    let (status, output) = try await ChildProcess.run(
      Self.python, ["/\(root)/docs/internals/timeline_model.py", "blocks", folder.file("calls")])
    try #require(status == 0, "\(output.suffix(2000))")
    let ofModel = output.split(separator: "\n").split(separator: "end").map { $0.map { String($0) } }
    try #require(ofModel.count == calls.count)
    for (index, call) in calls.enumerated() {
      let blocks = call.blocks
      let same = zip(blocks, ofModel[index]).prefix { $0 == $1 }.count
      let isSame = blocks == ofModel[index]
      #expect(
        isSame,
        """
        call \(index), \(call.directions), align \(call.align), block \(same): renderer \
        \(blocks.dropFirst(same).first ?? "none"), model \(ofModel[index].dropFirst(same).first ?? "none")
        """)
    }
  }
}
