// SPDX-License-Identifier: Apache-2.0
import AsteriskTestKit
import AudioForkTestKit
import Foundation
import Testing

extension IntegrationTests {
  @Suite("Formats, stereo and volume", .serialized)
  struct FormatTests {
    /// Path at the receiver and options of each fork. All of them run at once, on one channel.
    static let forks = [
      ("in", "D(in)"), ("out", "D(out)"), ("ulaw", "D(out)f(ulaw)"), ("alaw", "D(in)f(alaw)"),
      ("slin12", "D(out)f(slin12)"), ("slin16", "D(out)f(slin16)"), ("slin44", "D(out)f(slin44)"),
      ("slin48", "D(out)f(slin48)"), ("stereo", "D(stereo)"), ("stereo-n", "D(stereo)n"),
      ("stereo-alaw", "D(stereo)f(alaw)"), ("louder", "D(in)v(4)"), ("softer", "D(out)V(-3)"),
      ("both", "D(stereo)W(1)"), ("apart", "D(stereo)v(-1)V(2)"), ("without", "D(in)V(4)"),
    ]

    /// What a party says and hears: known samples, and at the end of what it hears a tone.
    struct Call {
      let receiver: Receiver
      let said = KnownSignal(seed: 21, seconds: 2).awayFromSilence
      let heard = KnownSignal(seed: 22, seconds: 2).awayFromSilence

      /// Makes the call and checks the recordings when all forks have ended.
      static func with(_ release: AsteriskRelease, _ check: (Call) throws -> Void) async throws {
        let call = Call(receiver: try await Receiver())
        let lines = forks.map { " same => n,AudioFork(\(call.receiver.url($0.0)),\($0.1))" }
        try await Sandbox.with(
          release,
          dialplan: """
            [test]
            exten => a,1,Answer()
            \(lines.joined(separator: "\n"))
             same => n,Playback(${SOUNDS}/heard)
             same => n,Wait(0.5)
             same => n,Playback(${SOUNDS}/tone)
             same => n,StopAudioFork()
             same => n,Wait(0.5)
            exten => b,1,Answer()
             same => n,Wait(1.5)
             same => n,Playback(${SOUNDS}/said)
             same => n,Wait(30)
            """
        ) { sandbox in
          _ = try sandbox.sound("said", call.said.samples)
          _ = try sandbox.sound("heard", call.heard.samples)
          _ = try sandbox.sound("tone", tone(seconds: 2))
          try await sandbox.cli("dialplan set global SOUNDS \(sandbox.folder.path)")
          try await sandbox.call("a", "b")
          #expect(await call.receiver.ended(forks.count, within: 30))
          try check(call)
          #expect(call.receiver.events("ended").allSatisfy { $0.code == 1000 })
          #expect(sandbox.logLines() == [])
        }
        await call.receiver.remove()
      }

      /// The audible samples of the recording, up to the tone.
      func audible(_ path: String, channel: Int = 0, silence: Set<Int16> = [0], count: Int) throws -> [Int16] {
        Array(try receiver.recording(path: path, channel: channel).lazy.filter { !silence.contains($0) }.prefix(count))
      }
    }

    static let toneHertz = 1000.0
    static let toneAmplitude = 8000.0

    static func tone(seconds: Int) -> [Int16] {
      (0..<seconds * 8000).map { Int16(toneAmplitude * sin(2 * .pi * toneHertz * (Double($0) + 0.5) / 8000)) }
    }

    /// Amplitude of the tone in the samples, and what is left when it is taken out (root mean square).
    static func toneParts(_ samples: ArraySlice<Int16>, rate: Int) -> (amplitude: Double, rest: Double) {
      var (cosine, sine, energy) = (0.0, 0.0, 0.0)
      for (index, sample) in samples.enumerated() {
        let angle = 2 * .pi * toneHertz * Double(index) / Double(rate)
        cosine += Double(sample) * cos(angle)
        sine += Double(sample) * sin(angle)
        energy += Double(sample) * Double(sample)
      }
      let count = Double(samples.count)
      let amplitude = 2 * (cosine * cosine + sine * sine).squareRoot() / count
      return (amplitude, max(0, energy / count - amplitude * amplitude / 2).squareRoot())
    }

