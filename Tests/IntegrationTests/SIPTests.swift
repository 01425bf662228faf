// SPDX-License-Identifier: Apache-2.0
import AsteriskTestKit
import AudioForkCore
import Foundation
import Testing

extension KnownSignal {
  /// What is left of the signal after G.711 A-law. None of its codes is zero.
  var throughALaw: KnownSignal { at { Int(G711.linear(aLaw: G711.aLaw(Int16(clamping: $0)))) } }
  var inMuLaw: [UInt8] { samples.map { G711.muLaw($0) } }
  var inALaw: [UInt8] { samples.map { G711.aLaw($0) } }

  /// This part of the signal.
  subscript(seconds: Range<Int>) -> KnownSignal { KnownSignal(Array(samples[(seconds.lowerBound * 8000)..<(seconds.upperBound * 8000)])) }
}

extension IntegrationTests {
  @Suite("Telephones with SIP and RTP", .serialized)
  struct SIPTests {
    private static let said = KnownSignal(seed: 81, seconds: 4)
    private static let heard = KnownSignal(seed: 82, seconds: 8).throughMuLaw
    private static let held = KnownSignal(seed: 83, seconds: 10).throughMuLaw

    /// A sandbox that telephones can call, in the context `phones`.
    private func with(
      _ release: AsteriskRelease, _ dialplan: (Receiver) -> String,
      _ body: (Sandbox, Receiver, ManagerConnection, (String, [SIPPhone.Step]) throws -> SIPPhone) async throws -> Void
    ) async throws {
      let receiver = try await Receiver()
      try await Sandbox.with(release, dialplan: "[phones]\n" + dialplan(receiver)) { sandbox in
        let etc = sandbox.folder.appending(path: "etc")
        try "[anonymous]\ntype=endpoint\ncontext=phones\ndisallow=all\nallow=ulaw,alaw,g722\ndirect_media=no\n"
          .write(to: etc.appending(path: "pjsip-test.conf"), atomically: true, encoding: .utf8)
        try await sandbox.cli("module reload res_pjsip.so")
        let music = sandbox.folder.appending(path: "music")
        try FileManager.default.createDirectory(at: music, withIntermediateDirectories: true)
        try "[default]\nmode=files\ndirectory=\(music.path)\n"
          .write(to: etc.appending(path: "musiconhold.conf"), atomically: true, encoding: .utf8)
        for (name, signal) in [("heard", Self.heard), ("music/held", Self.held)] { _ = try sandbox.sound(name, signal.samples) }
        try await sandbox.cli("module load res_convert.so")
        try await sandbox.cli("moh reload")
        try await sandbox.cli("dialplan set global SOUNDS \(sandbox.folder.path)")
        let manager = try await ManagerConnection(sandbox)
        let port = try #require(sandbox.facts["sip_port"])
        try await body(sandbox, receiver, manager) { try SIPPhone(calling: $0, at: port, $1) }
        #expect(sandbox.logLines() == [])
        #expect(sandbox.engines().count == 1)
        #expect(await becomesTrue(within: 5) { sandbox.runFiles().allSatisfy { !$0.contains(".") } })
      }
      await receiver.remove()
    }

    private static func answering(_ name: String, _ receiver: Receiver, _ options: String = "D(stereo)") -> String {
      """
      exten => \(name),1,Answer()
       same => n,AudioFork(\(receiver.url(name)),\(options))
       same => n,Playback(${SOUNDS}/heard)
       same => n,Wait(60)

      """
    }

    /// Speaks after the first answer, until the call is over.
    private func converse(_ phone: SIPPhone, _ speech: RTPSpeech) async throws {
      await phone.audio.send(speech, to: try await phone.answer())
      #expect(await phone.ended(), "\(phone.problems)")
    }

