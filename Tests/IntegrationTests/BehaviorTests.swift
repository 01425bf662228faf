// SPDX-License-Identifier: Apache-2.0
import AsteriskTestKit
import AudioForkTestKit
import Foundation
import Testing

extension IntegrationTests {
  /// The sentences of docs/reference/behavior.md, each quoted where it is tested. `BehaviorPageTests` compares.
  @Suite("What Asterisk does around a fork", .serialized)
  struct BehaviorTests {
    private typealias Scene = LifetimeScene

    /// The page, for its examples.
    private struct Page {
      private let lines: [Substring]

      init() throws {
        let url = Checkout.root.appending(path: "docs/reference/behavior.md")
        lines = try String(contentsOf: url, encoding: .utf8).split(separator: "\n", omittingEmptySubsequences: false)
      }

      /// The example whose first line begins so, for a server at a port.
      func example(_ begin: String) throws -> (_ port: Int) -> String {
        let indent = "    "
        let first = try #require(lines.firstIndex { $0.hasPrefix(indent + begin) }, "no example \(begin)")
        let text = lines[first...].prefix { $0.hasPrefix(indent) }.map { $0.dropFirst(indent.count) + "\n" }.joined()
        return { port in text.replacing("127.0.0.1:8080", with: "127.0.0.1:\(port)") }
      }
    }

    /// How many samples are louder than any fill.
    private static func loud(_ samples: some Sequence<Int16>) -> Int {
      samples.reduce(0) { $0 + ($1.magnitude > 300 ? 1 : 0) }
    }

    /// Whether the newest recording of a path comes to an end with the signal, awaited for eight seconds.
    private static func hears(_ scene: LifetimeScene, _ path: String, _ signal: KnownSignal) async -> Bool {
      await becomesTrue(within: 8) { ends((try? scene.receiver.recordings(path: path).last) ?? [], with: signal) }
    }

    /// The event with which the fork to this path ended.
    private static func stop(_ scene: LifetimeScene, _ path: String) async throws -> [String: String] {
      let event = await scene.manager.event(named: "AudioForkStop") { $0["WsServer"]?.hasSuffix("/\(path)") == true }
      return try #require(event, "/\(path) did not end")
    }

    /// Lets *2 begin an attended transfer.
    private static func allowTransfers(_ scene: LifetimeScene) async throws {
      try await scene.configure(
        "features.conf", "[general]\n[featuremap]\natxfer=*2\n", reload: "module reload features")
    }

    /// Whether the last samples of a recording are a piece of the signal.
    private static func ends(_ recording: [Int16], with signal: KnownSignal) -> Bool {
      let tail = recording.filter { $0 != 0 }.suffix(400)
      guard tail.count == 400, let first = tail.first else { return false }
      return signal.samples.indices.contains { signal.samples[$0] == first && signal.samples[$0...].starts(with: tail) }
    }

    // MARK: ChanSpy

