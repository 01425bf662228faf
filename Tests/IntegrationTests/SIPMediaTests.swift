// SPDX-License-Identifier: Apache-2.0
import AsteriskTestKit
import AudioForkMedia
import Foundation
import Testing

extension IntegrationTests {
  @Suite("What happens to RTP on its way to a fork", .serialized)
  struct SIPMediaTests {
    /// What Asterisk plays to the phone arrives whole and in one piece, whatever becomes of the phone's own packets.
    private func expectHeard(_ scene: SIPScene, _ heard: KnownSignal) throws {
      for (path, channel) in [("out", 0), ("stereo", 1)] {
        let out = try scene.receiver.recording(path: path, channel: channel)
        #expect(soundings(out).map(\.count) == [heard.samples.count], "/\(path)")
        #expect(difference(out.filter { $0 != 0 }, heard.samples) == nil, "/\(path)")
      }
    }

    /// A signal in pieces that are said one after the other.
    private func payload(_ signal: KnownSignal, _ range: Range<Int>, _ codec: RTPCodec = .muLaw) -> [UInt8] {
      KnownSignal(signal.packets(range)).payload(codec)
    }

    @Test("The law changes in mid-call", arguments: AsteriskRelease.tested)
    func lawChange(release: AsteriskRelease) async throws {
      let heard = KnownSignal(seed: 82, seconds: 4).throughMuLaw
      let first = KnownSignal(seed: 83, seconds: 1).through(.muLaw)
      let second = KnownSignal(seed: 84, seconds: 1).through(.aLaw)
      try await SIPScene.with(release) { scene in
        _ = try scene.sandbox.sound("heard", heard.samples)
        var silence = 0
        let ends = try await scene.call(.muLaw) { phone in
          await phone.rtp.send(first.payload(.muLaw), .muLaw)
          // On a busy machine the new codec would come before the last packet has been read.
          #expect(await scene.isPlayed(first.samples.count, path: "in"))
          let agreed = try await phone.reoffer(.aLaw).payloadType
          #expect(agreed == RTPCodec.aLaw.rawValue)
          silence = await phone.rtp.send(second.payload(.aLaw), .aLaw)
          #expect(await scene.isPlayed(heard.samples.count))
          // Asterisk, too, has gone over to the other law, once, and left nothing out.
          let played = phone.rtp.received.map(\.payloadType)
          #expect(Set(played) == [0, 8] && played == played.sorted() && played.count == heard.samples.count / 160)
        }
        let into = try scene.receiver.recording(path: "in")
        let pause = silence > 0 ? [silence * 160] : []
        #expect(pauses(soundings(into)) == pause)
        // A dialplan's application goes on reading µ-law, so Asterisk turns the one law into the other: what the fork
        // gets is what the application gets.
        #expect(difference(into.filter { $0 != 0 }, first.samples + second.throughMuLaw.samples) == nil)
        try expectHeard(scene, heard)
        #expect(ends["in"]?["Captured"] == "16000")
      }
    }