    @Test("G.711, both laws: each direction arrives bit for bit, and the telephone hears what it should", arguments: AsteriskRelease.tested)
    func laws(release: AsteriskRelease) async throws {
      try await with(release, { Self.answering("mulaw", $0) + Self.answering("alaw", $0) }) { _, receiver, _, call in
        for (name, codec) in [("mulaw", SIPPhone.Codec.muLaw), ("alaw", .aLaw)] {
          let isMuLaw = codec.payloadType == 0
          let said = isMuLaw ? Self.said.throughMuLaw : Self.said.throughALaw
          let phone = try call(name, [.offer(codec), .pause(milliseconds: 5000)])
          var speech = RTPSpeech()
          speech.say(isMuLaw ? said.inMuLaw : said.inALaw, type: codec.payloadType)
          try await converse(phone, speech)
          #expect(await receiver.ended(1, path: name, within: 8))
          #expect(try said.range(in: receiver.recording(path: name, channel: 0)) == said.samples.indices)
          let out = try #require(Self.heard.range(in: receiver.recording(path: name, channel: 1)))
          #expect(out.lowerBound == 0 && out.count > 4 * 8000)
          // The call itself: what the fork heard is what the telephone got.
          let arrived = phone.audio.arrived.filter { $0.payloadType == codec.payloadType }.flatMap(\.payload)
          let expected = Self.heard.samples.prefix(4 * 8000).map { isMuLaw ? G711.muLaw($0) : G711.aLaw($0) }
          #expect(arrived.starts(with: expected))
          #expect(receiver.events("started", path: name).count == 1)
          await phone.remove()
        }
      }
    }

    /// Amplitude of a tone in the samples.
    private func amplitude(_ hertz: Double, _ samples: some Collection<Int16>, rate: Double) -> Double {
      var (cosine, sine) = (0.0, 0.0)
      for (index, sample) in samples.enumerated() {
        let angle = 2 * .pi * hertz * Double(index) / rate
        cosine += Double(sample) * cos(angle)
        sine += Double(sample) * sin(angle)
      }
      return 2 * (cosine * cosine + sine * sine).squareRoot() / Double(samples.count)
    }

    /// G.722 of a tone at 8000 of 32767, made by the sandbox's Asterisk. Leaves the tone itself beside it, for Playback.
    private func wideTone(_ hertz: Double, seconds: Int, _ sandbox: Sandbox) async throws -> [UInt8] {
      let name = sandbox.folder.appending(path: "tone-\(Int(hertz))").path
      let samples = (0..<(seconds * 16_000)).map { Int16(8000 * sin(2 * .pi * hertz * (Double($0) + 0.5) / 16_000)) }
      try samples.withUnsafeBytes { Data($0) }.write(to: URL(fileURLWithPath: name + ".sln16"))
      try await sandbox.cli("file convert \(name).sln16 \(name).g722")
      return try Array(Data(contentsOf: URL(fileURLWithPath: name + ".g722")))
    }

    @Test("G.722 is forked at 16 kHz, with what only wideband has", arguments: AsteriskRelease.tested)
    func wideband(release: AsteriskRelease) async throws {
      let plan = { (receiver: Receiver) in
        """
        exten => wide,1,Answer()
         same => n,AudioFork(\(receiver.url("wide")),D(stereo)f(slin16))
         same => n,Playback(${SOUNDS}/tone-6000)
         same => n,Wait(60)
        """
      }
      try await with(release, plan) { sandbox, receiver, manager, call in
        let said = try await wideTone(5000, seconds: 3, sandbox)
        _ = try await wideTone(6000, seconds: 3, sandbox)
        #expect(said.count == 3 * 8000)
        let phone = try call("wide", [.offer(.g722), .pause(milliseconds: 3500)])
        var speech = RTPSpeech()
        speech.say(said, type: 9)
        try await converse(phone, speech)
        #expect(await receiver.ended(1, path: "wide", within: 8))
        let started = try #require(receiver.events("started").first)
        #expect(started.rate == 16_000 && started.channels == 2)
        for (channel, hertz, other) in [(0, 5000.0, 3000.0), (1, 6000.0, 2000.0)] {
          let recording = try receiver.recording(path: "wide", channel: channel)
          let first = try #require(recording.firstIndex { abs(Int($0)) > 1000 })
          let middle = recording[(first + 8000)..<(first + 24_000)]
          #expect(abs(amplitude(hertz, middle, rate: 16_000) - 8000) < 800)
          // Where it would be had it gone through 8 kHz.
          #expect(amplitude(other, middle, rate: 16_000) < 200)
        }
        await phone.remove()
      }
    }

