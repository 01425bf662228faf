// SPDX-License-Identifier: Apache-2.0
internal import AsteriskTestKit
internal import AudioForkCore
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
  let say: @Sendable (String) -> Void
  let trace: @Sendable (String) -> Void

  /// Seconds that the module keeps; the shortest outage that may cost audio.
  static let buffer = 10.0
  static let signalSeconds = 60
  /// What a server of dialect raw may get again at once, sample frames: two seconds are on their way at most, and what
  /// is decided in a tick.
  static let repeatMax = 18_000

  package init(
    seed: UInt64, plan: Plan, slots: Int = 20, isSecure: Bool = false, only: String = "", say: @escaping @Sendable (String) -> Void,
    trace: @escaping @Sendable (String) -> Void = { _ in }
  ) {
    self.seed = seed
    self.plan = plan
    self.slots = slots
    self.isSecure = isSecure
    self.only = only
    self.say = say
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
      + fork("v1", "\(url)/${PLACE},\(options)w(audiofork)") + fork("profile", "${PLACE}") + """
      exten => party,1,Answer()
       same => n,Wait(0.5)
       same => n,Playback(${SOUNDS}/in-${SLOT})
       same => n,Wait(600)
      exten => elsewhere,1,Wait(600)

      """
  }

  /// A profile for each slot whose forks need one; the others' stand in the dialplan. `dead`: a port where nobody listens.
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
        // The faults come first: when they are over, no further call begins.
        do {
          try await scene.inject(plan, seed: seed, say: say)
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
    // An engine that hangs is an error that an administrator has to hear of; anything else at this level is none of ours.
    // Nor is one that has no descriptor for a new fork's files: it tries again.
    let errors = scene.sandbox.logLines(["ERROR"]).filter {
      // Nor is an engine that was killed before it was ready anything but what this run has done.
      !$0.contains("has not given a sign of life") && !$0.hasSuffix("it is tried again")
        && !$0.contains("ended before it was ready")
    }
    .filter {
      // Only where we have taken its descriptors.
      !($0.contains("Until then only the buffer keeps") && scene.tally.now.faults[ChaosFault.noDescriptors.rawValue] != nil)
    }
    for line in errors.prefix(5) { scene.tally.wrong("Asterisk's log: \(line)") }
  }
}

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

  func inject(_ plan: ChaosRun.Plan, seed: UInt64, say: @Sendable (String) -> Void) async throws {
    var random = SeededRandom(seed: seed)
    switch plan {
    case .kills(let count):
      // Calls first.
      try await Task.sleep(for: .seconds(4))
      for number in 0..<(2 * count) {
        try await inject(number % 2 == 0 ? .engineKill : .serverKill, &random)
        try await Task.sleep(for: .milliseconds(.random(in: 500...1500, using: &random)))
        if number % 40 == 39 { say("\(number + 1) kills, \(tally.now.calls) calls") }
      }
    case .mixed(let minutes):
      let deadline = ContinuousClock.now + .seconds(minutes * 60)
      // Each kind in turn, in another order each time, so that a short run has most of them.
      var next: [ChaosFault] = []
      var said = ContinuousClock.now
      try await Task.sleep(for: .seconds(4))
      while ContinuousClock.now < deadline {
        if next.isEmpty { next = mix(minutes).shuffled(using: &random) }
        let fault = next.removeLast()
        // Now and then the engine dies on top of it.
        let isDouble = Bool.random(using: &random) && fault != .longOutage
        async let second: Void = isDouble ? killEngineSoon() : ()
        try await inject(fault, &random)
        try await second
        let calm = fault == .longOutage ? 5000 : Int.random(in: 300...2000, using: &random)
        try await Task.sleep(for: .milliseconds(calm))
        if ContinuousClock.now - said > .seconds(60) {
          said = ContinuousClock.now
          let now = tally.now
          say("\(now.faults.values.reduce(0, +)) faults, \(now.calls) calls, \(now.unaccounted) samples unaccounted")
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
        let long = Int(ChaosRun.buffer * 1000)
        let milliseconds = fault == .longOutage ? Int.random(in: (long + 2000)...(long + 8000), using: &random)
          : Int.random(in: 200...3500, using: &random)
        try await Task.sleep(for: .milliseconds(milliseconds))
        try await proxy.plan(.none)
        try await proxy.strike(fault.needsReset ? .reset : .none)
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

/// Channels that a fault may do something to.
final class LiveChannels: Sendable {
  private let names = Mutex<[String]>([])
  func add(_ name: String) { names.withLock { $0.append(name) } }
  func remove(_ name: String) { names.withLock { $0.removeAll { $0 == name } } }
  func some(_ count: Int, _ random: inout some RandomNumberGenerator) -> [String] {
    Array(names.withLock { $0 }.sorted().shuffled(using: &random).prefix(count))
  }
}

/// Times in which gaps have to be expected.
final class OutageLog: Sendable {
  private let spans = Mutex<[ClosedRange<ContinuousClock.Instant>]>([])
  private let begun = Mutex<ContinuousClock.Instant?>(nil)
  func begin() { begun.withLock { $0 = .now } }
  func end() {
    guard let from = begun.withLock({ instant in defer { instant = nil }; return instant }) else { return }
    spans.withLock { $0.append(from...ContinuousClock.now) }
  }
  func explain(from: ContinuousClock.Instant) -> Bool {
    begun.withLock { $0 != nil } || spans.withLock { $0.contains { $0.upperBound >= from } }
  }
}

/// `audiofork serve` on one port and in one folder, over its restarts.
final class RestartedReceiver: Sendable {
  let port: Int
  let folder: URL
  private let certificate: (certificate: String, key: String)?
  private let current: Mutex<Receiver>
  /// What those said of `stop` that are gone.
  private let past = Mutex<[String]>([])

  init(certificate: (certificate: String, key: String)?) async throws {
    let first = try await Receiver(port: lastingPort(), certificate: certificate)
    self.certificate = certificate
    port = first.port
    folder = first.folder
    current = Mutex(first)
  }

  private var receiver: Receiver { current.withLock { $0 } }
  func signal(_ number: Int32) { receiver.signal(number) }

  func restart(by number: Int32, away seconds: Double) async throws {
    let old = receiver
    old.signal(number)
    guard await old.ended() else { throw TestKitError("the receiver did not end") }
    try await Task.sleep(for: .seconds(seconds))
    let said = old.lines.filter { $0.hasPrefix(Self.stopEvent) }
    past.withLock { $0 += said }
    let next = try await Receiver(port: port, folder: folder, certificate: certificate)
    current.withLock { $0 = next }
  }

  private static let stopEvent = #"{"event":"stop","#

  /// The position that the fork's `stop` named; nil where none came, or its word died with the receiver.
  func stopPosition(of fork: String) -> Int? {
    func isIts(_ line: String) -> Bool { line.hasPrefix(Self.stopEvent) && line.contains(#""id":"\#(fork)""#) }
    let line = receiver.lines.last(where: isIts) ?? past.withLock { $0.last(where: isIts) }
    return line?.firstMatch(of: /"position":([0-9]+)/).flatMap { Int($0.1) }
  }

  /// The files for a path so far.
  func files(_ path: String) -> [String] {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
    return names.filter { $0.hasPrefix(path + "-") && $0.hasSuffix(".wav") }.sorted()
      .map { folder.appending(path: $0).path }
  }

  func remove() async { await receiver.remove() }
}

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
      self = switch slot % 8 {
      case 2, 3: .list
      case 6, 7: .spool
      default: .plain
      }
    }
  }

  let slot: Int
  /// Samples of a call that may be missing before the hook.
  private static let notCapturedMax = 800

  /// Of the slot's calls, from 1 on.
  let number: Int
  let sources: [SourceSignal]

  private var name: String { "c\(slot)x\(number)" }
  private var way: Way { Way(slot: slot) }
  private var isV1: Bool { ChaosCall.isV1(slot) }
  static func isV1(_ slot: Int) -> Bool { slot % 2 == 0 }
  /// The path at the server, and the files' names: a call's own, but for profiles, which are their slot's.
  static func place(_ slot: Int, number: Int) -> String { Way(slot: slot) == .plain ? "c\(slot)x\(number)" : "s\(slot)" }
  private var place: String { ChaosCall.place(slot, number: number) }

  func run(for seconds: Double, _ scene: ChaosScene, unless isOver: @Sendable () -> Bool) async throws {
    let events = scene.manager.eventCount
    let began = ContinuousClock.now
    let reply = try await scene.manager.send(
      "Originate",
      [
        ("Channel", "Local/\(way == .plain ? isV1 ? "v1" : "raw" : "profile")@test"), ("Exten", "party"), ("Context", "test"), ("Priority", "1"),
        ("Async", "true"), ("Variable", "__CALL=\(name),__SLOT=\(slot),__PLACE=\(place)"),
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
    try account(fork, stop, gaps, scene, began)
  }

  private func account(
    _ fork: String, _ stop: [String: String], _ gaps: [[String: String]], _ scene: ChaosScene,
    _ began: ContinuousClock.Instant
  ) throws {
    func number(_ name: String) -> Int { Int(stop[name] ?? "") ?? -1 }
    let files = scene.server.files(place)
    let recordings = files.map { (try? wavSamples($0)) ?? [] }
    var wrong: [String] = []
    if isV1, files.count > 1 { wrong.append("\(files.count) files of one fork") }
    var ends = 0
    var zeros = 0
    var contradicted = 0
    let isExplained = way != .spool && scene.outages.explain(from: began)
    let captured = number("Captured")
    var accounts: [(word: String, account: DeliveryAccount)] = []
    for direction in Direction.allCases {
      let word = direction == .in ? "in" : "out"
      let reported = gaps.filter { $0["GapDirection"] == word }.map { gap in
        let start = Int(gap["Start"] ?? "") ?? -1
        let count = Int(gap["Count"] ?? "") ?? -1
        return ReportedGap(
          max(start, 0)..<max(start + count, max(start, 0)),
          isUndelivered: gap["Reason"]?.hasPrefix("undelivered") == true)
      }
      let channel = Int(direction.rawValue)
      let halves = recordings.map { file in stride(from: channel, to: file.count, by: 2).map { file[$0] } }
      accounts.append((word, DeliveryAccount(of: halves, source: sources[channel], gaps: reported)))
    }
    // What Asterisk itself had no frame for was never ours to deliver. Behind a gap nobody could tell which is which.
    let arrived = accounts.reduce(0) { $0 + $1.account.delivered }
    if gaps.isEmpty, arrived == captured {
      for index in accounts.indices {
        let missing = accounts[index].account.unaccounted
        // Whole frames, and few: more would be a fault between Asterisk's frames and the ring.
        guard missing % 160 == 0, missing <= Self.notCapturedMax else { continue }
        scene.tally.note { $0.notCaptured += missing }
        accounts[index].account.end -= missing
        accounts[index].account.unaccounted = 0
      }
    }
    for (word, account) in accounts {
      ends += account.end
      zeros += account.zeros
      scene.tally.note {
        $0.delivered += account.delivered
        $0.inGaps += account.inGaps
        $0.unaccounted += account.unaccounted
        if isV1 { $0.repeatedV1 += account.repeated } else {
          $0.repeatedRaw += account.repeated
          $0.longestRepeat = max($0.longestRepeat, account.longestRepeat)
        }
      }
      if account.unaccounted > 0 { wrong.append("\(word): \(account.unaccounted) samples are lost without a word") }
      if account.foreign > 0 { wrong.append("\(word): \(account.foreign) foreign samples") }
      if account.wentBack > 0 { wrong.append("\(word): the order goes back \(account.wentBack) times in a file") }
      // What was on its way when the outage began may have arrived, and nobody could confirm it before it was overwritten.
      contradicted += account.contradicted
      if account.contradicted > (isExplained ? ChaosRun.repeatMax : 0) {
        wrong.append("\(word): \(account.contradicted) samples in gaps have arrived")
      }
      if account.longestRepeat > ChaosRun.repeatMax {
        wrong.append("\(word): \(account.longestRepeat) samples came again at once")
      }
      if isV1, account.repeated > 0 { wrong.append("\(word): \(account.repeated) samples came twice") }
    }
    let told = gaps.reduce(0) { $0 + (Int($1["Count"] ?? "") ?? 0) }
    if ends != captured {
      wrong.append("files and gaps know of \(ends) samples, \(captured) were captured")
      if ends < captured { scene.tally.note { $0.unaccounted += captured - ends } }
    }
    if number("Delivered") + number("Lost") != captured { wrong.append("Delivered and Lost are not Captured") }
    if told != number("Lost") { wrong.append("gaps of \(told) samples were told, Lost says \(number("Lost"))") }
    if isV1, stop["Reason"]?.hasPrefix("done") == true, let file = recordings.first, file.count / 2 != number("Position") {
      wrong.append("the file has \(file.count / 2) sample frames, the stream \(number("Position"))")
    }
    if isV1, let position = scene.server.stopPosition(of: fork), position != number("Position") {
      wrong.append("stop named position \(position), the stream has \(number("Position"))")
    }
    // No sample of the signals is zero: what is one was made up, and nothing that was made up is taken for audio.
    if isV1, stop["Reason"]?.hasPrefix("done") == true, zeros + contradicted != number("Fill") {
      wrong.append("the file has \(zeros) samples of fill, the stream \(number("Fill"))")
    }
    if gaps.contains(where: { (Int($0["Count"] ?? "") ?? 0) < 1 }) { wrong.append("an empty gap") }
    scene.tally.note {
      $0.captured += captured
      $0.gaps += gaps.count
      if !gaps.isEmpty, !isExplained { $0.unexplainedGaps += gaps.count }
    }
    if !gaps.isEmpty, !isExplained { wrong.append("gaps without an outage longer than the buffer: \(gaps)") }
    for text in wrong {
      scene.tally.wrong("\(name) (\(fork), \(stop["Reason"] ?? "")): \(text)")
      scene.trace("\(name) (\(fork), \(stop["Reason"] ?? "")): \(text)")
    }
    // A long run would fill the disk; what is wrong is kept.
    for file in files {
      if wrong.isEmpty {
        try? FileManager.default.removeItem(atPath: file)
      } else {
        // Out of the way of the slot's next call.
        let found = URL(fileURLWithPath: file)
        try? FileManager.default.moveItem(
          at: found, to: found.deletingLastPathComponent().appending(path: "wrong-\(name)-\(found.lastPathComponent)"))
      }
    }
  }
}
