// SPDX-License-Identifier: Apache-2.0
internal import AsteriskTestKit
internal import AudioForkTestKit
internal import Foundation

/// A call whose rate rises under its fork: it begins at 8 kHz and continues in a conference that mixes at 48 kHz. Its
/// audio is resampled on the way, so that it is accounted by the fork's own numbers.
struct WideCall: Sendable {
  /// Counted among the faults of a run by this name.
  static let fault = "rate raised to 48 kHz in mid-call"
  /// Samples of one direction that a second in the conference captures at least: half of what comes where no frame
  /// is missing. At 8 kHz it were 8000.
  private static let capturedMin = 24_000.0

  /// Of the run, from 1 on.
  let number: Int

  private var name: String { "wide\(number)" }

  /// The extensions of these calls; `fork`: the arguments of AudioFork().
  static func dialplan(fork: String) -> String {
    """
    exten => wide,1,Answer()
     same => n,AudioFork(\(fork))
     same => n,Playback(${SOUNDS}/out-0)
     same => n,Wait(600)
    exten => conference,1,Answer()
     same => n,Set(CONFBRIDGE(bridge,internal_sample_rate)=48000)
     same => n,Set(CONFBRIDGE(user,quiet)=yes)
     same => n,ConfBridge(${CALL})
     same => n,Wait(600)

    """
  }

  /// Places the call, raises its rate after some seconds, hangs up after some more.
  func run(_ scene: ChaosScene, _ random: inout SeededRandom) async throws {
    let events = scene.manager.eventCount
    let began = ContinuousClock.now
    try await originate("wide", scene)
    guard
      let start = await scene.manager.event(
        named: "AudioForkStart", from: events, within: 10, where: { $0["WsServer"]?.hasSuffix("/\(name)") == true }),
      let channel = start["Channel"], let fork = start["AudioForkID"]
    else { return scene.tally.wrong("\(name): no fork began") }
    try await Task.sleep(for: .milliseconds(.random(in: 1000...4000, using: &random)))
    try await originate("conference", scene)
    _ = try await scene.manager.send(
      "Redirect", [("Channel", channel), ("Context", "test"), ("Exten", "conference"), ("Priority", "1")])
    scene.tally.note { $0.faults[Self.fault, default: 0] += 1 }
    scene.trace("\(Date()) \(Self.fault)")
    let seconds = Double.random(in: 5...15, using: &random)
    try await Task.sleep(for: .seconds(seconds))
    _ = try await scene.manager.send("Hangup", [("Channel", "/^Local/(wide|conference)@test-.*;[12]$/")])
    guard
      let stop = await scene.manager.event(
        named: "AudioForkStop", from: events, within: 60, where: { $0["AudioForkID"] == fork })
    else { return scene.tally.wrong("\(name): no AudioForkStop within 60 s of the hangup") }
    judge(stop, seconds, isExplained: scene.outages.explains(from: began), scene.tally)
    for file in scene.server.files(name) { try? FileManager.default.removeItem(atPath: file) }
  }

  private func originate(_ extension: String, _ scene: ChaosScene) async throws {
    let reply = try await scene.manager.send(
      "Originate",
      [
        ("Channel", "Local/\(`extension`)@test"), ("Exten", "party"), ("Context", "test"), ("Priority", "1"),
        ("Async", "true"), ("Variable", "__CALL=\(name),__SLOT=0,__PLACE=\(name)"),
      ])
    guard reply["Response"] == "Success" else { throw TestKitError("originate: \(reply)") }
  }

  /// `seconds`: time in the conference.
  private func judge(_ stop: [String: String], _ seconds: Double, isExplained: Bool, _ tally: Tally) {
    func number(_ name: String) -> Int { Int(stop[name] ?? "") ?? -1 }
    func complain(_ text: String) { tally.wrong("\(name) (\(stop["AudioForkID"] ?? "")): \(text)") }
    let captured = number("Captured")
    if stop["Reason"]?.hasPrefix("done") != true { complain("it ended with \(stop["Reason"] ?? "")") }
    if number("Delivered") + number("Lost") != captured { complain("Delivered and Lost are not Captured") }
    if !isExplained, number("Gaps") != 0 {
      complain("\(number("Gaps")) gaps, \(number("Lost")) samples, without an outage longer than the buffer")
    }
    if Double(captured) < seconds * Self.capturedMin { complain("the rate did not rise: \(captured) samples captured") }
  }
}
