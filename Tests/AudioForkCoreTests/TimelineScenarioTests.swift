// SPDX-License-Identifier: Apache-2.0
import AudioForkCore
import AudioForkTestKit
import Testing

/// The hard cases of the model of the timeline, with its figures.
struct TimelineScenarioTests {
  @Test func dump() {
    let second: Int64 = 1000
    func show(_ n: String, _ f: ScenarioFigures) {
      print(n, f.captured, f.rendered, "ahead", f.ahead, "skew", f.skew, f.skewMin, f.skewMax, "shift", f.shift, "lat", f.latency(0.5), f.latency(0.99), f.latency(1), f.failure ?? "")
    }
    let plain = SimulatedSender(.in, from: 0, to: 60 * second)
    let out = SimulatedSender(.out, from: 0, to: 60 * second).with { $0.hasTiming = false }.frames()
    show("clean", ScenarioPlayback.play(mergedFrames(plain.with { $0.jitterMilliseconds = 10 }.frames(), SimulatedSender(.out, from: 3, to: 60 * second).with { $0.jitterMilliseconds = 2; $0.hasTiming = false }.frames())))
    for ms: Int64 in [300, 1500, 5000] {
      let a: Int64 = 20_000_000_000, b = (20_000 + ms) * 1_000_000
      let late = plain.with { $0.jitterMilliseconds = 5 }.frames().map { f -> SimulatedFrame in var f = f; if f.arrival >= a && f.arrival < b { f.arrival = b + 1 }; return f }
      let rest = out.filter { !($0.arrival >= a && $0.arrival < b) }
      show("stall \(ms) with", ScenarioPlayback.play(mergedFrames(late, rest)))
      show("stall \(ms) without", ScenarioPlayback.play(mergedFrames(late.map { f in var f = f; f.timestamp = nil; return f }, rest)))
    }
    show("loss", ScenarioPlayback.play(mergedFrames(plain.with { $0.jitterMilliseconds = 10; $0.loss = 0.01 }.frames(), out)))
    for ppm in [50.0, -50] {
      show("ppm \(ppm)", ScenarioPlayback.play(mergedFrames(SimulatedSender(.in, from: 0, to: 3600 * second).with { $0.partsPerMillion = ppm }.frames(), SimulatedSender(.out, from: 0, to: 3600 * second).with { $0.hasTiming = false }.frames())))
    }
    show("60ms", ScenarioPlayback.play(mergedFrames(plain.with { $0.jitterMilliseconds = 40; $0.frameMilliseconds = 60 }.frames(), out)))
    let in5 = plain.with { $0.jitterMilliseconds = 5 }.frames()
    show("talks", ScenarioPlayback.play(mergedFrames(in5, SimulatedSender(.out, from: 30 * second, to: 60 * second).with { $0.hasTiming = false }.frames())))
    let spurts = [10, 20, 40].flatMap { k in SimulatedSender(.out, from: k * second, to: (k + 2) * second).with { $0.hasTiming = false }.frames() }
    show("spurts", ScenarioPlayback.play(mergedFrames(in5, spurts)))
    let dtx = (0..<18).flatMap { k in SimulatedSender(.in, from: Int64(k) * 3 * second, to: Int64(k) * 3 * second + second).with { $0.jitterMilliseconds = 5; $0.firstTimestamp = 1000 + Int64(k) * 3000 }.frames() }
    let dd = ScenarioPlayback.play(mergedFrames(dtx, SimulatedSender(.out, from: 0, to: 54 * second).with { $0.hasTiming = false }.frames())); print(Dictionary(grouping: dd.latencies, by: { $0 }).mapValues(\.count).sorted { $0.key < $1.key })
    show("dtx", ScenarioPlayback.play(mergedFrames(dtx, SimulatedSender(.out, from: 0, to: 54 * second).with { $0.hasTiming = false }.frames())))
  }
}