    @Test("Many forks of one call, each in its format", arguments: AsteriskRelease.tested)
    func formats(release: AsteriskRelease) async throws {
      try await Call.with(release) { call in
        #expect(try call.said.range(in: call.receiver.recording(path: "in")) == 0..<call.said.samples.count)
        #expect(try call.audible("out", count: call.heard.samples.count) == call.heard.samples)
        try checkG711(call)
        for (path, rate) in [("slin12", 12_000), ("slin16", 16_000), ("slin44", 44_100), ("slin48", 48_000)] {
          try checkRate(call, path, rate)
        }
        try checkStereo(call)
        try checkVolume(call)
      }
    }

    @Test("Headers and parameters reach the server as they were given", arguments: AsteriskRelease.tested)
    func headers(release: AsteriskRelease) async throws {
      let server = try ChildProcess(
        "/usr/bin/python3", [Checkout.root.appending(path: "Testing/Fixtures/header-server.py").path])
      let line = try #require(await server.line(within: 10) { $0.hasPrefix("listening on ") }, "\(server.lines)")
      let port = try #require(line.split(separator: " ").last)
      try await Sandbox.with(
        release,
        dialplan: """
          [test]
          exten => a,1,Answer()
           same => n,AudioFork(ws://u:pw@127.0.0.1:\(port)/one?x=1,D(stereo)f(slin16)\
          H(X-Call: 50% of two  words&x-key:a=b)s(tenant=blue sky&note=a%26b%25))
           same => n,AudioFork(ws://u:pw@127.0.0.1:\(port)/two,D(in)f(alaw)H(Authorization: Bearer t0ken.x==))
           same => n,Wait(30)
          exten => b,1,Answer()
           same => n,Wait(30)
          """
      ) { sandbox in
        try await sandbox.call("a", "b")
        let came = await becomesTrue(within: 15) { server.lines.count { $0.hasPrefix("request ") } >= 2 }
        #expect(came, "\(server.lines)")
        let heads = server.lines.compactMap { line in
          Data(base64Encoded: String(line.dropFirst("request ".count))).map { String(decoding: $0, as: UTF8.self) }
        }
        let one = try #require(heads.first { $0.hasPrefix("GET /one?x=1 HTTP/1.1\r\n") })
        for field in [
          "X-Call: 50% of two  words", "x-key: a=b", "AudioFork-Parameters: tenant=blue%20sky&note=a%26b%25",
          "AudioFork-Direction: stereo", "AudioFork-Format: slin16", "AudioFork-Rate: 16000", "AudioFork-Channels: 2",
          "Authorization: Basic dTpwdw==", "Sec-WebSocket-Protocol: echo",
        ] { #expect(one.contains("\r\n\(field)\r\n"), "\(field) is not in \(one)") }
        let two = try #require(heads.first { $0.hasPrefix("GET /two HTTP/1.1\r\n") })
        for field in [
          "Authorization: Bearer t0ken.x==", "AudioFork-Direction: in", "AudioFork-Format: alaw",
          "AudioFork-Rate: 8000",
          "AudioFork-Channels: 1",
        ] { #expect(two.contains("\r\n\(field)\r\n"), "\(field) is not in \(two)") }
        #expect(!two.contains("Basic") && !two.contains("AudioFork-Parameters"))
        // Both forks end with the server's answer; what may be a secret stands in no log.
        let ended = await becomesTrue(within: 10) { sandbox.logLines(["ERROR"], containing: "http: 403").count == 2 }
        #expect(ended, "\(sandbox.logLines())")
        for secret in ["t0ken", "pw@", "dTpwdw", "blue sky"] {
          #expect(sandbox.logLines(containing: secret) == [])
        }
      }
      await server.end()
    }

    /// Each sample of what came is one of the law's values, at most half a step from the one that was said.
    private func checkG711(_ call: Call) throws {
      let mu = try call.audible("ulaw", count: call.heard.samples.count)
      #expect(mu.count == call.heard.samples.count)
      for (was, sample) in zip(call.heard.samples, mu) {
        let biased = min(Int(was.magnitude), 32_635) + 132
        let step = 8 << (Int.bitWidth - 8 - biased.leadingZeroBitCount)
        #expect(
          abs(Int(sample) - Int(was)) <= max(step / 2, Int(was.magnitude) - 32_124), "µ-law \(was) came as \(sample)")
        #expect((Int(sample.magnitude) + 132) % (step / 2) == 0, "\(sample) is no µ-law value")
        if (Int(sample) != Int(was)) && abs(Int(sample) - Int(was)) > 1024 { return }
      }
      // A-law has no zero: silence is 8.
      let a = try call.audible("alaw", silence: [8], count: call.said.samples.count + 1)
      #expect(a.count == call.said.samples.count)
      for (was, sample) in zip(call.said.samples, a) {
        let step = 16 << max(0, Int.bitWidth - 1 - Int(was.magnitude).leadingZeroBitCount - 8)
        #expect(
          abs(Int(sample) - Int(was)) <= max(step / 2, Int(was.magnitude) - 32_256) + 1,
          "A-law \(was) came as \(sample)")
        if abs(Int(sample) - Int(was)) > 1025 { return }
      }
      #expect(call.receiver.events("started", path: "ulaw").first?.rate == 8000)
      #expect(call.receiver.events("started", path: "alaw").first?.channels == 1)
    }

