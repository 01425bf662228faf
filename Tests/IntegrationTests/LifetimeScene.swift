// SPDX-License-Identifier: Apache-2.0
import AsteriskTestKit
import AudioForkTestKit
import Foundation
import Testing

/// A sandbox, a receiver and a manager connection, and parties that each say a signal of their own.
struct LifetimeScene: Sendable {
  let sandbox: Sandbox
  let receiver: Receiver
  let manager: ManagerConnection

  /// What the forked channel's own party says, without a pause, from a second after the call began.
  static let said = KnownSignal(seed: 61, seconds: 10)
  /// What the forked channel hears before the event, and after it.
  static let first = KnownSignal(seed: 62, seconds: 8)
  static let second = KnownSignal(seed: 63, seconds: 1)
  /// Music on hold.
  static let held = KnownSignal(seed: 64, seconds: 10)

  /// Extensions that every scene has. `talk` is the forked channel's own party; digits for who dials with digits.
  private static let parties = """

    exten => talk,1,Answer()
     same => n,Wait(1)
     same => n,Playback(${SOUNDS}/said)
     same => n,Wait(60)
    exten => first,1,Answer()
     same => n,Playback(${SOUNDS}/first)
     same => n,Wait(60)
    exten => second,1,Answer()
     same => n,Playback(${SOUNDS}/second)
     same => n,Wait(60)
    exten => 72,1,Goto(second,1)
    exten => quiet,1,Answer()
     same => n,Wait(60)

    """

  /// The dialplan's lines that fork both directions, each into a path of its own.
  static func forks(_ receiver: Receiver) -> String {
    """
     same => n,AudioFork(\(receiver.url("in")),D(in))
     same => n,AudioFork(\(receiver.url("out")),D(out))
    """
  }

  /// Runs the body in a scene. Afterwards every channel is hung up, and nothing may be left: no fork, no file of one,
  /// no line in the log that an administrator must look at but the `expected` ones.
  static func with(
    _ release: AsteriskRelease, expecting expected: [String] = [], dialplan: (Receiver) -> String,
    _ body: (LifetimeScene) async throws -> Void
  ) async throws {
    let receiver = try await Receiver()
    try await Sandbox.with(release, dialplan: "[test]\n" + dialplan(receiver) + parties) { sandbox in
      for (name, signal) in [("said", said), ("first", first), ("second", second)] {
        _ = try sandbox.sound(name, signal.samples)
      }
      try FileManager.default.createDirectory(
        at: sandbox.folder.appending(path: "music"), withIntermediateDirectories: true)
      _ = try sandbox.sound("music/held", held.samples)
      try await sandbox.cli("dialplan set global SOUNDS \(sandbox.folder.path)")
      let scene = LifetimeScene(sandbox: sandbox, receiver: receiver, manager: try await ManagerConnection(sandbox))
      try await scene.configure(
        "musiconhold.conf", "[default]\nmode=files\ndirectory=\(sandbox.folder.path)/music\n", reload: "moh reload")
      try await body(scene)
      try await sandbox.cli("channel request hangup all")
      #expect(try await holds(within: 5) { try await sandbox.forks().isEmpty })
      #expect(await becomesTrue(within: 5) { sandbox.runFiles().allSatisfy { !$0.contains(".") } })
      #expect(sandbox.engines().count == 1)
      #expect(sandbox.logLines().filter { line in !expected.contains { line.contains($0) } } == [])
      scene.manager.end()
    }
    await receiver.remove()
  }

  /// Replaces a file of Asterisk's configuration.
  func configure(_ file: String, _ text: String, reload: String) async throws {
    try text.write(to: sandbox.folder.appending(path: "etc/\(file)"), atomically: true, encoding: .utf8)
    try await sandbox.cli(reload)
  }

  /// The name of the one live channel that begins and ends so, as soon as there is one.
  func channel(_ prefix: String, _ half: String = ";2") async throws -> String {
    for _ in 0..<50 {
      let found = try await sandbox.channels().filter { $0.hasPrefix(prefix) && $0.hasSuffix(half) }
      if found.count == 1 { return found[0] }
      try await Task.sleep(for: .milliseconds(100))
    }
    throw TestKitError("there is not one channel \(prefix)…\(half) but: \(try await sandbox.channels())")
  }

  /// Sends an action that must succeed.
  func act(_ action: String, _ headers: [(String, String)]) async throws {
    let reply = try await manager.send(action, headers)
    #expect(reply["Response"] == "Success", "\(action): \(reply)")
  }

  /// Waits until the stream holds this many samples of the signal.
  func hears(
    _ signal: KnownSignal, _ count: Int = 6000, path: String = "out", within seconds: Double = 10
  ) async -> Bool {
    // Eight in a row are no chance.
    await becomesTrue(within: seconds) {
      guard let recording = try? receiver.recording(path: path).filter({ $0 != 0 }) else { return false }
      let probe = signal.samples[(count - 8)..<count]
      return recording.indices.reversed().contains {
        recording[$0] == probe.first && recording[$0...].starts(with: probe)
      }
    }
  }

  /// Every stream so far came over one connection, and ended as agreed.
  func expectOneConnectionEach(_ paths: [String] = ["in", "out"]) async {
    for path in paths {
      #expect(await receiver.ended(1, path: path, within: 8), "/\(path) did not end")
      #expect(receiver.events("started", path: path).count == 1, "/\(path)")
      #expect(receiver.events("ended", path: path).map(\.code) == [1000], "/\(path)")
    }
  }

  /// What the party said stands in the stream from its beginning, whole, and goes on `past` this many samples.
  func expectSaid(past count: Int, by signal: KnownSignal = said) throws {
    let range = try pieces(of: receiver.recording(path: "in"), [signal])[0]
    #expect(range.lowerBound == 0)
    #expect(range.upperBound > count + 4000, "\(range), the event was at \(count)")
  }

  /// Samples of what was said that have arrived.
  func saidSoFar() throws -> Int { try receiver.recording(path: "in").filter { $0 != 0 }.count }
}
