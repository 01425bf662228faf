// SPDX-License-Identifier: Apache-2.0
internal import AsteriskTestKit
internal import AudioForkMedia
internal import AudioForkFaultKit
internal import AudioForkTestKit
internal import Foundation
internal import Synchronization

/// Calls on a real Asterisk, one after the other in each of so many slots, while faults are injected. Each call's fork
/// is accounted sample by sample when it has ended.
package struct ChaosRun: Sendable {
  package enum Plan: Sendable {
    /// Random faults for so many minutes.
    case mixed(minutes: Double)
    /// So many kills of the engine and of the server each, in turns.
    case kills(Int)
  }

  let seed: UInt64
  let plan: Plan
  let slots: Int
  /// wss:// instead of ws://.
  let isSecure: Bool
  /// Only faults whose description contains this; empty: all.
  let only: String
  let progress: @Sendable (String) -> Void
  let trace: @Sendable (String) -> Void

  /// Seconds that the module keeps; the shortest outage that may cost audio.
  static let buffer = 10.0
  static let signalSeconds = 60

  package init(
    seed: UInt64, plan: Plan, slots: Int = 20, isSecure: Bool = false, only: String = "",
    progress: @escaping @Sendable (String) -> Void,
    trace: @escaping @Sendable (String) -> Void = { _ in }
  ) {
    self.seed = seed
    self.plan = plan
    self.slots = slots
    self.isSecure = isSecure
    self.only = only
    self.progress = progress
    self.trace = trace
  }

  private func dialplan(_ url: String) -> String {
    // An authority of our own only a profile can name.
    let options = "D(stereo)r(1000000)R(1)\(isSecure ? "T(insecure)" : "")"
    func fork(_ name: String, _ target: String) -> String {
      """
      exten => \(name),1,Answer()
       same => n,AudioFork(\(target))
       same => n,Playback(${SOUNDS}/out-${SLOT})
       same => n,Wait(600)

      """
    }
    return "[test]\n" + fork("raw", "\(url)/${PLACE},\(options)")
      + fork("v1", "\(url)/${PLACE},\(options)w(audiofork)") + fork("profile", "${PLACE}")
      + WideCall.dialplan(fork: "\(url)/${PLACE},\(options)w(audiofork)") + """
        exten => party,1,Answer()
         same => n,Wait(0.5)
         same => n,Playback(${SOUNDS}/in-${SLOT})
         same => n,Wait(600)
        exten => elsewhere,1,Wait(600)

        """
  }

  /// A profile for each slot whose forks need one; the others' stand in the dialplan. `dead`: a port where nobody
  /// listens.
  private func profiles(_ url: String, dead: Int, spool: String, authority: String?) -> String {
    (0..<slots).map { slot in
      let way = ChaosCall.Way(slot: slot)
      guard way != .plain else { return "" }
      let place = ChaosCall.place(slot, number: 0)
      return """
        [\(place)]
        \(way == .list ? "url = \(isSecure ? "wss" : "ws")://127.0.0.1:\(dead)/\(place)" : "spool = \(spool)")
        url = \(url)/\(place)
        direction = stereo
        dialect = \(ChaosCall.isV1(slot) ? "audiofork" : "raw")
        reconnect_attempts = 1000000
        reconnect_max_wait = 1
        \(authority.map { "ca_file = \($0)" } ?? "")

        """
    }.joined()
  }

  /// Runs it. What it found holds every violation; none means that every promise held.
  package func run() async throws -> Findings {
    let tally = Tally()
    let certificates = isSecure ? try TestCertificates() : nil
    let spool = try ScratchFolder()
    let server = try await RestartedReceiver(certificate: certificates?.issued("server").pair)
    let proxy = try await FaultProxy.start(to: server.port, port: lastingPort())
    let dead = try lastingPort()
    let url = "\(isSecure ? "wss" : "ws")://127.0.0.1:\(proxy.port)"
    try await Sandbox.with(.asterisk22, dialplan: dialplan(url)) { sandbox in
      try await sandbox.cli("dialplan set global SOUNDS \(sandbox.folder.path)")
      // The defaults (buffer of ten seconds) but for the drain: a call may end in the midst of an outage.
      let settings = sandbox.folder.appending(path: "etc/audiofork.conf")
      let given = (try? String(contentsOf: settings, encoding: .utf8)) ?? "[general]\n"
      let general = given.replacing("[general]\n", with: "[general]\ndrain = 30\n")
      let authority = certificates?.authority.certificate
      try (general + profiles(url, dead: dead, spool: spool.path, authority: authority)).write(
        to: settings, atomically: true, encoding: .utf8)
      try await sandbox.cli("module reload app_audiofork.so")
      let manager = try await ManagerConnection(sandbox)
      var sources: [[SourceSignal]] = []
      for slot in 0..<slots {
        sources.append(
          try Direction.allCases.map { direction in
            let signal = SourceSignal(
              seed: seed &* 1000 &+ UInt64(slot), direction: direction, seconds: Self.signalSeconds)
            _ = try sandbox.sound("\(direction == .in ? "in" : "out")-\(slot)", signal.samples)
            return signal
          })
      }
      let scene = ChaosScene(
        sandbox: sandbox, manager: manager, server: server, proxy: proxy, tally: tally, only: only, trace: trace)
      let before = ProcessFacts(of: sandbox.processIdentifier)
      let isOver = Mutex(false)
      let over: @Sendable () -> Bool = { isOver.withLock { $0 } }
      try await withThrowingTaskGroup(of: Void.self) { group in
        for slot in 0..<slots {
          let signals = sources[slot]
          group.addTask { try await calls(slot, signals, scene, until: over) }
        }
        if case .mixed = plan { group.addTask { try await wideCalls(scene, until: over) } }
        // The faults come first: when they are over, no further call begins.
        do {
          try await scene.inject(plan, seed: seed, progress: progress)
        } catch {
          isOver.withLock { $0 = true }
          throw error
        }
        isOver.withLock { $0 = true }
        try await group.waitForAll()
      }
      await check(scene, before)
      if await !becomesTrue(within: 10, { spool.names.isEmpty }) { tally.wrong("spools are left: \(spool.names)") }
      manager.end()
    }
    try await proxy.stop()
    await server.remove()
    return tally.now
  }

  /// Calls of one slot, one after the other.
  private func calls(
    _ slot: Int, _ sources: [SourceSignal], _ scene: ChaosScene, until isOver: @Sendable () -> Bool
  ) async throws {
    var random = SeededRandom(seed: seed &* 7919 &+ UInt64(slot))
    var number = 0
    // Not all at the same moment.
    try await Task.sleep(for: .milliseconds(.random(in: 0...2000, using: &random)))
    while !isOver() {
      number += 1
      let call = ChaosCall(slot: slot, number: number, sources: sources)
      let seconds = Double.random(in: 8...40, using: &random)
      try await call.run(for: seconds, scene, unless: isOver)
    }
  }

  /// Calls whose rate rises, one after the other.
  private func wideCalls(_ scene: ChaosScene, until isOver: @Sendable () -> Bool) async throws {
    var random = SeededRandom(seed: seed &* 104_729)
    var number = 0
    while !isOver() {
      number += 1
      try await WideCall(number: number).run(scene, &random)
    }
  }

  /// What has to hold for the whole when the last call is over.
  private func check(_ scene: ChaosScene, _ before: ProcessFacts?) async {
    let left = (try? await scene.sandbox.channels()) ?? ["?"]
    if !left.isEmpty { scene.tally.wrong("channels are left: \(left)") }
    if scene.sandbox.engines().count != 1 { scene.tally.wrong("engines at the end: \(scene.sandbox.engines())") }
    if await !becomesTrue(within: 10, { scene.sandbox.runFiles().allSatisfy { !$0.contains(".") } }) {
      scene.tally.wrong("files are left: \(scene.sandbox.runFiles())")
    }
    let descriptors = { ProcessFacts(of: scene.sandbox.processIdentifier)?.descriptors ?? .max }
    if let before, await !becomesTrue(within: 10, { descriptors() <= before.descriptors }) {
      scene.tally.wrong("Asterisk has \(descriptors()) descriptors, had \(before.descriptors)")
    }
    // An engine without a descriptor for a new fork's files tries again. One that ended before it was ready was killed
    // by this run.
    let logged = scene.sandbox.logLines(["ERROR"]).filter {
      !$0.hasSuffix("it is tried again") && !$0.contains("ended before it was ready")
    }
    // Engines that hang are expected as often as this run has stopped one; each more has hung by itself.
    let isHang = { (line: String) in line.contains("has not given a sign of life") }
    let faults = scene.tally.now.faults
    let stops = [ChaosFault.engineHang, .enginePause].reduce(0) { $0 + faults[$1.rawValue, default: 0] }
    let errors = (logged.filter { !isHang($0) } + logged.filter(isHang).dropFirst(stops)).filter {
      // Only where we have taken its descriptors.
      !($0.contains("Until then only the buffer keeps")
        && scene.tally.now.faults[ChaosFault.noDescriptors.rawValue] != nil)
    }
    for line in errors.prefix(5) { scene.tally.wrong("Asterisk's log: \(line)") }
  }
}