    // behavior whisper: What ChanSpy whispers to a channel is in the audio `out` of that channel's fork: its party
    // hears it.
    // behavior whisper-other: No option leaves it out, but the fork of the other party's channel does not hold it,
    // whose `in` and `out` are the other way around.
    // behavior whisper-mixmonitor: MixMonitor's recording of the same channel does not hold the whisper.
    @Test("A whisper is in the fork of the party that hears it, and nowhere else", arguments: AsteriskRelease.tested)
    func whisper(release: AsteriskRelease) async throws {
      try await Scene.with(
        release,
        dialplan: { receiver in
          """
          exten => a,1,Answer()
          \(Scene.forks(receiver))
           same => n,MixMonitor(${SOUNDS}/mix.wav,r(${SOUNDS}/read.wav)t(${SOUNDS}/write.wav))
           same => n,Dial(Local/still@test,30,b(test^leg^1))
          exten => leg,1,AudioFork(\(receiver.url("leg")),D(stereo))
           same => n,Return()
          exten => still,1,Answer()
           same => n,Playback(${SOUNDS}/second)
           same => n,Playback(${SOUNDS}/still)
           same => n,Wait(60)
          exten => spy,1,Answer()
           same => n,ChanSpy(${SPIED},wqS)
          exten => coach,1,Answer()
           same => n,Wait(0.5)
           same => n,Playback(${SOUNDS}/first)
           same => n,Wait(60)

          """
        }
      ) { scene in
        _ = try scene.sandbox.sound("still", [Int16](repeating: 1, count: 8000 * 20))
        try await scene.sandbox.call("a", "quiet")
        #expect(await scene.hears(Scene.second))
        try await scene.sandbox.cli("dialplan set global SPIED \(scene.channel("Local/a@test"))")
        try await scene.sandbox.call("spy", "coach")
        let hasHeard = await becomesTrue(within: 10) {
          Self.loud((try? scene.receiver.recording(path: "out"))?.dropFirst(9000) ?? []) > 12_000
        }
        #expect(hasHeard)
        try await scene.sandbox.cli("channel request hangup all")
        await scene.expectOneConnectionEach(["in", "out", "leg"])
        // It is the coach's words, sample for sample, mixed into the other party's stillness.
        let heard = try scene.receiver.recording(path: "out").filter { $0 != 0 && $0 != 1 }
        let words = heard[8000..<12_000].map { $0 - 1 }
        let begin = Scene.first.samples.indices.first { Scene.first.samples[$0...].starts(with: words.prefix(16)) }
        #expect(begin != nil, "none of the coach's words")
        #expect(try Self.loud(scene.receiver.recording(path: "in")) == 0)
        // The other channel has all that its party says, and nothing else.
        let leg = try [0, 1].map { try scene.receiver.recording(path: "leg", channel: $0).filter { $0 != 1 } }
        #expect(try pieces(of: leg[0], [Scene.second]) == [Scene.second.samples.indices])
        #expect(Self.loud(leg[1]) == 0)
        // MixMonitor has the other party's words and nothing else.
        let file = scene.sandbox.folder.appending(path: "write.wav").path
        #expect(await becomesTrue(within: 5) { ((try? wavSamples(file))?.count ?? 0) > 16_000 })
        let recorded = try Self.loud(wavSamples(file))
        #expect((4000...Scene.second.samples.count).contains(recorded), "\(recorded)")
      }
    }

    // MARK: VOLUME

    // behavior volume-before: VOLUME() that is first set before AudioFork() is in the fork, with every later change of
    // it.
    // behavior volume-after: VOLUME() that is first set after AudioFork() is not in the fork.
    // behavior volume-mixmonitor: MixMonitor's recording never holds it.
    @Test("The order of VOLUME() and AudioFork() decides", arguments: AsteriskRelease.tested)
    func volume(release: AsteriskRelease) async throws {
      try await Scene.with(
        release,
        dialplan: { receiver in
          """
          exten => a,1,Answer()
           same => n,MixMonitor(${SOUNDS}/mix.wav,r(${SOUNDS}/read.wav))
           same => n,AudioFork(\(receiver.url("in")),D(in))
           same => n,Set(VOLUME(RX)=2)
           same => n,AudioFork(\(receiver.url("late")),D(in))
           same => n,Wait(3)
           same => n,Set(VOLUME(RX)=3)
           same => n,Wait(2)
           same => n,Hangup()

          """
        }
      ) { scene in
        try await scene.sandbox.call("a", "talk")
        await scene.expectOneConnectionEach(["in", "late"])
        let plain = try scene.receiver.recording(path: "in").filter { $0 != 0 }
        #expect(plain.count > 24_000)
        #expect(difference(plain, Array(Scene.said.samples.prefix(plain.count))) == nil)
        let late = try scene.receiver.recording(path: "late").filter { $0 != 0 }
        #expect(late.count > 24_000)
        func factor(_ index: Int) -> Int? {
          [2, 3].first { Int16(clamping: Int(Scene.said.samples[index]) * $0) == late[index] }
        }
        let change = try #require(late.indices.first { factor($0) != 2 })
        #expect((8000...23_000).contains(change), "\(change)")
        #expect(late.indices[change...].allSatisfy { factor($0) == 3 })
        let file = scene.sandbox.folder.appending(path: "read.wav").path
        #expect(await becomesTrue(within: 5) { ((try? wavSamples(file))?.count ?? 0) > 24_000 })
        let recorded = try wavSamples(file).filter { $0 != 0 }
        #expect(recorded.count > 16_000 && Scene.said.range(in: recorded) != nil, "\(recorded.count) samples")
      }
    }

