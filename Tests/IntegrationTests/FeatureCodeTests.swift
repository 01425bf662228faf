// SPDX-License-Identifier: Apache-2.0
import AsteriskTestKit
import AudioForkTestKit
import Foundation
import Testing

extension IntegrationTests {
  /// Sentences of docs/reference/behavior.md, each quoted where it is tested. `BehaviorPageTests` compares.
  @Suite("Feature codes and forks", .serialized)
  struct FeatureCodeTests {
    private typealias Scene = LifetimeScene

    /// A call whose two parties have the page's feature codes.
    private static func withFeatures(
      _ release: AsteriskRelease, _ body: (LifetimeScene) async throws -> Void
    ) async throws {
      let toggle = try BehaviorPage().example("[forktoggle]")
      try await Scene.with(
        release,
        dialplan: { receiver in
          """
          exten => a,1,Answer()
          \(Scene.forks(receiver))
           same => n,Set(__DYNAMIC_FEATURES=forkself#forkpeer#forktoggle#forkbeep)
           same => n,Dial(Local/first@test,30,b(test^leg^1))
          exten => leg,1,AudioFork(\(receiver.url("leg")),D(out))
           same => n,Return()
          \(toggle(receiver.port))
          [test]

          """
        }
      ) { scene in
        try await scene.configure(
          "features.conf",
          "[general]\n[applicationmap]\n" + BehaviorPage().example("forkself")(scene.receiver.port),
          reload: "module reload features")
        try await scene.sandbox.call("a", "talk")
        #expect(await scene.hears(Scene.first, 4000))
        try await body(scene)
      }
    }

    /// The forked channel's party presses the keys.
    private static func press(_ keys: String, _ scene: LifetimeScene) async throws {
      let party = try await scene.channel("Local/a@test", ";1")
      for key in keys {
        try await scene.act("PlayDTMF", [("Channel", party), ("Digit", String(key)), ("Duration", "100")])
        try await Task.sleep(for: .milliseconds(150))
      }
    }

    /// The pieces of a signal in a recording: where each begins, and which part of the signal it is. Between them is
    /// anything.
    private static func places(of signal: KnownSignal, in recording: [Int16]) -> [(at: Int, range: Range<Int>)] {
      var starts: [Int16: [Int]] = [:]
      for (index, sample) in signal.samples.enumerated() { starts[sample, default: []].append(index) }
      var found: [(at: Int, range: Range<Int>)] = []
      var at = 0
      while at + 16 <= recording.count {
        let head = recording[at..<(at + 16)]
        if let start = starts[recording[at]]?.first(where: { signal.samples[$0...].starts(with: head) }) {
          let length = zip(recording[at...], signal.samples[start...]).prefix { $0 == $1 }.count
          found.append((at: at, range: start..<(start + length)))
          at += length
        } else {
          at += 1
        }
      }
      return found
    }

    // behavior feature-self: With `self` the channel of the party that presses the code is forked.
    // behavior feature-twice: A second press starts a second fork, and the variable of option `i` has the second one's
    // id then.
    // behavior feature-quiet: A press costs the party at most 60 ms of what it hears.
    @Test("A feature code with self, pressed twice", arguments: AsteriskRelease.tested)
    func featureSelf(release: AsteriskRelease) async throws {
      try await Self.withFeatures(release) { scene in
        try await Self.press("*7", scene)
        #expect(await scene.receiver.started(1, path: "self", within: 5))
        let channel = try await scene.channel("Local/a@test")
        func variable() async throws -> String? {
          try await scene.manager.send("Getvar", [("Channel", channel), ("Variable", "FORK")])["Value"]
        }
        let first = try await variable()
        try await Self.press("*7", scene)
        #expect(await scene.receiver.started(2, path: "self", within: 5))
        let second = try await variable()
        let ids = scene.receiver.events("started", path: "self").map(\.id)
        #expect(ids == [first, second] && first != second && first?.hasPrefix("af-") == true)
        #expect(scene.receiver.events("started", path: "self").allSatisfy { $0.channel == channel })
        #expect(try await scene.sandbox.forks().count == 5)
        let isHeard = await becomesTrue(within: 8) {
          let parts = try? runs(of: scene.receiver.recording(path: "out"), Scene.first)
          return parts?.last?.range.upperBound ?? 0 > 16_000
        }
        #expect(isHeard)
        try await scene.sandbox.cli("channel request hangup all")
        await scene.expectOneConnectionEach()
        let parts = try runs(of: scene.receiver.recording(path: "out"), Scene.first).map(\.range)
        let missing = zip(parts, parts.dropFirst()).reduce(0) { $0 + $1.1.lowerBound - $1.0.upperBound }
        #expect(parts.last?.upperBound ?? 0 > 16_000 && missing <= 2 * 480, "\(parts)")
      }
    }

