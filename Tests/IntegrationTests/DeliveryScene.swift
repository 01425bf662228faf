// SPDX-License-Identifier: Apache-2.0
import AsteriskTestKit
import AudioForkTestKit
import CAudioForkABI
import Foundation
import Synchronization
import Testing

/// A call whose party hears a known signal, and two forks of that, one in each dialect, to a server that may go and
/// come back. The signal is all that is captured, so that its indices are those of captured samples.
struct DeliveryScene: Sendable {
  /// Its raw value is the path at the server.
  enum Dialect: String, CaseIterable, Sendable {
    case raw, v1
    var option: String { self == .raw ? "" : "w(audiofork)" }
  }

  struct Fork: Sendable {
    let dialect: Dialect
    let id: String
    let ring: HeldRing
    var path: String { dialect.rawValue }
  }

  /// How much each fork had captured, and when that was.
  struct Moment: Sendable {
    let at: ContinuousClock.Instant
    let captured: [Int]
  }

  let sandbox: Sandbox
  let server: RecurringServer
  let manager: ManagerConnection
  let signal: KnownSignal
  let forks: [Fork]

  private static func dialplan(_ server: RecurringServer, _ more: String) -> String {
    let forks = Dialect.allCases.map { dialect in
      " same => n,AudioFork(\(server.url(dialect.rawValue)),D(out)\(dialect.option))\n"
    }.joined()
    return """
      [test]
      exten => a,1,Answer()
      \(forks) same => n,Playback(${SOUNDS}/heard)
       same => n,Wait(0.5)
       same => n,StopAudioFork()
       same => n,Wait(60)
      \(more)
      exten => b,1,Answer()
       same => n,Wait(120)

      """
  }