    // MARK: Transfers

    // behavior transfer-called: Dial()'s option `b(context^exten^1)` runs AudioFork() on the channel of the called
    // party.
    // behavior transfer-ends: The fork of the party that transfers the call ends when that party's channel hangs up.
    // behavior transfer-delivered: Its audio is delivered all the same, and its reason is `done`.
    // behavior transfer-goes-on: The fork of the transferred party goes on: music on hold and the new party are in the
    // same stream.
    // behavior transfer-restart: `audiofork engine restart` during a transfer loses nothing: the fork connects again.
    @Test("Attended transfer of the other party", arguments: AsteriskRelease.tested, [false, true])
    func transfer(release: AsteriskRelease, restarts: Bool) async throws {
      try await Scene.with(
        release, expecting: restarts ? ["connected again", "engine"] : [],
        dialplan: { receiver in
          """
          exten => a,1,Answer()
          \(Scene.forks(receiver))
           same => n,Dial(Local/b@test,20,Tb(test^leg^1))
          exten => leg,1,AudioFork(\(receiver.url("leg")),D(out))
           same => n,Return()
          exten => b,1,Answer()
           same => n,Wait(60)
          exten => 73,1,Answer()
           same => n,Playback(${SOUNDS}/first)
           same => n,Wait(60)

          """
        }
      ) { scene in
        try await Self.allowTransfers(scene)
        try await scene.sandbox.call("a", "talk")
        #expect(await scene.hears(Scene.said, path: "leg"))
        let transferer = try await scene.channel("Local/a@test")
        try await scene.act("Atxfer", [("Channel", transferer), ("Exten", "73"), ("Context", "test")])
        #expect(await scene.hears(Scene.held, 4000, path: "leg"))
        if restarts {
          let before = scene.sandbox.engines()
          try await scene.sandbox.cli("audiofork engine restart")
          #expect(await becomesTrue(within: 5) { scene.sandbox.engines().first.map { !before.contains($0) } ?? false })
        }
        _ = try await scene.channel("Local/73@test")
        #expect(await Self.hears(scene, "out", Scene.first))
        try await scene.sandbox.cli("channel request hangup \(transferer)")
        for path in ["in", "out"] {
          let stop = try await Self.stop(scene, path)
          #expect(stop["Reason"]?.hasPrefix("done") == true && stop["Lost"] == "0", "\(stop)")
          #expect(stop["Captured"] == stop["Delivered"])
        }
        #expect(await Self.hears(scene, "leg", Scene.first), "the transferred party's fork does not hear the new one")
        #expect(try await scene.sandbox.forks().count == 1)
        try await scene.sandbox.cli("channel request hangup all")
        let stop = try await Self.stop(scene, "leg")
        #expect(stop["Reason"]?.hasPrefix("done") == true && stop["Lost"] == "0", "\(stop)")
        #expect(stop["Captured"] == stop["Delivered"])
        #expect(scene.receiver.events("started", path: "leg").count == (restarts ? 2 : 1))
        #expect(scene.manager.events(named: "AudioForkGap").isEmpty)
      }
    }

