// SPDX-License-Identifier: Apache-2.0
internal import AsteriskTestKit
internal import AudioForkTestKit
internal import Foundation

/// One call: placed, forked, hung up, and accounted for.
struct ChaosCall: Sendable {
  /// How a slot's forks are given their server.
  enum Way {
    case plain
    /// By a profile with two URLs, of which nobody listens at the first.
    case list
    /// By a profile with a spool: no outage costs audio.
    case spool

    init(slot: Int) {
      self =
        switch slot % 8 {
        case 2, 3: .list
        case 6, 7: .spool
        default: .plain
        }
    }
  }

  let slot: Int
  /// Of the slot's calls, from 1 on.
  let number: Int
  let sources: [SourceSignal]

  private var name: String { "c\(slot)x\(number)" }
  private var way: Way { Way(slot: slot) }
  private var isV1: Bool { ChaosCall.isV1(slot) }
  static func isV1(_ slot: Int) -> Bool { slot % 2 == 0 }
  /// The path at the server, and the files' names: a call's own, but for profiles, which are their slot's.
  static func place(_ slot: Int, number: Int) -> String {
    Way(slot: slot) == .plain ? "c\(slot)x\(number)" : "s\(slot)"
  }
  private var place: String { ChaosCall.place(slot, number: number) }

  func run(for seconds: Double, _ scene: ChaosScene, unless isOver: @Sendable () -> Bool) async throws {
    let events = scene.manager.eventCount
    let began = ContinuousClock.now
    let reply = try await scene.manager.send(
      "Originate",
      [
        ("Channel", "Local/\(way == .plain ? isV1 ? "v1" : "raw" : "profile")@test"), ("Exten", "party"),
        ("Context", "test"), ("Priority", "1"), ("Async", "true"),
        ("Variable", "__CALL=\(name),__SLOT=\(slot),__PLACE=\(place)"),
      ])
    guard reply["Response"] == "Success" else { throw TestKitError("originate: \(reply)") }
    let suffix = "/\(place)"
    guard
      let start = await scene.manager.event(
        named: "AudioForkStart", from: events, within: 10, where: { $0["WsServer"]?.hasSuffix(suffix) == true }),
      let channel = start["Channel"], let fork = start["AudioForkID"]
    else {
      scene.tally.wrong("\(name): no fork began")
      return
    }
    scene.channels.add(channel)
    defer { scene.channels.remove(channel) }
    let deadline = began + .seconds(seconds)
    while ContinuousClock.now < deadline, !isOver() { try await Task.sleep(for: .milliseconds(200)) }
    scene.channels.remove(channel)
    let isThere = try await scene.manager.send("Getvar", [("Channel", channel), ("Variable", "CALL")])["Value"] == name
    scene.tally.note {
      $0.calls += 1
      if !isThere { $0.dropped += 1 }
    }
    _ = try await scene.manager.send("Hangup", [("Channel", channel)])
    // Until its drain is over, and a hanging engine's successor has come.
    guard
      let stop = await scene.manager.event(
        named: "AudioForkStop", from: events, within: 60, where: { $0["AudioForkID"] == fork })
    else {
      scene.tally.wrong("\(name): no AudioForkStop within 60 s of the hangup")
      return
    }
    // The account comes with the gaps before it.
    let gaps = scene.manager.events(named: "AudioForkGap", from: events).filter { $0["AudioForkID"] == fork }
    let files = scene.server.files(place)
    let account = CallAccount(
      CallAccount.Evidence(
        stop: stop, gaps: gaps, recordings: files.map { (try? wavSamples($0)) ?? [] }, sources: sources, isV1: isV1,
        isExplained: way != .spool && scene.outages.explains(from: began),
        stopPosition: scene.server.stopPosition(of: fork)))
    scene.tally.note { $0.add(account.findings) }
    for complaint in account.complaints {
      let text = "\(name) (\(fork), \(stop["Reason"] ?? "")): \(complaint)"
      scene.tally.wrong(text)
      scene.trace(text)
    }
    clear(files, keeping: !account.complaints.isEmpty)
  }

  /// A long run would fill the disk with recordings; what is wrong is kept, out of the way of the slot's next call.
  private func clear(_ files: [String], keeping isKept: Bool) {
    for file in files {
      guard isKept else {
        try? FileManager.default.removeItem(atPath: file)
        continue
      }
      let found = URL(fileURLWithPath: file)
      try? FileManager.default.moveItem(
        at: found, to: found.deletingLastPathComponent().appending(path: "wrong-\(name)-\(found.lastPathComponent)"))
    }
  }
}