  /// Runs the body when the call's forks have begun. `general`: lines for `[general]` of audiofork.conf. `dialplan`: a
  /// line of the calls' context. `settings`: as the sandbox's.
  static func with(
    _ release: AsteriskRelease, hearing signal: KnownSignal, general: String = "", dialplan more: String = "",
    settings: [String: String] = [:],
    _ body: (DeliveryScene) async throws -> Void
  ) async throws {
    let server = try await RecurringServer()
    try await Sandbox.with(release, dialplan: dialplan(server, more), settings: settings) { sandbox in
      _ = try sandbox.sound("heard", signal.samples)
      try await sandbox.cli("dialplan set global SOUNDS \(sandbox.folder.path)")
      if !general.isEmpty {
        try IntegrationTests.ModuleFeatureTests.append(general, of: sandbox)
        _ = try await IntegrationTests.ModuleFeatureTests.reload(sandbox)
      }
      let manager = try await ManagerConnection(sandbox)
      try await sandbox.call("a", "b")
      var forks: [Fork] = []
      for dialect in Dialect.allCases {
        let url = server.url(dialect.rawValue)
        let start = try #require(
          await manager.event(named: "AudioForkStart", within: 10) { $0["WsServer"] == url }, "no fork to \(url)")
        let id = try #require(start["AudioForkID"])
        let file = try #require(sandbox.runFiles().first { $0.hasSuffix("/\(id).ring") }, "\(sandbox.runFiles())")
        forks.append(Fork(dialect: dialect, id: id, ring: try HeldRing("\(sandbox.runDirectory)/\(file)")))
      }
      try await body(
        DeliveryScene(sandbox: sandbox, server: server, manager: manager, signal: signal, forks: forks))
      manager.end()
    }
    await server.remove()
  }

  /// Waits until each fork has captured this many samples.
  func isCaptured(_ count: Int, within seconds: Double = 20) async -> Bool {
    await becomesTrue(within: seconds) { forks.allSatisfy { (try? $0.ring.captured) ?? 0 >= count } }
  }

  /// Samples of the signal that the server has, repeats included.
  func arrived(_ fork: Fork) -> Int {
    ((try? server.recordings(fork.path)) ?? []).joined().count { $0 != 0 }
  }

  /// Waits until the server has this many samples of each fork.
  func hasArrived(_ count: Int, within seconds: Double = 10) async -> Bool {
    await becomesTrue(within: seconds) { forks.allSatisfy { arrived($0) >= count } }
  }

  /// Waits until the fork has left the server as agreed.
  func isOver(_ fork: Fork, within seconds: Double = 30) async -> Bool {
    await becomesTrue(within: seconds) {
      server.events("ended", path: fork.path).contains { $0.code == 1000 && $0.by == "client" }
    }
  }

  /// The fork's last event in the manager interface, as soon as it has come.
  func stop(of fork: Fork, within seconds: Double = 30) async throws -> [String: String] {
    let id = fork.id
    return try #require(
      await manager.event(named: "AudioForkStop", within: seconds) { $0["AudioForkID"] == id },
      "/\(fork.path) has not ended")
  }

  /// What the server printed of one kind about the fork.
  func told(_ kind: String, of fork: Fork) -> [ToldLine] { ToldLine.all(kind, of: fork.id, in: server.lines) }

  func moment() throws -> Moment { Moment(at: .now, captured: try forks.map { try $0.ring.captured }) }

  /// Kills Asterisk, and right behind it these processes, or sends them another signal. Returns what each fork had
  /// captured when Asterisk was gone, which has to reach from the moment to 200 ms before the signal at least: the
  /// audio is played without a pause.
  func killAsterisk(
    by signalNumber: Int32 = SIGKILL, and others: [Int32] = [], since moment: Moment
  ) async throws -> [Int] {
    let victims = [sandbox.processIdentifier] + others
    // 0 and -1 are everybody.
    guard victims.allSatisfy({ $0 > 1 }) else { throw TestKitError("not to be killed: \(victims)") }
    let elapsed = ContinuousClock.now - moment.at
    for victim in victims { #expect(Foundation.kill(victim, signalNumber) == 0, "process \(victim)") }
    let configuration = "\(sandbox.folder.path)/etc/asterisk.conf"
    // After SIGTERM Asterisk waits for its channels, and a second more.
    let isGone = await becomesTrue(within: signalNumber == SIGKILL ? 5 : 20) {
      processes { $0.contains(configuration) }.isEmpty
    }
    #expect(isGone, "Asterisk outlives signal \(signalNumber)")
    let ends = try forks.map { try $0.ring.captured }
    let due = Int(elapsed / Duration.seconds(1) * 8000) - 1600
    for (fork, (before, end)) in zip(forks, zip(moment.captured, ends)) {
      #expect(end - before >= due, "/\(fork.path): \(end - before) samples were captured in \(elapsed)")
      #expect(end < signal.samples.count, "/\(fork.path): the signal was over before the kill")
    }
    return ends
  }

  /// What arrived of the fork is the signal up to this sample, all of it and in order: with audiofork exactly once, in
  /// one file; with raw with a bounded repeat at each break.
  func expectArrived(_ fork: Fork, upTo end: Int) throws {
    let recordings = try server.recordings(fork.path)
    let expected = KnownSignal(Array(signal.samples.prefix(end)))
    guard fork.dialect == .v1 else { return try IntegrationTests.FaultTests.expectWhole(recordings, expected) }
    #expect(recordings.count == 1, "\(recordings.count) files of one fork")
    let recording = try #require(recordings.first, "nothing came for /\(fork.path)")
    #expect(difference(recording.filter { $0 != 0 }, expected.samples) == nil, "/\(fork.path)")
    let ends = told("ended", of: fork)
    #expect(!ends.isEmpty && ends.allSatisfy { $0.numbers["duplicates"] == 0 }, "/\(fork.path): \(ends)")
    // The end that the fork announced is the file's.
    #expect(told("stop", of: fork).last?.numbers["position"] == recording.count, "/\(fork.path)")
  }

  /// The whole signal arrived, and the fork's last event, which is returned, says so.
  @discardableResult
  func expectDelivered(_ fork: Fork) async throws -> [String: String] {
    let stop = try await stop(of: fork)
    #expect(stop["Reason"]?.hasPrefix("done: ") == true, "/\(fork.path): \(stop)")
    for name in ["Gaps", "Lost", "Undelivered"] { #expect(stop[name] == "0", "/\(fork.path): \(name)") }
    #expect(stop["Captured"] == "\(signal.samples.count)", "/\(fork.path)")
    #expect(await isOver(fork), "/\(fork.path) has not left the server")
    try expectArrived(fork, upTo: signal.samples.count)
    return stop
  }
}

/// `audiofork serve` on one port and in one folder, however often it goes and comes back.
final class RecurringServer: Sendable {
  let port: Int
  let folder: URL
  /// One after the other; the last one may have gone.
  private let runs: Mutex<[Receiver]>

  init() async throws {
    let first = try await Receiver(port: lastingPort())
    port = first.port
    folder = first.folder
    runs = Mutex([first])
  }

  private var all: [Receiver] { runs.withLock { $0 } }

  func url(_ path: String) -> String { "ws://127.0.0.1:\(port)/\(path)" }

  /// Ends it by a signal, and waits until it has gone.
  func leave(by number: Int32) async throws {
    guard let last = all.last else { return }
    last.signal(number)
    guard await last.ended() else { throw TestKitError("audiofork serve has not ended") }
  }

  func comeBack() async throws {
    let next = try await Receiver(port: port, folder: folder)
    runs.withLock { $0.append(next) }
  }

  /// What was printed so far, by all of them.
  var lines: [String] { all.flatMap(\.lines) }

  func events(_ kind: String, path: String) -> [Receiver.Event] { all.flatMap { $0.events(kind, path: path) } }

  /// The samples of each file for the path, in the order in which they were begun.
  func recordings(_ path: String) throws -> [[Int16]] {
    var files: [String] = []
    for file in events("started", path: path).compactMap(\.file) where !files.contains(file) { files.append(file) }
    return try files.map { try wavSamples($0) }
  }

  func remove() async {
    for receiver in all { await receiver.remove() }
  }
}

/// A line of `audiofork serve --json`.
struct ToldLine: Decodable, Sendable {
  private struct Key: CodingKey {
    let stringValue: String
    var intValue: Int? { nil }
    init(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { return nil }
  }

  let keys: Set<String>
  /// Its strings and its whole numbers by their keys.
  let texts: [String: String]
  let numbers: [String: Int]

  init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: Key.self)
    var (texts, numbers) = ([String: String](), [String: Int]())
    for key in container.allKeys {
      texts[key.stringValue] = try? container.decode(String.self, forKey: key)
      numbers[key.stringValue] = try? container.decode(Int.self, forKey: key)
    }
    keys = Set(container.allKeys.map(\.stringValue))
    self.texts = texts
    self.numbers = numbers
  }

  /// Those of one kind about one fork.
  static func all(_ kind: String, of id: String, in lines: [String]) -> [ToldLine] {
    let decoder = JSONDecoder()
    return lines.filter { $0.hasPrefix("{") }.compactMap { try? decoder.decode(ToldLine.self, from: Data($0.utf8)) }
      .filter { $0.texts["event"] == kind && $0.texts["id"] == id }
  }

  /// The range from `first`, as long as `length` says; empty where the line lacks them.
  func range(_ first: String, _ length: String) -> Range<Int> {
    guard let first = numbers[first], let length = numbers[length], length >= 0 else { return 0..<0 }
    return first..<(first + length)
  }
}

/// A fork's ring, held open: it can be read when the engine has removed the file, and when nobody lives any more who
/// wrote or read it.
final class HeldRing: Sendable {
  private let descriptor: Int32

  init(_ path: String) throws {
    descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw TestKitError("\(path): \(String(cString: strerror(errno)))") }
  }

  deinit { close(descriptor) }

  /// Samples captured in direction out so far, as the capture module counts them.
  var captured: Int {
    get throws {
      var header = af_ring_header()
      let size = MemoryLayout<af_ring_header>.size
      let count = withUnsafeMutableBytes(of: &header) { pread(descriptor, $0.baseAddress, $0.count, 0) }
      guard count == size, header.magic == UInt64(AF_RING_MAGIC) else { throw TestKitError("this is no ring") }
      return Int(header.captured.1)
    }
  }
}