    @Test("The sample rate changes in mid-call: µ-law, then G.722", arguments: AsteriskRelease.tested)
    func rateChange(release: AsteriskRelease) async throws {
      let heard = KnownSignal(seed: 82, seconds: 3).throughMuLaw
      let first = KnownSignal(seed: 83, seconds: 1).through(.muLaw)
      try await SIPScene.with(release) { scene in
        _ = try scene.sandbox.sound("heard", heard.samples)
        let wide = try await scene.throughG722("wide", KnownSignal(seed: 85, seconds: 2).samples) // a second of it
        var silence: [Int] = []
        let ends = try await scene.call(.muLaw, extension: "later") { phone in
          await phone.rtp.send(first.payload(.muLaw), .muLaw)
          #expect(await scene.isPlayed(first.samples.count, path: "in"))
          let agreed = try await phone.reoffer(.g722).payloadType
          #expect(agreed == RTPCodec.g722.rawValue)
          // The application goes on reading µ-law, so this comes at 8 kHz; what is dialled then takes it as it is.
          silence.append(await phone.rtp.send(wide.payload, .g722))
          #expect(await scene.receiver.started(1, path: "party", within: 10))
          try await Task.sleep(for: .milliseconds(300))
          silence.append(await phone.rtp.send(wide.payload, .g722))
        }
        #expect(silence.count == 2 && silence[1] >= 15)
        let lengths = [8000, silence[0] * 160, 8000, silence[1] * 160, 8000]
        let narrow = try scene.receiver.recording(path: "in")
        let begin = try #require(narrow.firstIndex { $0 != 0 })
        #expect(difference(narrow[begin..<(begin + 8000)], first.samples) == nil)
        let last = try #require(narrow.lastIndex { $0.magnitude > 300 })
        #expect(abs(last - begin - lengths.reduce(0, +)) < 160, "\(begin) to \(last): not \(lengths)")
        // At 16 kHz the last piece is exact, and stands where it should: the converter begins the first one smoothly.
        let full = try scene.receiver.recording(path: "wide-in")
        let expected = wide.decoded.samples
        let start = try #require(full.firstIndex { $0.magnitude > 300 })
        let due = start + lengths.dropLast().reduce(0, +) * 2
        let found = (due - 64..<due + 64).first { place in
          full.count > place + 16
            && difference(full[place...].filter { $0 != 0 }.prefix(expected.count), expected) == nil
        }
        #expect(found != nil, "G.722 does not stand at \(due) of /wide-in")
        let second = start + (lengths[0] + lengths[1]) * 2
        let loud = try #require(full[(second - 64)...].firstIndex { $0.magnitude > 300 })
        #expect(abs(loud - second) <= 64, "the second piece begins at \(loud) of /wide-in and not at \(second)")
        try expectHeard(scene, heard)
        #expect(ends["wide-in"]?["Captured"] == "\(8000 + 8000 + 16_000)")
      }
    }

    @Test("Digits by RFC 4733 are silence of their length, and no more", arguments: AsteriskRelease.tested)
    func digits(release: AsteriskRelease) async throws {
      let heard = KnownSignal(seed: 81, seconds: 3).throughMuLaw
      let said = KnownSignal(seed: 86, seconds: 2).throughMuLaw
      try await SIPScene.with(release) { scene in
        _ = try scene.sandbox.sound("heard", heard.samples)
        let ends = try await scene.call(.muLaw) { phone in
          var silence = 0
          await phone.rtp.send(payload(said, 0..<40), .muLaw)
          silence += await phone.rtp.press(5, packets: 8)
          silence += await phone.rtp.send(payload(said, 40..<60), .muLaw)
          silence += await phone.rtp.press(11, packets: 13)
          silence += await phone.rtp.send(payload(said, 60..<100), .muLaw)
          #expect(silence == 0)
          for (digit, length) in [("5", 160), ("#", 260)] {
            let end = try #require(
              await scene.manager.event(named: "DTMFEnd") { $0["Digit"] == digit }, "digit \(digit)")
            #expect(end["Direction"] == "Received")
            #expect(abs((Int(end["DurationMs"] ?? "") ?? 0) - length) <= 20)
          }
          #expect(await scene.isPlayed(heard.samples.count))
        }
        for (path, channel) in [("in", 0), ("stereo", 0)] {
          let into = try scene.receiver.recording(path: path, channel: channel)
          #expect(soundings(into).map(\.count) == [40 * 160, 20 * 160, 40 * 160], "/\(path)")
          #expect(pauses(soundings(into)) == [8 * 160, 13 * 160], "/\(path)")
          #expect(difference(into.filter { $0 != 0 }, said.samples) == nil, "/\(path)")
        }
        try expectHeard(scene, heard)
        #expect(ends["in"]?["Captured"] == "\(said.samples.count)")
      }
    }

