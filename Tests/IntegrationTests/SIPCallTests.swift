// SPDX-License-Identifier: Apache-2.0
import AsteriskTestKit
import AudioForkMedia
import Foundation
import Testing

extension IntegrationTests {
  @Suite("Calls over SIP and RTP", .serialized)
  struct SIPCallTests {
    @Test("A call in µ-law is forked sample by sample", arguments: AsteriskRelease.tested)
    func muLaw(release: AsteriskRelease) async throws { try await plain(release, .muLaw) }

    @Test("A call in A-law is forked sample by sample", arguments: AsteriskRelease.tested)
    func aLaw(release: AsteriskRelease) async throws { try await plain(release, .aLaw) }

    /// What the phone says is in, what it hears is out, and neither is in the other.
    private func plain(_ release: AsteriskRelease, _ codec: RTPCodec) async throws {
      let said = KnownSignal(seed: 71, seconds: 2).through(codec)
      let heard = KnownSignal(seed: 72, seconds: 2.5).through(codec)
      try await SIPScene.with(release) { scene in
        _ = try scene.sandbox.sound("heard", heard.samples)
        let ends = try await scene.call(codec) { phone in
          await phone.rtp.send(said.payload(codec), codec)
          #expect(await scene.isPlayed(heard.samples.count))
          #expect(difference(decoded(phone.rtp.receivedPayload(codec), codec), heard.samples) == nil)
          #expect(phone.rtp.received.allSatisfy { $0.payloadType == codec.rawValue })
        }
        for (path, channel, signal) in [("in", 0, said), ("stereo", 0, said), ("out", 0, heard), ("stereo", 1, heard)] {
          let recording = try scene.receiver.recording(path: path, channel: channel)
          let ranges = soundings(recording)
          #expect(ranges.count == 1, "/\(path) \(channel): \(ranges)")
          #expect(difference(recording[ranges.first ?? 0..<0], signal.samples) == nil, "/\(path) \(channel)")
        }
        #expect(ends["in"]?["Captured"] == "\(said.samples.count)")
        #expect(ends["out"]?["Captured"] == "\(heard.samples.count)")
      }
    }

    @Test("A call in G.722 is forked with all of its 16 kHz", arguments: AsteriskRelease.tested)
    func g722(release: AsteriskRelease) async throws {
      // Noise, so that every place is known, and a tone that 8 kHz could not carry.
      func wide(_ seed: UInt64, _ seconds: Double) -> [Int16] {
        KnownSignal(seed: seed, seconds: 2 * seconds).samples.enumerated().map { index, noise in
          Int16(Double(noise) / 16 + 9000 * sin(2 * .pi * 6000 * Double(index) / 16_000))
        }
      }
      try await SIPScene.with(release) { scene in
        let said = try await scene.throughG722("said", wide(73, 2))
        let heard = wide(74, 2.5)
        let expected = try await scene.throughG722("heard", heard)
        let ends = try await scene.call(.g722) { phone in
          await phone.rtp.send(said.payload, .g722)
          #expect(await scene.isPlayed(KnownSignal(recorded: heard).samples.count, path: "wide-out"))
          #expect(difference(phone.rtp.receivedPayload(.g722).map(Int16.init), expected.payload.map(Int16.init)) == nil)
        }
        let into = try scene.receiver.recording(path: "wide-in")
        #expect(difference(into.filter { $0 != 0 }, said.decoded.samples) == nil)
        let out = try scene.receiver.recording(path: "wide-out")
        #expect(difference(out.filter { $0 != 0 }, heard.filter { $0 != 0 }) == nil)
        #expect(ends["wide-in"]?["Captured"] == "\(said.payload.count * 2)")
        for recording in [into, out] {
          #expect(recording.count == recording.count / 320 * 320)
          let tone = try #require(recording.lastIndex { $0 != 0 }).advanced(by: -16_000)
          #expect(abs(amplitude(recording[tone..<(tone + 8000)], hertz: 6000, rate: 16_000) - 9000) < 900)
        }
        // The forks at 8 kHz last as long, and what they cannot carry is gone and not folded down to 2 kHz.
        let narrow = try scene.receiver.recording(path: "in")
        let last = try #require(narrow.lastIndex { $0.magnitude > 200 })
        #expect(amplitude(narrow[(last - 8000)..<last], hertz: 2000, rate: 8000) < 90)
        #expect(ends["in"]?["Captured"] == "\(said.payload.count * 2)")
      }
    }