    // behavior transfer-returns: A party that gets the call back after a failed transfer keeps its fork, in the same
    // stream.
    @Test("A transfer to a party that is busy", arguments: AsteriskRelease.tested)
    func failedTransfer(release: AsteriskRelease) async throws {
      try await Scene.with(
        release, expecting: ["Playback failed on"],
        dialplan: { receiver in
          """
          exten => a,1,Answer()
          \(Scene.forks(receiver))
           same => n,Dial(Local/b@test,20,T)
          exten => b,1,Answer()
           same => n,Playback(${SOUNDS}/first&${SOUNDS}/first&${SOUNDS}/first&${SOUNDS}/first&${SOUNDS}/first)
           same => n,Wait(60)
          exten => 74,1,Busy(1)

          """
        }
      ) { scene in
        try await Self.allowTransfers(scene)
        // Not one that speaks: Asterisk 22 may hand the busy signal on to it, which ends Playback() and with it the
        // call.
        try await scene.sandbox.call("a", "quiet")
        #expect(await scene.hears(Scene.first))
        let transferer = try await scene.channel("Local/a@test")
        try await scene.act("Atxfer", [("Channel", transferer), ("Exten", "74"), ("Context", "test")])
        let enters = await becomesTrue(within: 15) {
          scene.manager.events(named: "BridgeEnter").filter { $0["Channel"] == transferer }.count >= 2
        }
        #expect(enters, "the call did not come back")
        let place = try scene.receiver.recording(path: "out").count
        let isBack = await becomesTrue(within: 20) {
          let out = (try? scene.receiver.recording(path: "out")) ?? []
          return out.count > place + 16_000 && Self.ends(out, with: Scene.first)
        }
        let arrived = try scene.receiver.recording(path: "out").count
        #expect(isBack, "\(arrived) samples, \(place) of them before the return")
        try await scene.sandbox.cli("channel request hangup all")
        await scene.expectOneConnectionEach()
      }
    }

    // MARK: Feature codes