    /// The tone is the same tone at every rate, and lasts as long.
    private func checkRate(_ call: Call, _ path: String, _ rate: Int) throws {
      let started = try #require(call.receiver.events("started", path: path).first)
      #expect(started.rate == rate && started.channels == 1)
      let recording = try call.receiver.recording(path: path)
      let end = try #require(recording.lastIndex { $0.magnitude > 4000 }) + 1
      #expect(end > 3 * rate)
      guard end > 3 * rate else { return }
      let (amplitude, rest) = Self.toneParts(recording[(end - rate * 7 / 4)..<(end - rate / 4)], rate: rate)
      #expect(abs(amplitude - Self.toneAmplitude) < 80, "\(path): amplitude \(amplitude)")
      #expect(rest < 80, "\(path): \(rest) beside the tone")
      // The recording of the same call at 8 kHz, from its first sound to its last, took as long.
      let plain = try call.receiver.recording(path: "out")
      let (first, last) = (
        try #require(plain.firstIndex { $0 != 0 }), try #require(plain.lastIndex { $0.magnitude > 4000 })
      )
      let begin = try #require(recording.firstIndex { $0.magnitude > 500 })
      #expect(abs(Double(end - begin) / Double(rate) - Double(last + 1 - first) / 8000) < 0.05)
    }

    /// In is left, out is right, on one clock.
    private func checkStereo(_ call: Call) throws {
      let count = call.heard.samples.count
      for path in ["stereo", "stereo-n"] {
        #expect(call.receiver.events("started", path: path).first?.channels == 2)
        #expect(try call.audible(path, channel: 0, count: .max) == call.said.samples)
        #expect(try call.audible(path, channel: 1, count: count) == call.heard.samples)
      }
      let left = try call.receiver.recording(path: "stereo", channel: 0)
      let right = try call.receiver.recording(path: "stereo", channel: 1)
      #expect(left.count == right.count)
      // The party begins 1.5 s after its answer, the prompt half a second after (Answer() waits that long for audio).
      let apart = try #require(left.firstIndex { $0 != 0 }) - #require(right.firstIndex { $0 != 0 })
      #expect((6400...9600).contains(apart), "in begins \(apart) samples after out")
      // Without fill the same frames come, but for those in which nobody was heard.
      let silent = zip(left, right).count { $0 == 0 && $1 == 0 }
      let without = try call.receiver.recording(path: "stereo-n", channel: 0)
      #expect(without.count < left.count)
      // The forks began at different moments, so what overlaps may differ by a frame.
      #expect(without.count >= left.count - silent - 320)
      let withoutRight = try call.receiver.recording(path: "stereo-n", channel: 1)
      let apartWithout = try #require(without.firstIndex { $0 != 0 }) - #require(withoutRight.firstIndex { $0 != 0 })
      #expect(abs(apartWithout - apart) <= 320)
      let both = try call.audible("stereo-alaw", channel: 1, silence: [8], count: count)
      #expect(both.count == count)
      #expect(zip(both, call.heard.samples).allSatisfy { abs(Int($0) - Int($1)) <= 513 })
    }

    /// Doubled and halved exactly, saturated at the ends, in the direction that the option names and no other.
    private func checkVolume(_ call: Call) throws {
      let (said, heard) = (call.said, call.heard)
      #expect(try call.audible("louder", count: .max) == said.at { $0 * 16 }.samples)
      let softer = heard.at { $0 / 8 }.samples
      #expect(try call.audible("softer", count: softer.count) == softer)
      #expect(try call.audible("without", count: .max) == said.samples)
      #expect(try call.audible("both", channel: 0, count: .max) == said.at { $0 * 2 }.samples)
      #expect(try call.audible("both", channel: 1, count: heard.samples.count) == heard.at { $0 * 2 }.samples)
      #expect(try call.audible("apart", channel: 0, count: .max) == said.at { $0 / 2 }.samples)
      #expect(try call.audible("apart", channel: 1, count: heard.samples.count) == heard.at { $0 * 4 }.samples)
    }
  }
}