    private func amplitude(_ samples: some Sequence<Int16>, hertz: Double, rate: Double) -> Double {
      var (cosine, sine, count) = (0.0, 0.0, 0.0)
      for sample in samples {
        cosine += Double(sample) * cos(2 * .pi * hertz * count / rate)
        sine += Double(sample) * sin(2 * .pi * hertz * count / rate)
        count += 1
      }
      return 2 * (cosine * cosine + sine * sine).squareRoot() / max(count, 1)
    }

    @Test("Hold and back: the stream goes on, with silence for what is not said", arguments: AsteriskRelease.tested)
    func hold(release: AsteriskRelease) async throws {
      let said = KnownSignal(seed: 75, seconds: 3).throughMuLaw
      let heard = KnownSignal(seed: 76, seconds: 4.5).throughMuLaw
      let (before, during, after) = (0..<50, 50..<80, 80..<130)
      try await SIPScene.with(release) { scene in
        try await scene.haveMusic()
        _ = try scene.sandbox.sound("heard", heard.samples)
        var silence: [Int] = []
        _ = try await scene.call(.muLaw, extension: "bridged") { phone in
          #expect(await scene.receiver.started(1, path: "party", within: 10))
          await phone.rtp.send(KnownSignal(said.packets(before)).payload(.muLaw), .muLaw)
          // On a busy machine the hold would come before the last packet has reached the other party.
          try await Task.sleep(for: .milliseconds(100))
          #expect(try await phone.reoffer(.muLaw, "sendonly").direction == "recvonly")
          try await Task.sleep(for: .milliseconds(300))
          // What a phone sends to whom it holds is still what it sends.
          silence.append(await phone.rtp.send(KnownSignal(said.packets(during)).payload(.muLaw), .muLaw))
          #expect(try await phone.reoffer(.muLaw, "inactive").direction == "inactive")
          try await Task.sleep(for: .milliseconds(700))
          #expect(try await phone.reoffer(.muLaw).direction == "sendrecv")
          silence.append(await phone.rtp.send(KnownSignal(said.packets(after)).payload(.muLaw), .muLaw))
          #expect(await scene.isPlayed(heard.samples.count))
        }
        let into = try scene.receiver.recording(path: "in")
        let ranges = soundings(into)
        #expect(ranges.map(\.count) == [before, during, after].map { $0.count * 160 })
        #expect(difference(into.filter { $0 != 0 }, said.packets(0..<130)) == nil)
        #expect(pauses(ranges) == silence.map { $0 * 160 })
        #expect(silence.min() ?? 0 >= 15)
        // The phone is held by nobody: what the other party says goes on without a break, on the same clock.
        for (path, channel) in [("out", 0), ("stereo", 1)] {
          let out = try scene.receiver.recording(path: path, channel: channel)
          #expect(soundings(out).map(\.count) == [heard.samples.count], "/\(path)")
          #expect(difference(out.filter { $0 != 0 }, heard.samples) == nil, "/\(path)")
        }
        let left = soundings(try scene.receiver.recording(path: "stereo", channel: 0))
        let spans = [left, ranges].map { ($0.last?.upperBound ?? 0) - ($0.first?.lowerBound ?? 0) }
        #expect(abs(spans[0] - spans[1]) <= 640, "\(left) in stereo, \(ranges) alone")
        // The other party hears the phone, then music, then the phone again.
        #expect(await scene.receiver.ended(1, path: "party", within: 5))
        let party = try scene.receiver.recording(path: "party").filter { $0 != 0 }
        let (first, last) = (said.packets(before), said.packets(after))
        #expect(difference(party.prefix(first.count), first) == nil)
        #expect(difference(party.suffix(last.count), last) == nil)
        #expect(SIPScene.music.range(in: party.dropFirst(first.count).dropLast(last.count))?.count ?? 0 > 8000)
      }
    }