    @Test(
      "Lost packets are silence of their length, and what follows stands in its place",
      arguments: AsteriskRelease.tested)
    func loss(release: AsteriskRelease) async throws {
      let heard = KnownSignal(seed: 81, seconds: 3.5).throughMuLaw
      let said = KnownSignal(seed: 87, seconds: 3).throughMuLaw
      // One packet, two, eleven, and more than half a second.
      let losses = [20..<21, 40..<42, 60..<71, 90..<120]
      let spoken = [0..<20, 21..<40, 42..<60, 71..<90, 120..<150]
      try await SIPScene.with(release) { scene in
        _ = try scene.sandbox.sound("heard", heard.samples)
        let ends = try await scene.call(.muLaw) { phone in
          let fates = losses.joined().map { ($0, RTPFate.lost) }
          await phone.rtp.send(said.payload(.muLaw), .muLaw, fates: Dictionary(uniqueKeysWithValues: fates))
          #expect(await scene.isPlayed(heard.samples.count))
        }
        for (path, channel) in [("in", 0), ("stereo", 0)] {
          let into = try scene.receiver.recording(path: path, channel: channel)
          #expect(soundings(into).map(\.count) == spoken.map { $0.count * 160 }, "/\(path)")
          #expect(pauses(soundings(into)) == losses.map { $0.count * 160 }, "/\(path)")
          #expect(difference(into.filter { $0 != 0 }, spoken.flatMap { said.packets($0) }) == nil, "/\(path)")
        }
        try expectHeard(scene, heard)
        #expect(ends["in"]?["Captured"] == "\(spoken.joined().count * 160)")
      }
    }

    @Test("Packets that come late, at once or out of order are all delivered", arguments: AsteriskRelease.tested)
    func lateBursts(release: AsteriskRelease) async throws {
      let heard = KnownSignal(seed: 81, seconds: 5).throughMuLaw
      let said = KnownSignal(seed: 88, seconds: 4).throughMuLaw
      // Held back for a quarter of a second, and for more than half a second, and sent with the packet behind them.
      var fates: [Int: RTPFate] = [:]
      for packet in 30..<42 { fates[packet] = .with(packet: 42, order: packet - 42) }
      for packet in 60..<90 { fates[packet] = .with(packet: 90, order: packet - 90) }
      // And a burst in pairs that have changed places.
      var disordered: [Int: RTPFate] = [:]
      for packet in 10..<20 { disordered[packet] = .with(packet: 20, order: (packet ^ 1) - 20) }
      // Asterisk 16 passes them on as they come; a later release drops what is older than the last one.
      let passed = release == .asterisk16 ? (10..<20).map { $0 ^ 1 } : [11, 13, 15, 17, 19]
      let expected = ([0..<160] + passed.map { (150 + $0)..<(151 + $0) } + [170..<200]).flatMap { said.packets($0) }
      try await SIPScene.with(release) { scene in
        _ = try scene.sandbox.sound("heard", heard.samples)
        var silence = 0
        let ends = try await scene.call(.muLaw, discarded: said.samples.count - expected.count) { phone in
          await phone.rtp.send(payload(said, 0..<110), .muLaw, fates: fates)
          try await Task.sleep(for: .milliseconds(800))
          silence = await phone.rtp.send(payload(said, 110..<150), .muLaw)
          await phone.rtp.send(payload(said, 150..<200), .muLaw, fates: disordered)
          #expect(await scene.isPlayed(heard.samples.count))
        }
        for (path, channel) in [("in", 0), ("stereo", 0)] {
          let into = try scene.receiver.recording(path: path, channel: channel)
          #expect(difference(into.filter { $0 != 0 }, expected) == nil, "/\(path)")
          // The pause behind them takes up what they came late: what is said then stands in its place.
          let ranges = soundings(into)
          let begin = try #require(ranges.first?.lowerBound)
          let later = said.packets(110..<111)
          let place = try #require(ranges.first { into[$0].starts(with: later) }, "/\(path): \(ranges)").lowerBound
          let due = begin + (110 + silence) * 160
          #expect(path == "in" ? place == due : abs(place - due) <= 640, "/\(path): \(ranges)")
        }
        // What comes later than `align` has fill in front of it. Alone the direction has no clock but its own
        // otherwise.
        #expect(try soundings(scene.receiver.recording(path: "in")).first?.count ?? 0 >= 30 * 160)
        try expectHeard(scene, heard)
        #expect(ends["in"]?["Captured"] == "\(expected.count)")
      }
    }
  }
}