    /// A call whose two parties have the page's feature codes.
    private static func withFeatures(
      _ release: AsteriskRelease, _ body: (LifetimeScene) async throws -> Void
    ) async throws {
      let toggle = try Page().example("[forktoggle]")
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
          "[general]\n[applicationmap]\n" + Page().example("forkself")(scene.receiver.port),
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
          #expect((Self.loud(between) > 1600) == (path == "out"), "/\(path): \(Self.loud(between)) samples of a beep")
        }
      }
    }

    // MARK: Lines of AMI

    /// A server that prints the heads of requests, a dialplan that waits, and the page's profile.
    private static func withHeaderServer(
      _ release: AsteriskRelease, _ body: (Sandbox, ChildProcess, Substring) async throws -> Void
    ) async throws {
      let (server, port) = try await OriginalFaultTests.fixture("header-server.py", [])
      try await Sandbox.with(release, dialplan: "[test]\nexten => b,1,Answer()\n same => n,Wait(60)\n") { sandbox in
        try ModuleFeatureTests.append("\n" + Page().example("[long]")(try #require(Int(port))), of: sandbox)
        try await sandbox.cli("module reload app_audiofork.so")
        try await sandbox.call("b", "b")
        try await body(sandbox, server, port)
      }
      await server.end()
    }

    /// The requests that the server has had.
    private static func requests(_ server: ChildProcess) -> [String] {
      server.lines.filter { $0.hasPrefix("request ") }
        .compactMap { Data(base64Encoded: String($0.dropFirst(8))) }.map { String(decoding: $0, as: UTF8.self) }
    }

    // behavior ami-line: Asterisk takes lines of at most 1024 bytes from an AMI client, with the header's name and the
    // line end.
    // behavior ami-too-long: With a longer line the whole action fails, and no fork is started.
    // behavior ami-long-value: A longer header, a token for instance, comes from a profile: its value is made of
    // variables that Setvar sets in pieces.
    @Test("Long values through AMI", arguments: AsteriskRelease.tested)
    func longLines(release: AsteriskRelease) async throws {
      try await Self.withHeaderServer(release) { sandbox, server, port in
        let manager = try await ManagerConnection(sandbox)
        let channel = try #require(try await sandbox.channels().first { $0.hasSuffix(";2") })
        for length in [1000, 1021, 1022, 1023, 1024, 1025, 2000, 3000] {
          let url = "ws://127.0.0.1:\(port)/x?"
          let line = "WsServer: \(url)"
          let value = url + String(repeating: "x", count: length - line.count)
          let reply = try await manager.send(
            "AudioFork", [("Channel", channel), ("WsServer", value), ("Options", "r(0)")])
          let isTaken = length <= 1022
          #expect(reply["Response"] == (isTaken ? "Success" : "Error"), "\(length): \(reply)")
          #expect((reply["AudioForkID"] != nil) == isTaken)
          if length > 1023 { #expect(reply["Message"] == "Failed to parse message: line too long") }
        }
        #expect(await becomesTrue(within: 5) { Self.requests(server).count == 3 })
        #expect(manager.events(named: "AudioForkStart").count == 3)
        let token = (0..<1500).map { String($0 * $0 % 36, radix: 36) }.joined()
        for (name, part) in [("TOKEN_1", token.prefix(750)), ("TOKEN_2", token.suffix(750))] {
          let reply = try await manager.send(
            "Setvar", [("Channel", channel), ("Variable", name), ("Value", String(part))])
          #expect(reply["Response"] == "Success")
        }
        let reply = try await manager.send("AudioFork", [("Channel", channel), ("WsServer", "long")])
        #expect(reply["Response"] == "Success", "\(reply)")
        let hasToken = await becomesTrue(within: 5) {
          Self.requests(server).contains { $0.contains("\r\nAuthorization: Bearer \(token)\r\n") }
        }
        #expect(hasToken)
      }
    }

    // MARK: Who reads what a server says

    // behavior texts-list: An AMI account with `call` or `reporting` reads a server's last text in the list of
    // AudioForks.
    // behavior texts-variable: The same accounts read it with Getvar in AUDIOFORK_RESPONSE, as every channel variable.
    // behavior texts-event: Of these only an account with `call` gets the event AudioForkResponse.
    // behavior texts-filter: `eventfilter = !Event: AudioForkResponse` in an account of manager.conf keeps that event
    // away.
    @Test("What a server says, and accounts with few privileges", arguments: AsteriskRelease.tested)
    func texts(release: AsteriskRelease) async throws {
      let folder = FileManager.default.temporaryDirectory
        .appending(path: "af-texts-\(UInt32.random(in: 0...UInt32.max))")
      try #"["", "the caller says his number"]"#.write(to: folder, atomically: true, encoding: .utf8)
      defer { try? FileManager.default.removeItem(at: folder) }
      let (server, port) = try await OriginalFaultTests.fixture("talking-server.py", [folder.path])
      let dialplan = """
        [test]
        exten => a,1,Answer()
         same => n,AudioFork(ws://127.0.0.1:\(port)/,D(in))
         same => n,Wait(60)
        exten => b,1,Answer()
         same => n,Milliwatt()
        """
      try await Sandbox.with(release, dialplan: dialplan) { sandbox in
        let accounts = [
          ("caller", "read = call\nwrite = call"), ("reporter", "read = reporting\nwrite = reporting"),
          ("filtered", "read = call\nwrite = call\neventfilter = !Event: AudioForkResponse"),
          ("other", "read = dtmf,user,log\nwrite = originate,user"),
        ]
        let sections = accounts.map { "\n[\($0.0)]\nsecret = x\n\($0.1)\n" }.joined()
        try ModuleFeatureTests.append(sections, to: "manager.conf", of: sandbox)
        try await sandbox.cli("manager reload")
        var connections: [String: ManagerConnection] = [:]
        for (name, _) in accounts { connections[name] = try await ManagerConnection(sandbox, account: (name, "x")) }
        try await sandbox.call("a", "b")
        let event = await connections["caller"]?.event(named: "AudioForkResponse", within: 8) { $0["Response"] != "" }
        #expect(event?["Response"] == "the caller says his number")
        let channel = try #require(try await sandbox.channels().first { $0.hasSuffix(";2") })
        for (name, _) in accounts {
          let manager = try #require(connections[name])
          let list = try await manager.list("AudioForks")
          let variable = try await manager.send("Getvar", [("Channel", channel), ("Variable", "AUDIOFORK_RESPONSE")])
          if name == "other" {
            #expect(list.reply["Message"] == "Permission denied" && variable["Message"] == "Permission denied")
          } else {
            #expect(list.items.first?["Response"] == "the caller says his number", "\(name)")
            #expect(variable["Value"] == "the caller says his number", "\(name)")
          }
          #expect(manager.events(named: "AudioForkResponse").isEmpty == (name != "caller"), "\(name)")
          #expect(manager.events(named: "AudioForkStart").isEmpty == !["caller", "filtered"].contains(name), "\(name)")
        }
      }
      await server.end()
    }

    // MARK: Secrets

    // behavior secrets-arguments: Asterisk shows the arguments of AudioFork(), with passwords in a URL and headers of
    // option `H`, as those of every application.
    // behavior secrets-places: They are in the verbose log, in the AMI event Newexten, and in the application data of
    // CDR and CEL.
    // behavior secrets-profile: A profile's `url` and `header`, and what variables and functions in them stand for, are
    // in none of these.
    @Test("Where secrets are seen, and where not", arguments: AsteriskRelease.tested)
    func secrets(release: AsteriskRelease) async throws {
      let receiver = try await Receiver()
      let dialplan = """
        [test]
        exten => profile,1,Answer()
         same => n,AudioFork(secret)
         same => n,Wait(1)
         same => n,Hangup()
        exten => inline,1,Answer()
         same => n,AudioFork(ws://me:pass-inline@127.0.0.1:\(receiver.port)/inline,H(X-Key: key-inline))
         same => n,Wait(1)
         same => n,Hangup()
        exten => last-profile,1,Answer()
         same => n,Wait(0.2)
         same => n,AudioFork(secret)
        exten => last-inline,1,Answer()
         same => n,Wait(0.2)
         same => n,AudioFork(ws://me:pass-inline@127.0.0.1:\(receiver.port)/inline,H(X-Key: key-inline))
        exten => b,1,Answer()
         same => n,Wait(60)
        """
      try await Sandbox.with(release, dialplan: dialplan) { sandbox in
        let token = sandbox.folder.appending(path: "token")
        try "key-file".write(to: token, atomically: true, encoding: .utf8)
        let profile = """

          [secret]
          url = ws://me:pass-profile@127.0.0.1:\(receiver.port)/profile?token=query-profile
          header = X-Key: key-profile
          header = X-File: ${FILE(\(token.path))}

          """
        try ModuleFeatureTests.append(profile, of: sandbox)
        try "[general]\nenable = yes\napps = audiofork\nevents = ALL\n[manager]\nenabled = yes\n".write(
          to: sandbox.folder.appending(path: "etc/cel.conf"), atomically: true, encoding: .utf8)
        try "[general]\nenable = yes\nunanswered = yes\n".write(
          to: sandbox.folder.appending(path: "etc/cdr.conf"), atomically: true, encoding: .utf8)
        try "[general]\nenabled = yes\n".write(
          to: sandbox.folder.appending(path: "etc/cdr_manager.conf"), atomically: true, encoding: .utf8)
        for command in [
          "module reload app_audiofork.so", "module reload cel", "module reload cdr", "module load func_env.so",
          "module load cel_manager.so", "module load cdr_manager.so",
        ] { try await sandbox.cli(command) }
        let manager = try await ManagerConnection(sandbox)
        for name in ["inline", "profile", "last-inline", "last-profile"] { try await sandbox.call(name, "b") }
        #expect(await receiver.ended(1, path: "inline", within: 8))
        let isSent = await becomesTrue(within: 8) {
          receiver.events("ended").contains { $0.path?.hasPrefix("/profile") == true }
        }
        #expect(isSent, "\(receiver.lines)")
        try await sandbox.cli("channel request hangup all")
        let places: [(String, () -> String)] = [
          ("verbose log", { sandbox.log }),
          ("Newexten", { manager.messages().filter { $0["Event"] == "Newexten" }.map(\.text).joined() }),
          ("CDR", { manager.messages().filter { $0["Event"] == "Cdr" }.map(\.text).joined() }),
          ("CEL", { manager.messages().filter { $0["Event"] == "CEL" }.map(\.text).joined() }),
        ]
        for (what, text) in places {
          let isSeen = await becomesTrue(within: 5) {
            ["pass-inline", "key-inline"].allSatisfy { text().contains($0) }
          }
          #expect(isSeen, "\(what) does not show what this test looks for: \(text().prefix(3000))")
        }
        let seen =
          sandbox.log + manager.messages().map(\.text).joined()
          + (try await sandbox.cli("audiofork show forks")) + (try await sandbox.cli("core show channels verbose"))
        for secret in ["pass-profile", "query-profile", "key-profile", "key-file"] {
          #expect(!seen.contains(secret), "\(secret)")
        }
      }
      await receiver.remove()
    }
  }
}
