// SPDX-License-Identifier: Apache-2.0
internal import AsteriskTestKit
internal import AudioForkMedia
internal import AudioForkTestKit
internal import CAudioForkABI
internal import Foundation

/// What a call costs a real Asterisk 22 with nothing beside it, recorded by MixMonitor, sent by AudioSocket, and
/// forked: on the same machine, in turns.
///
/// Somebody speaks on both sides of each call.
package struct AsteriskBench: Sendable {
  /// What calls are made of.
  package enum Kind: String, CaseIterable, Sendable {
    /// Local channels in signed linear: no codec, no network.
    case local
    /// Phones of sipp that speak G.711 over RTP.
    case sip
  }

  /// What is done with each call.
  package enum Row: String, CaseIterable, Sendable {
    case nothing = "nothing"
    case mixMonitor = "MixMonitor to tmpfs"
    case audioSocket = "AudioSocket (in; it takes the call's place in the dialplan)"
    case forkIn = "AudioFork D(in)"
    case forkBoth = "AudioFork D(both)"
    case forkStereo = "AudioFork D(stereo)"
    case forkSecure = "AudioFork D(both), wss"
    /// The calls are captured and nothing is sent, so that no sender and no receiver takes turns and caches from
    /// Asterisk; what the engine costs then are its attempts to connect.
    case forkAlone = "AudioFork D(both), nobody listens"

    fileprivate var exten: String { "\(self)" }
    var isForked: Bool { [.forkIn, .forkBoth, .forkStereo, .forkSecure, .forkAlone].contains(self) }
    fileprivate var isSent: Bool { isForked && self != .forkAlone || self == .audioSocket }
  }

  let seconds: Double
  let progress: @Sendable (String) -> Void

  package init(seconds: Double, progress: @escaping @Sendable (String) -> Void) {
    self.seconds = seconds
    self.progress = progress
  }

  /// Each side waits for a random part of a frame before it speaks. If both sides spoke at the same moment, Asterisk
  /// would do less work: one wake-up serves both. An application that delays one side by milliseconds would then seem
  /// to cost that difference.
  private static func dialplan(_ sink: Int, _ secure: Int) -> String {
    func fork(_ row: Row, _ target: String, _ options: String) -> String {
      "exten => \(row.exten),1,Answer()\n same => n,AudioFork(\(target),\(options))\n same => n,Goto(talk,1)\n"
    }
    let plain = "ws://127.0.0.1:\(sink)/b"
    return "[phones]\ninclude => test\n[test]\n" + fork(.forkIn, plain, "D(in)R(1)")
      + fork(.forkBoth, plain, "D(both)R(1)")
      + fork(.forkStereo, plain, "D(stereo)R(1)")
      + fork(.forkSecure, "wss://127.0.0.1:\(secure)/b", "D(both)T(insecure)R(1)")
      + fork(.forkAlone, "alone", "D(both)r(100000)R(60)") + """
        exten => nothing,1,Answer()
         same => n,Goto(talk,1)
        exten => mixMonitor,1,Answer()
         same => n,MixMonitor(${FILES}/${UNIQUEID}.sln)
         same => n,Goto(talk,1)
        exten => audioSocket,1,Answer()
         same => n,AudioSocket(${UUID()},127.0.0.1:\(sink))
         same => n,Hangup()
        exten => talk,1,Wait(0.1${RAND(10,29)})
         same => n(on),Playback(${SOUND})
         same => n,Goto(on)

        """
  }

  /// Where nobody listens (tcpmux: no machine has it), with a buffer that does not lap before a measurement ends.
  private static let profile = "\n[alone]\nurl = ws://127.0.0.1:1/b\nbuffer = 60\n"

  /// Measures each row at each number of calls, `turns` times.
  package func run(_ rows: [Row], kind: Kind, calls: [Int], turns: Int) async throws -> [Result] {
    let sink = try await Sink(isSecure: false)
    let secure = try await Sink(isSecure: true)
    let files = try ScratchFolder()
    var results: [Result] = []
    try await Sandbox.with(.asterisk22, dialplan: Self.dialplan(sink.port, secure.port)) { sandbox in
      let manager = try await ManagerConnection(sandbox, hearsEvents: false)
      for module in ["func_uuid", "func_rand", "app_mixmonitor", "res_audiosocket", "app_audiosocket"] {
        try await sandbox.cli("module load \(module).so")
        guard try await sandbox.cli("module show like \(module)").contains("\(module).so") else {
          throw BenchError("\(module) is not loaded")
        }
      }
      let settings = sandbox.folder.appending(path: "etc/audiofork.conf")
      let given = try String(contentsOf: settings, encoding: .utf8)
      try (given + Self.profile).write(to: settings, atomically: true, encoding: .utf8)
      try await sandbox.cli("module reload app_audiofork.so")
      let speech = (0..<480_000).map { Int16(truncatingIfNeeded: ($0 &* 2_654_435_761) >> 16) / 4 | 1 }
      try await sandbox.cli("dialplan set global SOUND \(try sandbox.sound("speech", speech))")
      try await sandbox.cli("dialplan set global FILES \(files.path)")
      let scene = Scene(
        sandbox: sandbox, manager: manager, sink: sink, secure: secure, files: files,
        phones: kind == .sip ? try await SIPPPhones(sandbox, saying: speech.map { G711.muLaw($0) }) : nil)
      // Everything has been used once before it counts.
      for row in [.nothing] + rows { _ = try await measure(row, 5, scene, seconds: 1) }
      for count in calls {
        var found = rows.map { Result(row: $0.rawValue, kind: kind.rawValue, calls: count) }
        for turn in 1...max(turns, 1) {
          // Before and behind each row: a call alone costs more than most of what is done with it, and the machine
          // drifts.
          var before = try await measure(.nothing, count, scene, seconds: seconds)
          for (index, row) in rows.enumerated() {
            let sample = try await measure(row, count, scene, seconds: seconds)
            let behind = try await measure(.nothing, count, scene, seconds: seconds)
            let baseline = before.mean(with: behind)
            before = behind
            found[index].samples.append(sample)
            found[index].baseline.append(baseline)
            progress(
              "turn \(turn), \(count) \(kind.rawValue) calls, \(row.rawValue): Asterisk "
                + "\(sample.asterisk.processorNanoseconds / 1_000_000) ms "
                + "(\(baseline.asterisk.processorNanoseconds / 1_000_000) without), engine "
                + "\(sample.engine.processorNanoseconds / 1_000_000) ms in \(sample.seconds.rounded(1)) s; "
                + (sample.arrived.map { "\($0.rounded(2)) % arrived" } ?? "nothing sent"))
          }
        }
        results += found
      }
      manager.end()
    }
    await sink.end()
    await secure.end()
    return withExtendedLifetime(files) { results }
  }

  /// What measurements have in common.
  private struct Scene {
    let sandbox: Sandbox
    let manager: ManagerConnection
    let sink: Sink
    let secure: Sink
    /// Where MixMonitor records.
    let files: ScratchFolder
    let phones: SIPPPhones?
  }

  private func measure(_ row: Row, _ count: Int, _ scene: Scene, seconds: Double) async throws -> Sample {
    let sandbox = scene.sandbox
    let load = try await scene.phones?.call(row.exten, count)
    if load == nil {
      for _ in 0..<count {
        let reply = try await scene.manager.send(
          "Originate",
          [
            ("Channel", "Local/\(row.exten)@test"), ("Exten", "talk"), ("Context", "test"), ("Priority", "1"),
            ("Async", "true"),
          ])
        guard reply["Response"] == "Success" else { throw BenchError("originate: \(reply)") }
      }
    }
    let channels = load == nil ? 2 * count : count
    guard try await holds(within: 60, { try await sandbox.channels().count >= channels }) else {
      throw BenchError(
        """
        \(row.rawValue): \(try await sandbox.channels().count) channels for \(count) calls; \
        \(load?.lines.suffix(8) ?? [])
        """
      )
    }
    let receiver = row == .forkSecure ? scene.secure : scene.sink
    if row.isSent, await !receiver.has(count, within: 30) {
      throw BenchError("\(row.rawValue): \(count) connections do not stand")
    }
    if row.isForked, !(try await holds(within: 10, { try await sandbox.forks().count == count })) {
      throw BenchError("\(row.rawValue): \(try await sandbox.forks().count) forks for \(count) calls")
    }
    let up = ContinuousClock.now
    try await Task.sleep(for: .seconds(2))
    var sample = Sample()
    let engine = row.isForked ? sandbox.engines().first : nil
    guard let asteriskBefore = ProcessCost(of: sandbox.processIdentifier) else { throw BenchError("Asterisk is gone") }
    let engineBefore = engine.flatMap { ProcessCost(of: $0) }
    receiver.reset()
    let began = af_now_ns()
    try await Task.sleep(for: .seconds(seconds))
    guard let asteriskAfter = ProcessCost(of: sandbox.processIdentifier) else { throw BenchError("Asterisk is gone") }
    let engineAfter = engine.flatMap { ProcessCost(of: $0) }
    let ended = af_now_ns()
    sample.seconds = Double(ended - began) / 1e9
    // For scripts/lab/profile-asterisk: seconds of CLOCK_MONOTONIC, and the process.
    progress("window \(row.exten) \(count) \(Double(began) / 1e9) \(Double(ended) / 1e9) \(sandbox.processIdentifier)")
    let report = try await receiver.report()
    sample.asterisk = asteriskAfter.since(asteriskBefore)
    if let engineBefore, let engineAfter { sample.engine = engineAfter.since(engineBefore) }
    if row.isSent { sample.latenessP99 = Double(report.p99) / 1000 }
    // Files are written in blocks of seconds: how long they should be shows at the end.
    let whole = (ContinuousClock.now - up) / .seconds(1) * 50 * Double(count)
    try await sandbox.cli("channel request hangup all")
    guard try await holds(within: 30, { try await sandbox.channels().isEmpty }) else {
      throw BenchError("channels are left")
    }
    guard try await holds(within: 60, { try await sandbox.forks().isEmpty }) else { throw BenchError("forks are left") }
    await load?.end()
    sample.arrived =
      switch row {
      case .nothing, .forkAlone: nil
      case .mixMonitor: min(100, Double(size(of: scene.files)) / 320 / whole * 100)
      default: report.onTime(seconds: sample.seconds, streams: count)
      }
    for name in scene.files.names { try? FileManager.default.removeItem(atPath: scene.files.file(name)) }
    return sample
  }

  private func size(of files: ScratchFolder) -> Int {
    files.names.reduce(0) { sum, name in
      let attributes = try? FileManager.default.attributesOfItem(atPath: files.file(name))
      return sum + (attributes?[.size] as? Int ?? 0)
    }
  }
}