    @Test("Hold and unhold by re-INVITE: one stream, silence and music in their time, nothing lost", arguments: AsteriskRelease.tested)
    func hold(release: AsteriskRelease) async throws {
      let said = Self.said.throughMuLaw
      let plan = { (receiver: Receiver) in
        """
        exten => hold,1,Answer()
         same => n,AudioFork(\(receiver.url("in")),D(in))
         same => n,AudioFork(\(receiver.url("out")),D(out))
         same => n,Dial(Local/callee@phones,20,b(phones^leg^1))
        exten => leg,1,AudioFork(\(receiver.url("leg")),D(out))
         same => n,Return()
        exten => callee,1,Answer()
         same => n,Playback(${SOUNDS}/heard)
         same => n,Wait(60)
        """
      }
      try await with(release, plan) { _, receiver, manager, call in
        let phone = try call(
          "hold",
          [
            .offer(.muLaw), .pause(milliseconds: 3000), .offer(.muLaw, direction: "inactive"), .pause(milliseconds: 2000), .offer(.muLaw),
            .pause(milliseconds: 3000),
          ])
        let (before, after) = (said[0..<2], said[2..<4])
        var speech = RTPSpeech()
        speech.say(before.inMuLaw, type: 0)
        let port = try await phone.answer()
        // The other leg answers too before it hears anything.
        #expect(await receiver.started(1, path: "leg", within: 5))
        try await Task.sleep(for: .milliseconds(300))
        let began = ContinuousClock.now
        await phone.audio.send(speech, to: port)
        let again = try await phone.answer(3)
        speech = RTPSpeech(after: speech, silentFor: began.duration(to: .now))
        speech.say(after.inMuLaw, type: 0)
        await phone.audio.send(speech, to: again)
        #expect(await phone.ended(), "\(phone.problems)")
        for path in ["in", "out", "leg"] {
          #expect(await receiver.ended(1, path: path, within: 8))
          #expect(receiver.events("started", path: path).count == 1)
        }
        let runs = try runs(of: receiver.recording(path: "in"), said)
        #expect(runs.reduce(0) { $0 + $1.range.count } == said.samples.count, "\(runs)")
        let pause = try #require(runs.first { $0.range.upperBound == before.samples.count })
        #expect((2 * 8000...4 * 8000).contains(pause.zeros), "\(pause)")
        let heard = try pieces(of: receiver.recording(path: "leg"), [before, Self.held, after])
        #expect(heard[0] == before.samples.indices && heard[2] == after.samples.indices)
        #expect(heard[1].count > 8000)
        let out = try #require(Self.heard.range(in: receiver.recording(path: "out")))
        #expect(out.count > 5 * 8000)
        #expect(manager.events(named: "Hold").count == 1 && manager.events(named: "Unhold").count == 1)
        for stop in manager.events(named: "AudioForkStop") { #expect(stop["Lost"] == "0") }
        await phone.remove()
      }
    }

    @Test("A codec that changes in mid-call, to the other law and to wideband", arguments: AsteriskRelease.tested)
    func codecChange(release: AsteriskRelease) async throws {
      let plan = { (receiver: Receiver) in
        """
        exten => law,1,Answer()
         same => n,AudioFork(\(receiver.url("law")),D(in))
         same => n,Wait(60)
        exten => rate,1,Answer()
         same => n,AudioFork(\(receiver.url("rate")),D(in)f(slin16))
         same => n,Wait(3.3)
         same => n,Dial(Local/quiet@phones)
        exten => quiet,1,Answer()
         same => n,Wait(60)
        """
      }
      try await with(release, plan) { sandbox, receiver, manager, call in
        let (first, spoken) = (Self.said[0..<2].throughMuLaw, Self.said[2..<4].throughALaw)
        // Until a bridge chooses the channel's format anew, Asterisk goes on reading µ-law and translates into that.
        let second = spoken.throughMuLaw
        let tone = try await wideTone(5000, seconds: 2, sandbox)
        for (name, codec, bytes) in [("law", SIPPhone.Codec.aLaw, spoken.inALaw), ("rate", .g722, tone)] {
          let phone = try call(name, [.offer(.muLaw), .pause(milliseconds: 2500), .offer(codec), .pause(milliseconds: 3000)])
          var speech = RTPSpeech()
          speech.say(first.inMuLaw, type: 0)
          let began = ContinuousClock.now
          await phone.audio.send(speech, to: try await phone.answer())
          let port = try await phone.answer(2)
          speech = RTPSpeech(after: speech, silentFor: began.duration(to: .now))
          speech.say(bytes, type: codec.payloadType)
          await phone.audio.send(speech, to: port)
          #expect(await phone.ended(), "\(phone.problems)")
          #expect(await receiver.ended(1, path: name, within: 8))
          #expect(receiver.events("started", path: name).count == 1)
          await phone.remove()
        }
        let laws = try pieces(of: receiver.recording(path: "law"), [first, second])
        #expect(laws == [first.samples.indices, second.samples.indices])
        // The other one comes to the fork at 16 kHz in the end: a tone of 5 kHz could not at 8.
        let wide = try receiver.recording(path: "rate")
        let last = try #require(wide.lastIndex { abs(Int($0)) > 1000 })
        try #require(last > 40_000)
        #expect(abs(amplitude(5000, wide[(last - 14_000)..<(last - 2000)], rate: 16_000) - 8000) < 800)
        let loudness = wide.prefix(32_000).reduce(0.0) { $0 + Double($1) * Double($1) } / 32_000
        #expect(loudness.squareRoot() > 3000, "what was said before the change")
        for stop in manager.events(named: "AudioForkStop") { #expect(stop["Lost"] == "0") }
      }
    }

    @Test("A digit by RFC 4733 is a digit for Asterisk, and in the stream a pause of its length", arguments: AsteriskRelease.tested)
    func digits(release: AsteriskRelease) async throws {
      let said = Self.said.throughMuLaw[0..<2]
      try await with(release, { Self.answering("digit", $0, "D(in)") }) { _, receiver, manager, call in
        let phone = try call("digit", [.offer(.muLaw), .pause(milliseconds: 3500)])
        var speech = RTPSpeech()
        speech.say(Array(said.inMuLaw[..<8000]), type: 0)
        speech.press(5, type: SIPPhone.digits, milliseconds: 200)
        speech.say(Array(said.inMuLaw[8000...]), type: 0)
        try await converse(phone, speech)
        #expect(await receiver.ended(1, path: "digit", within: 8))
        let ends = manager.events(named: "DTMFEnd").filter { $0["Direction"] == "Received" }
        #expect(ends.map { $0["Digit"] } == ["5"])
        let runs = try runs(of: receiver.recording(path: "digit"), said)
        #expect(runs.reduce(0) { $0 + $1.range.count } == said.samples.count, "\(runs)")
        let pause = try #require(runs.first { $0.range.upperBound == 8000 }, "\(runs)")
        #expect((1280...1920).contains(pause.zeros), "\(pause)")
        await phone.remove()
      }
    }

    @Test("Lost packets leave silence of their length; packets that come late at once lose nothing", arguments: AsteriskRelease.tested)
    func network(release: AsteriskRelease) async throws {
      let said = Self.said.throughMuLaw
      let plan = { Self.answering("loss", $0, "D(in)") + Self.answering("burst", $0) }
      try await with(release, plan) { _, receiver, manager, call in
        let lost = [30..<31, 50..<53, 70..<71, 75..<76, 80..<90]
        for name in ["loss", "burst"] {
          let phone = try call(name, [.offer(.muLaw), .pause(milliseconds: 6000)])
          var speech = RTPSpeech()
          speech.say(said.inMuLaw, type: 0)
          if name == "loss" {
            speech.lose(Set(lost.joined()))
          } else {
            // A fifth of a second, and a whole one.
            speech.holdBack(30..<40)
            speech.holdBack(80..<130)
          }
          try await converse(phone, speech)
          #expect(await receiver.ended(1, path: name, within: 8))
          await phone.remove()
        }
        let runs = try runs(of: receiver.recording(path: "loss"), said)
        let holes = zip(runs, runs.dropFirst()).filter { $0.range.upperBound < $1.range.lowerBound }
        #expect(holes.map { $0.range.upperBound..<$1.range.lowerBound } == lost.map { $0.lowerBound * 160..<$0.upperBound * 160 })
        // A hole absorbs by how much the audio before it was late; within 80 ms it may.
        let absorbed = holes.map { $1.range.lowerBound - $0.range.upperBound - $0.zeros }
        #expect(absorbed.allSatisfy { $0 >= 0 } && absorbed.reduce(0, +) <= 640 && absorbed.filter { $0 == 0 }.count >= 3, "\(absorbed)")
        #expect(runs.last?.range.upperBound == said.samples.count)

        #expect(try said.range(in: receiver.recording(path: "burst", channel: 0)) == said.samples.indices)
        let out = try #require(Self.heard.range(in: receiver.recording(path: "burst", channel: 1)))
        #expect(out.lowerBound == 0 && out.count > 4 * 8000)

        let captured = said.samples.count - lost.joined().count * 160
        let stop = try #require(await manager.event(named: "AudioForkStop") { $0["Direction"] == "in" })
        #expect(stop["Captured"] == "\(captured)" && stop["Lost"] == "0" && stop["Gaps"] == "0")
        #expect(stop["Position"] == "\(try receiver.recording(path: "loss").count)")
        #expect(Int(stop["Fill"] ?? "") == Int(stop["Position"] ?? "").map { $0 - captured })
      }
    }
  }
}
