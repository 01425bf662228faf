// SPDX-License-Identifier: Apache-2.0
internal import AsteriskTestKit
internal import AudioForkTestKit
internal import Foundation

/// Calls that a real Asterisk forwards between RTP peers, in turns without forks and with one on each call whose server
/// has stalled: how evenly the peers get their packets is the same.
///
/// Both ways alike: chan_rtp on both sides, a two-party bridge. UnicastRTP without its option g forbids native RTP
/// bridging (chan_rtp.c, chan_rtp_get_rtp_peer), which a fork would forbid too; so it is bridge_simple in every run,
/// and that is checked. A fork's hook takes a copy and the frame goes on as it came; no frame is encoded anew.
package struct JitterRun: Sendable {
  let calls: Int
  let seconds: Int
  let pairs: Int
  let progress: @Sendable (String) -> Void

  /// From here on the p99.9 of two runs differ, microseconds.
  package static let differenceMax = 1000
  /// The beginning of each run does not count: Asterisk learns its peers' addresses for five seconds, and the server's
  /// side has to fill up.
  private static let settlingSeconds = 8
  /// Maximum steal time, milliseconds per second of a run. A pair above it is repeated, in all as often as there are
  /// configured pairs; after that it counts.
  package static let stolenMax = 5
  /// Milliseconds that a fork is behind when its server has stalled.
  private static let stalledMin = 2000

  /// `seconds` of each run count; `pairs` of runs without and with forks.
  package init(calls: Int, seconds: Int, pairs: Int, progress: @escaping @Sendable (String) -> Void) {
    self.calls = calls
    self.seconds = seconds
    self.pairs = pairs
    self.progress = progress
  }

  private static func dialplan(_ port: Int) -> String {
    """
    [test]
    exten => plain,1,Answer()
     same => n,Dial(UnicastRTP/127.0.0.1:${PEER}/c(ulaw))
    exten => forked,1,Answer()
     same => n,AudioFork(ws://127.0.0.1:\(port)/jitter,D(both)r(1000000))
     same => n,Dial(UnicastRTP/127.0.0.1:${PEER}/c(ulaw))

    """
  }

  package func run() async throws -> Result {
    // It answers the upgrade and never reads, also when a fork comes again.
    let script = Checkout.root.appending(path: "Testing/Fixtures/unhelpful-server.py").path
    let server = try ChildProcess("/usr/bin/python3", [script, "stalled"])
    guard let line = await server.line(within: 10, where: { $0.hasPrefix("listening on ") }),
      let word = line.split(separator: " ").last, let port = Int(word)
    else { throw TestKitError("the stalled server does not listen: \(server.lines)") }
    var result = Result()
    try await Sandbox.with(.asterisk22, dialplan: Self.dialplan(port)) { sandbox in
      // No events: they would be the forks' and not Asterisk's.
      let manager = try await ManagerConnection(sandbox, hearsEvents: false)
      let warm = try await measure("warm-up", isForked: true, seconds: 2, sandbox, manager, server)
      progress("\(warm.cells), not counted")
      var pair = 1
      while pair <= max(pairs, 1) {
        var rows: [Row] = []
        for isForked in [false, true] {
          let label = "\(pair) \(isForked ? "on" : "off")"
          let row = try await measure(label, isForked: isForked, seconds: seconds, sandbox, manager, server)
          progress(row.cells)
          rows.append(row)
        }
        if result.keep(rows, seconds: seconds, pairs: pairs) {
          pair += 1
        } else {
          progress("pair \(pair) is measured again: the host kept too much of its time")
        }
      }
      manager.end()
    }
    await server.end()
    result.judge()
    return result
  }

  /// One run: so many calls placed, measured, and hung up.
  private func measure(
    _ label: String, isForked: Bool, seconds: Int, _ sandbox: Sandbox, _ manager: ManagerConnection,
    _ server: ChildProcess
  ) async throws -> Row {
    let probe = try RTPProbe(calls: calls)
    let connectionsBefore = server.lines.count
    for call in 0..<calls {
      let reply = try await manager.send(
        "Originate",
        [
          ("Channel", "UnicastRTP/127.0.0.1:\(probe.ports[2 * call])/c(ulaw)"), ("Context", "test"),
          ("Exten", isForked ? "forked" : "plain"), ("Priority", "1"), ("Async", "true"),
          ("Variable", "PEER=\(probe.ports[2 * call + 1])"),
        ])
      guard reply["Response"] == "Success" else { throw TestKitError("originate: \(reply)") }
    }
    let expected = [String](repeating: "simple_bridge", count: calls)
    guard try await holds(within: 15, { try await bridges(manager) == expected }) else {
      let found = try await bridges(manager)
      throw TestKitError("\(found.count) bridges for \(calls) calls: \(Set(found))")
    }
    let destinations = try await ports(of: probe, sandbox, manager)
    let settled = Self.settlingSeconds * RTPProbe.packetsPerSecond
    let packets = settled + seconds * RTPProbe.packetsPerSecond
    async let talk = probe.talk(packets: packets, to: destinations)
    let counts = ContinuousClock.now + .seconds(Self.settlingSeconds)
    // Not while it counts: whoever asks takes processor time.
    try await Task.sleep(for: .seconds(Self.settlingSeconds - 2))
    let before = try await forks(sandbox, manager)
    try await Task.sleep(until: counts)
    let stolenBefore = HostTime.stolen
    let passage = try await talk
    let stolenAfter = HostTime.stolen
    let after = try await forks(sandbox, manager)
    var row = Row(label, passage, from: settled)
    if let stolenBefore, let stolenAfter { row.stolen = stolenAfter - stolenBefore }
    row.forks = "\(after.count)"
    if isForked { row.forks += ", behind by \(after.undelivered) ms" }
    let bridgesAfter = try await bridges(manager)
    if bridgesAfter != expected { row.wrong.append("\(bridgesAfter.count) bridges at the end: \(Set(bridgesAfter))") }
    for facts in [before, after] {
      if facts.count != (isForked ? calls : 0) { row.wrong.append("\(facts.count) forks, \(calls) calls") }
      if isForked, facts.undelivered < Self.stalledMin {
        row.wrong.append("a fork is behind by \(facts.undelivered) ms only: its server has not stalled")
      }
    }
    if isForked, before.streaming != calls { row.wrong.append("\(before.streaming) forks had a connection") }
    if isForked, server.lines.count - connectionsBefore < calls { row.wrong.append("not all forks came to the server") }
    if row.lost > 0 { row.wrong.append("\(row.lost) packets were lost") }
    if row.strangers > 0 { row.wrong.append("\(row.strangers) packets came twice, or were changed") }
    try await hangUp(sandbox)
    return row
  }

  /// Technologies of the bridges with two parties.
  private func bridges(_ manager: ManagerConnection) async throws -> [String] {
    try await manager.list("BridgeList").items.filter { $0["BridgeNumChannels"] == "2" }
      .map { $0["BridgeTechnology"] ?? "?" }
  }

  /// Asterisk's own port for each peer.
  private func ports(
    of probe: RTPProbe, _ sandbox: Sandbox, _ manager: ManagerConnection
  ) async throws -> [Int] {
    let channels = try await sandbox.channels()
    var destinations: [Int] = []
    for port in probe.ports {
      let name = channels.first { $0.hasPrefix("UnicastRTP/127.0.0.1:\(port)-") } ?? ""
      let reply = try await manager.send("Getvar", [("Channel", name), ("Variable", "UNICASTRTP_LOCAL_PORT")])
      guard let local = Int(reply["Value"] ?? "") else { throw TestKitError("no port for \(port): \(reply)") }
      destinations.append(local)
    }
    return destinations
  }

  /// How many forks `audiofork list` shows, how many of them have a connection, and the least that one is behind by:
  /// milliseconds whose delivery is not confirmed.
  private func forks(
    _ sandbox: Sandbox, _ manager: ManagerConnection
  ) async throws -> (count: Int, streaming: Int, undelivered: Int) {
    let count = try await sandbox.forks().count
    let items = try await manager.list("AudioForks").items
    let streaming = items.filter { $0["State"] == "streaming" }.count
    return (count, streaming, items.map { Int($0["Undelivered"] ?? "") ?? 0 }.min() ?? 0)
  }

  /// Ends all calls, and waits until their forks have given up what they could not deliver.
  private func hangUp(_ sandbox: Sandbox) async throws {
    try await sandbox.cli("channel request hangup all")
    guard try await holds(within: 15, { try await sandbox.channels().isEmpty }) else {
      throw TestKitError("channels are left: \(try await sandbox.channels().prefix(3))")
    }
    guard try await holds(within: 40, { try await sandbox.forks().isEmpty }) else {
      throw TestKitError("forks are left: \(try await sandbox.forks().prefix(3))")
    }
  }
}
