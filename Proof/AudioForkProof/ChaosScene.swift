// SPDX-License-Identifier: Apache-2.0
internal import AsteriskTestKit
internal import AudioForkFaultKit
internal import AudioForkTestKit
internal import Foundation

/// What calls and faults work on.
struct ChaosScene: Sendable {
  let sandbox: Sandbox
  let manager: ManagerConnection
  let server: RestartedReceiver
  let proxy: FaultProxy
  let tally: Tally
  let only: String
  /// When, in events of the manager, an outage longer than the buffer may have cost audio: from, and to if it is over.
  let outages = OutageLog()
  /// Channels with a fork that is not to end yet.
  let channels = LiveChannels()
  /// Told each fault as it comes.
  let trace: @Sendable (String) -> Void

  func inject(_ plan: ChaosRun.Plan, seed: UInt64, progress: @Sendable (String) -> Void) async throws {
    var random = SeededRandom(seed: seed)
    switch plan {
    case .kills(let count):
      // Calls first.
      try await Task.sleep(for: .seconds(4))
      for number in 0..<(2 * count) {
        try await inject(number % 2 == 0 ? .engineKill : .serverKill, &random)
        try await Task.sleep(for: .milliseconds(.random(in: 500...1500, using: &random)))
        if number % 40 == 39 { progress("\(number + 1) kills, \(tally.now.calls) calls") }
      }
    case .mixed(let minutes):
      let deadline = ContinuousClock.now + .seconds(minutes * 60)
      // Each kind in turn, in another order each time, so that a short run has most of them.
      var next: [ChaosFault] = []
      var came: [ChaosFault: ContinuousClock.Instant] = [:]
      var said = ContinuousClock.now
      try await Task.sleep(for: .seconds(4))
      while ContinuousClock.now < deadline {
        if next.isEmpty { next = mix(minutes).shuffled(using: &random) }
        let fault = next.removeLast()
        if let apart = fault.apart {
          if let last = came[fault], ContinuousClock.now - last < .seconds(apart) {
            try await Task.sleep(for: .milliseconds(100))
            continue
          }
          came[fault] = .now
        }
        // Now and then the engine dies on top of it.
        let isDouble = Bool.random(using: &random) && fault.standsKills
        async let second: Void = isDouble ? killEngineSoon() : ()
        try await inject(fault, &random)
        try await second
        let calm = fault.calm.map { $0 * 1000 } ?? Int.random(in: 300...2000, using: &random)
        try await Task.sleep(for: .milliseconds(calm))
        if ContinuousClock.now - said > .seconds(60) {
          said = ContinuousClock.now
          let now = tally.now
          progress(
            "\(now.faults.values.reduce(0, +)) faults, \(now.calls) calls, \(now.unaccounted) samples unaccounted")
        }
      }
    }
  }

  private func mix(_ minutes: Double) -> [ChaosFault] {
    let chosen = ChaosFault.allCases.filter { !only.isEmpty && $0.rawValue.contains(only) }
    return chosen.isEmpty ? ChaosFault.mix(minutes: minutes) : chosen
  }

  private func killEngineSoon() async throws {
    try await Task.sleep(for: .milliseconds(300))
    tally.note { $0.faults["engine killed in the midst of another fault", default: 0] += 1 }
    for engine in sandbox.engines() { kill(engine, SIGKILL) }
  }

  private func inject(_ fault: ChaosFault, _ random: inout SeededRandom) async throws {
    tally.note { $0.faults[fault.rawValue, default: 0] += 1 }
    trace("\(Date()) \(fault.rawValue)")
    switch fault {
    case .engineKill: for engine in sandbox.engines() { kill(engine, SIGKILL) }
    case .enginePause:
      let engines = sandbox.engines()
      for engine in engines { kill(engine, SIGSTOP) }
      try await Task.sleep(for: .milliseconds(.random(in: 200...2000, using: &random)))
      for engine in engines { kill(engine, SIGCONT) }
    case .engineHang:
      let engines = sandbox.engines()
      for engine in engines { kill(engine, SIGSTOP) }
      if await !becomesTrue(within: 6, { !sandbox.engines().contains { engines.contains($0) } }) {
        tally.wrong("an engine that hangs was not replaced within 6 s")
        for engine in engines { kill(engine, SIGKILL) }
      }
    case .engineRestart: _ = try await manager.cli("audiofork engine restart")
    case .transfer:
      // While nothing is delivered.
      try await proxy.strike(.reset)
      for channel in channels.some(3, &random) {
        _ = try await manager.send(
          "Redirect", [("Channel", channel), ("Context", "test"), ("Exten", "elsewhere"), ("Priority", "1")])
      }
    case .moduleReload: _ = try await manager.cli("module reload app_audiofork.so")
    case .serverKill: try await server.restart(by: SIGKILL, away: .random(in: 0...2, using: &random))
    case .serverDrain: try await server.restart(by: SIGTERM, away: .random(in: 0...2, using: &random))
    case .noDescriptors:
      let engines = sandbox.engines()
      for engine in engines { try await limitDescriptors(of: engine, to: 3) }
      try await proxy.strike(.reset)
      try await Task.sleep(for: .milliseconds(.random(in: 200...2000, using: &random)))
      for engine in engines { try await limitDescriptors(of: engine, to: nil) }
      try await proxy.strike(.none)
    case .runDirectoryRemoved:
      // An engine that is just being started would find neither rings nor cursors: that is a reported gap.
      try await Task.sleep(for: .seconds(2))
      let directory = sandbox.runDirectory
      try FileManager.default.removeItem(atPath: directory)
      if await !becomesTrue(within: 5, { FileManager.default.fileExists(atPath: directory) }) {
        tally.wrong("the run directory was not made again within 5 s")
      }
    case .serverPause:
      server.signal(SIGSTOP)
      try await Task.sleep(for: .milliseconds(.random(in: 200...3000, using: &random)))
      server.signal(SIGCONT)
    default:
      let (plan, strike) = fault.onTheWay(&random)
      if fault == .longOutage { outages.begin() }
      if let plan { try await proxy.plan(plan) }
      if let strike { try await proxy.strike(strike) }
      if plan != nil {
        try await Task.sleep(for: .milliseconds(Int.random(in: fault.duration, using: &random)))
        try await proxy.plan(.none)
        // A server that pauses does so to the end.
        if fault != .slowServer { try await proxy.strike(fault.needsReset ? .reset : .none) }
      }
      if fault == .longOutage {
        // What was overwritten is told as soon as there is a connection to send over.
        try await Task.sleep(for: .seconds(6))
        outages.end()
      }
    }
  }
}

/// What a process holds already it keeps; more than the limit it does not get. nil: as much as it may.
private func limitDescriptors(of process: Int32, to limit: Int?) async throws {
  let most = try? String(contentsOfFile: "/proc/\(process)/limits", encoding: .utf8)
    .firstMatch(of: /Max open files +[0-9]+ +([0-9]+)/)?.1
  let soft = limit.map(String.init) ?? most.map(String.init) ?? "4096"
  // Of a process that has died meanwhile there is nothing to limit.
  _ = try await ChildProcess.run("/usr/bin/prlimit", ["--pid", "\(process)", "--nofile=\(soft):"])
}
