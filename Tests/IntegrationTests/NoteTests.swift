// SPDX-License-Identifier: Apache-2.0
import AsteriskTestKit
import Foundation
import Testing

extension IntegrationTests {
  @Suite("What audiofork.v1 tells a server besides the audio", .serialized)
  struct NoteTests {
    private typealias Scene = LifetimeScene
    private static let common: Set<String> = ["event", "stream", "id"]

    /// Both directions sound most of the time, so that the place of a digit is that of its moment, and not of the fill
    /// that waits for a silence to end.
    private static func dialplan(_ receiver: Receiver) -> String {
      """
      exten => a,1,Answer()
       same => n,AudioFork(\(receiver.url("notes")),D(stereo)w(audiofork))
       same => n,Dial(Local/party@test/n)
      exten => party,1,Answer()
       same => n,Playback(${SOUNDS}/second)
       same => n,SendDTMF(7,100,250)
       same => n,Playback(${SOUNDS}/heard)
       same => n,Wait(60)
      exten => speaker,1,Answer()
       same => n,Wait(4)
       same => n,SendDTMF(5#,500,200)
       same => n,Playback(${SOUNDS}/spoken)
       same => n,Wait(60)
      """
    }

    @Test(
      "Digits of both parties, and what was muted and what is fill, with their places",
      arguments: AsteriskRelease.tested)
    func digitsAndMutes(release: AsteriskRelease) async throws {
      let heard = KnownSignal(seed: 95, seconds: 30)
      let spoken = KnownSignal(seed: 96, seconds: 30)
      try await Scene.with(release, dialplan: { Self.dialplan($0) }) { scene in
        _ = try scene.sandbox.sound("heard", heard.samples)
        _ = try scene.sandbox.sound("spoken", spoken.samples)
        try await scene.sandbox.call("a", "speaker")
        let start = try #require(await scene.manager.event(named: "AudioForkStart"))
        let (channel, id) = try (#require(start["Channel"]), #require(start["AudioForkID"]))
        func told(_ kind: String) -> [ToldLine] { ToldLine.all(kind, of: id, in: scene.receiver.lines) }
        // Channel 0 is in, 1 is out.
        func recorded(_ place: Int) -> [Int16] { (try? scene.receiver.recording(path: "notes", channel: place)) ?? [] }
        func sounding(_ place: Int) -> Int { recorded(place).count { $0 != 0 } }
        #expect(await becomesTrue(within: 20) { sounding(0) >= 8000 })

        for (direction, place) in [("read", 0), ("write", 1)] {
          func mute(_ state: String) async throws {
            try await scene.act(
              "AudioForkMute",
              [("Channel", channel), ("AudioForkID", id), ("Direction", direction), ("State", state)])
          }
          try await mute("on")
          let muted = recorded(place).count
          #expect(await becomesTrue(within: 8) { recorded(place).count >= muted + 8000 })
          try await mute("off")
          let before = sounding(place)
          #expect(await becomesTrue(within: 8) { sounding(place) >= before + 4000 })
        }
        try await scene.sandbox.cli("channel request hangup all")
        await scene.expectOneConnectionEach(["notes"])
        let stop = try #require(await scene.manager.event(named: "AudioForkStop", within: 10))

        try expectDigits(told("dtmf"), in: recorded(0), out: recorded(1))
        let played = KnownSignal(Scene.second.samples + heard.samples)
        for (direction, place, signal) in [("in", 0, spoken), ("out", 1, played)] {
          try expectMute(told("mute").filter { $0.texts["direction"] == direction }, in: recorded(place), signal)
          expectSilence(told("fill").filter { $0.texts["direction"] == direction }, in: recorded(place))
        }
        #expect(told("fill").reduce(0) { $0 + $1.range("position", "frames").count } == Int(stop["Fill"] ?? ""))
        #expect(told("stop").map { $0.numbers["position"] } == [recorded(0).count])
        #expect(told("stop").first?.texts["reason"] == "ended")
        #expect(told("gap").isEmpty && told("unknown").isEmpty)
      }
    }

    @Test(
      "No digit of a muted direction reaches the server, nor any digit of a profile with digits = no",
      arguments: AsteriskRelease.tested)
    func mutedDigits(release: AsteriskRelease) async throws {
      let dialplan = { (receiver: Receiver) in
        """
        exten => a,1,Answer()
         same => n,AudioFork(\(receiver.url("notes")),D(stereo)w(audiofork))
         same => n,AudioFork(quiet)
         same => n,Wait(60)
        """
      }
      try await Scene.with(release, dialplan: dialplan) { scene in
        let file = scene.sandbox.folder.appending(path: "etc/audiofork.conf")
        let quiet = "\n[quiet]\nurl = \(scene.receiver.url("quiet"))\ndialect = audiofork\ndigits = no\n"
        try (String(contentsOf: file, encoding: .utf8) + quiet).write(to: file, atomically: true, encoding: .utf8)
        try await scene.sandbox.cli("module reload app_audiofork.so")
        try await scene.sandbox.call("a", "first")
        for path in ["notes", "quiet"] { #expect(await scene.receiver.started(1, path: path, within: 10)) }
        let channel = try await scene.channel("Local/a@test")
        func told() -> [String] {
          ["notes", "quiet"].flatMap { path in
            scene.receiver.events("started", path: path).compactMap(\.id).flatMap { id in
              ToldLine.all("dtmf", of: id, in: scene.receiver.lines).compactMap { $0.texts["digit"] }
            }
          }
        }
        func press(_ digits: String) async throws {
          for digit in digits.map(String.init) {
            let before = scene.manager.events(named: "DTMFEnd").count
            try await scene.act("PlayDTMF", [("Channel", channel), ("Digit", digit), ("Receive", "true")])
            #expect(await becomesTrue(within: 5) { scene.manager.events(named: "DTMFEnd").count > before }, "\(digit)")
          }
          // What a hook is told of an end that Asterisk delays comes after the event.
          try await Task.sleep(for: .milliseconds(300))
        }
        func mute(_ state: String) async throws {
          try await scene.act("AudioForkMute", [("Channel", channel), ("Direction", "both"), ("State", state)])
        }
        try await press("9")
        #expect(await becomesTrue(within: 5) { told() == ["9"] }, "\(told())")
        try await mute("on")
        try await press("4111")
        try await mute("off")
        // A digit that may have been pressed before this moment still counts as muted.
        try await Task.sleep(for: .milliseconds(1200))
        try await press("8")
        #expect(await becomesTrue(within: 5) { told().last == "8" })
        #expect(told() == ["9", "8"])
      }
    }

    /// The speaker pressed 5 and # before it spoke, 700 ms apart; the party 7 between its two signals.
    private func expectDigits(_ digits: [ToldLine], in spoken: [Int16], out played: [Int16]) throws {
      let keys = Self.common.union(["direction", "position", "digit", "milliseconds"])
      for digit in digits { #expect(digit.keys == keys, "\(digit)") }
      let pressed = digits.filter { $0.texts["direction"] == "in" }
      let sent = digits.filter { $0.texts["direction"] == "out" }
      #expect(pressed.map { $0.texts["digit"] } == ["5", "#"])
      #expect(sent.map { $0.texts["digit"] } == ["7"])
      #expect(digits.count == 3)
      for (digit, length) in pressed.map({ ($0, 200) }) + sent.map({ ($0, 250) }) {
        let milliseconds = digit.numbers["milliseconds"] ?? 0
        #expect((length - 40...length + 100).contains(milliseconds), "\(digit)")
      }

      let places = pressed.compactMap { $0.numbers["position"] }
      try #require(places.count == 2)
      #expect((3200...12_000).contains(places[1] - places[0]), "\(places)")
      let begin = try #require(spoken.firstIndex { $0 != 0 })
      #expect(places[1] <= begin && places[1] >= begin - 12_000, "\(places), and the party speaks from \(begin) on")
      let sounds = played.indices.filter { played[$0] != 0 }
      try #require(sounds.count > Scene.second.samples.count)
      let (end, next) = (sounds[Scene.second.samples.count - 1], sounds[Scene.second.samples.count])
      let place = try #require(sent.first?.numbers["position"])
      #expect((end - 3200...next).contains(place), "7 at \(place), between signals at \(end) and \(next)")
    }

    /// What is told as muted is what the recording lacks of the signal, and zeros stand there.
    private func expectMute(_ mutes: [ToldLine], in recording: [Int16], _ signal: KnownSignal) throws {
      expectSilence(mutes, in: recording)
      let parts = try runs(of: recording, signal)
      #expect(parts.first?.range.lowerBound == 0)
      let missing = zip(parts, parts.dropFirst()).reduce(0) { $0 + $1.1.range.lowerBound - $1.0.range.upperBound }
      #expect(missing >= 4000)
      #expect(mutes.reduce(0) { $0 + $1.range("position", "frames").count } == missing, "\(mutes)")
    }

    /// Each of the ranges lies in the recording, behind the one before it, and is silent.
    private func expectSilence(_ ranges: [ToldLine], in recording: [Int16]) {
      let keys = Self.common.union(["direction", "position", "frames"])
      var end = 0
      for line in ranges {
        #expect(line.keys == keys, "\(line)")
        let range = line.range("position", "frames")
        #expect(!range.isEmpty && range.lowerBound >= end && range.upperBound <= recording.count, "\(line), \(end)")
        #expect(recording[range.clamped(to: recording.indices)].allSatisfy { $0 == 0 }, "\(line)")
        end = range.upperBound
      }
    }

    @Test(
      "Gaps, exactly as they are missing and as the manager interface tells them",
      arguments: AsteriskRelease.tested)
    func gaps(release: AsteriskRelease) async throws {
      let signal = KnownSignal(seed: 97, seconds: 12)
      try await DeliveryScene.with(release, hearing: signal, general: "buffer = 1\n") { scene in
        let fork = try #require(scene.forks.first { $0.dialect == .v1 })
        #expect(await scene.isCaptured(16_000))
        #expect(await scene.hasArrived(8000))
        try await scene.server.leave(by: SIGTERM)
        let moment = try scene.moment()
        // Four seconds, and the ring holds two at most.
        #expect(await scene.isCaptured((moment.captured.max() ?? 0) + 32_000))
        try await scene.server.comeBack()
        let stop = try await scene.stop(of: fork)
        #expect(await scene.isOver(fork))

        let told = scene.told("gap", of: fork)
        var missing = IndexSet()
        let keys = Self.common.union(["direction", "position", "start", "samples", "reason"])
        for gap in told {
          #expect(gap.keys == keys, "\(gap)")
          #expect(gap.texts["direction"] == "out" && gap.texts["reason"] == "overrun", "\(gap)")
          missing.insert(integersIn: gap.range("start", "samples"))
        }
        var reported = IndexSet()
        for event in scene.manager.events(named: "AudioForkGap") where event["AudioForkID"] == fork.id {
          let (start, count) = try (#require(Int(event["Start"] ?? "")), #require(Int(event["Count"] ?? "")))
          reported.insert(integersIn: start..<(start + count))
        }
        #expect(missing.count >= 8000)
        #expect(missing == reported)
        #expect(stop["Lost"] == "\(missing.count)", "\(stop)")

        let recordings = try scene.server.recordings(fork.path)
        #expect(recordings.count == 1)
        let recording = try #require(recordings.first)
        let expected = signal.samples.indices.filter { !missing.contains($0) }.map { signal.samples[$0] }
        #expect(difference(recording.filter { $0 != 0 }, expected) == nil)
        for gap in told {
          let (position, start) = try (#require(gap.numbers["position"]), #require(gap.numbers["start"]))
          // The place of the block in which it is: what was captured before it stands before it, or in the block.
          let before = recording.prefix(position).count { $0 != 0 }
          let due = start - missing.count(in: 0..<start)
          #expect((0...160).contains(due - before), "\(gap): \(before) samples stand before it, not \(due)")
        }
        #expect(scene.told("stop", of: fork).last?.numbers["position"] == recording.count)
      }
    }
  }
}