    // behavior feature-peer: With `peer` it is the other party's channel: its `in` is what the party that presses
    // hears.
    @Test("A feature code with peer", arguments: AsteriskRelease.tested)
    func featurePeer(release: AsteriskRelease) async throws {
      try await Self.withFeatures(release) { scene in
        try await Self.press("*8", scene)
        #expect(await scene.receiver.started(1, path: "peer", within: 5))
        let other = try await scene.channel("Local/first@test", ";1")
        #expect(scene.receiver.events("started", path: "peer").map(\.channel) == [other])
        let isHeard = await becomesTrue(within: 8) {
          let recording = try? scene.receiver.recording(path: "peer", channel: 0)
          return recording.flatMap { Scene.first.range(in: $0) }?.count ?? 0 > 4000
        }
        #expect(isHeard)
        try await scene.sandbox.cli("channel request hangup all")
        await scene.expectOneConnectionEach()
        #expect(try Scene.first.range(in: scene.receiver.recording(path: "peer", channel: 0))?.isEmpty == false)
      }
    }

    // behavior feature-toggle: A code that starts and stops a fork is a Gosub() to lines that test that variable.
    @Test("A feature code that begins and ends a fork", arguments: AsteriskRelease.tested)
    func featureToggle(release: AsteriskRelease) async throws {
      try await Self.withFeatures(release) { scene in
        for press in 1...3 {
          try await Self.press("*5", scene)
          #expect(await scene.receiver.started((press + 1) / 2, path: "toggled", within: 5))
          #expect(await scene.receiver.ended(press / 2, path: "toggled", within: 5))
        }
        #expect(try await scene.sandbox.forks().count == 4)
        try await scene.sandbox.cli("channel request hangup all")
        await scene.expectOneConnectionEach()
      }
    }

    // behavior feature-beep: The beep of option `p` is heard by the party that is forked, and not by the other one.
    // behavior feature-beep-break: While the beep lasts, about half a second, the two parties do not hear each other.
    @Test("A feature code with option p", arguments: AsteriskRelease.tested)
    func featureBeep(release: AsteriskRelease) async throws {
      try await Self.withFeatures(release) { scene in
        try await Self.press("*4", scene)
        #expect(await scene.receiver.started(1, path: "beep", within: 5))
        // Both parties hear each other again: a quarter of a second of each behind the break.
        let isOver = await becomesTrue(within: 10) {
          [("out", Scene.first), ("leg", Scene.said)].allSatisfy { path, signal in
            let places = Self.places(of: signal, in: (try? scene.receiver.recording(path: path)) ?? [])
            let pairs = Array(zip(places, places.dropFirst()))
            let end = pairs.last { $0.1.range.lowerBound - $0.0.range.upperBound > 1600 }
            return end.map { $0.1.range.count > 2000 } ?? false
          }
        }
        #expect(isOver)
        try await scene.sandbox.cli("channel request hangup all")
        await scene.expectOneConnectionEach()
        // Both miss 0.4 to 0.7 s of each other, and each goes on in its place.
        for (path, signal) in [("out", Scene.first), ("leg", Scene.said)] {
          let recording = try scene.receiver.recording(path: path)
          let places = Self.places(of: signal, in: recording)
          let breaks = zip(places, places.dropFirst()).map { $0.0.range.upperBound..<$0.1.range.lowerBound }
          let long = breaks.filter { $0.count > 1600 }
          #expect(long.count == 1 && (3200...5600).contains(long.first?.count ?? 0), "/\(path): \(places)")
          guard let missing = long.first,
            let before = places.first(where: { $0.range.upperBound == missing.lowerBound }),
            let after = places.first(where: { $0.range.lowerBound == missing.upperBound })
          else { continue }
          let between = recording[(before.at + before.range.count)..<after.at]
          #expect(abs(between.count - missing.count) <= 480, "/\(path): \(between.count) for \(missing.count)")
          #expect(
            (IntegrationTests.loudSamples(between) > 1600) == (path == "out"),
            "/\(path): \(IntegrationTests.loudSamples(between)) samples of a beep")
        }
      }
    }
  }
}