    @Test(
      "Hold in another codec: what is said before, meanwhile and afterwards stands in its place",
      arguments: AsteriskRelease.tested)
    func holdInOtherCodec(release: AsteriskRelease) async throws {
      try await SIPScene.with(release) { scene in
        _ = try scene.sandbox.sound("heard", Self.tone(seconds: 6, rate: 8000))
        // A tone with 200 ms of silence around it: Asterisk encodes anew where the codec changes, which clicks.
        let quiet = [Int16](repeating: 0, count: 3200)
        let wide = try await scene.throughG722("wide", quiet + Self.tone(seconds: 0.6, rate: 16_000) + quiet)
        let narrow = quiet[..<1600] + Self.tone(seconds: 0.6, rate: 8000) + quiet[..<1600]
        // Packets of silence before each piece; each piece is 50 packets.
        var silence: [Int] = []
        // Up to two packets at a change do not come to the hook, in some runs: of what is silence here.
        let dropped = 4 * 2 * 160
        let ends = try await scene.call(.g722, discardedPerhaps: dropped) { phone in
          silence.append(await phone.rtp.send(wide.payload, .g722))
          for _ in 1...2 {
            let held = try await phone.reoffer(.muLaw, "sendonly")
            #expect(held.direction == "recvonly" && held.payloadType == RTPCodec.muLaw.rawValue)
            try await Task.sleep(for: .milliseconds(300))
            silence.append(await phone.rtp.send(narrow.map { G711.muLaw($0) }, .muLaw))
            let back = try await phone.reoffer(.g722)
            #expect(back.direction == "sendrecv" && back.payloadType == RTPCodec.g722.rawValue)
            try await Task.sleep(for: .milliseconds(300))
            silence.append(await phone.rtp.send(wide.payload, .g722))
          }
          #expect(await scene.isPlayed(35_000))
        }
        // Where each tone begins, in milliseconds behind the first one.
        var due = [0]
        for pause in silence.dropFirst() { due.append(due[due.count - 1] + (50 + pause) * 20) }
        #expect(silence.dropFirst().allSatisfy { $0 >= 10 })
        for (path, channel, rate) in [("in", 0, 8000), ("stereo", 0, 8000), ("wide-in", 0, 16_000)] {
          let tones = Self.tones(try scene.receiver.recording(path: path, channel: channel), rate: rate)
          let places = tones.map { $0.lowerBound - (tones.first?.lowerBound ?? 0) }
          #expect(places.count == due.count, "/\(path): \(tones)")
          #expect(zip(places, due).allSatisfy { abs($0 - $1) <= 20 }, "/\(path): \(places) ms, due \(due) ms")
          #expect(tones.allSatisfy { abs($0.count - 600) <= 20 }, "/\(path): \(tones)")
        }
        for (path, channel, rate) in [("out", 0, 8000), ("stereo", 1, 8000), ("wide-out", 0, 16_000)] {
          let tones = Self.tones(try scene.receiver.recording(path: path, channel: channel), rate: rate)
          #expect(tones.count == 1 && abs((tones.first?.count ?? 0) - 6000) <= 20, "/\(path): \(tones)")
        }
        let captured = try #require(Int(ends["in"]?["Captured"] ?? ""))
        #expect((5 * 16_000 - dropped * 2...5 * 16_000).contains(captured))
      }
    }

    /// A tone of 1000 Hz.
    private static func tone(seconds: Double, rate: Int) -> [Int16] {
      (0..<Int(seconds * Double(rate))).map { Int16(9000 * sin(2 * .pi * 1000 * Double($0) / Double(rate))) }
    }

    /// Where a tone of 1000 Hz sounds for at least 100 ms, in milliseconds of the recording. Asterisk converts what it
    /// plays anew when it learns what the phone sends, which mutes some milliseconds: a tone goes on behind less than
    /// 20.
    private static func tones(_ recording: [Int16], rate: Int) -> [Range<Int>] {
      let length = rate / 500
      // Pieces of 2 ms: two periods.
      let loud = stride(from: 0, through: recording.count - length, by: length).map { start in
        recording[start..<(start + length)].contains { $0.magnitude > 4500 }
      }
      var ranges: [Range<Int>] = []
      var begin: Int?
      for (index, isLoud) in (loud + [false]).enumerated() where isLoud != (begin != nil) {
        if let first = begin {
          let last = ranges.last.flatMap { first * 2 - $0.upperBound < 20 ? $0 : nil }
          if last != nil { ranges.removeLast() }
          ranges.append((last?.lowerBound ?? first * 2)..<(index * 2))
        }
        begin = isLoud ? index : nil
      }
      return ranges.filter { $0.count >= 100 }
    }
  }
}
