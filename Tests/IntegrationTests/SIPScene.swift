// SPDX-License-Identifier: Apache-2.0
import AsteriskTestKit
import AudioForkMedia
import Foundation
import Testing

/// A sandbox that takes calls over SIP, a receiver, and forks on every call: chan_sip on 16, PJSIP on 22.
struct SIPScene: Sendable {
  let sandbox: Sandbox
  let receiver: Receiver
  let manager: ManagerConnection
  /// The UDP port for phones.
  let port: Int

  /// Path at the receiver and options of the forks on the phone's channel.
  static let forks = [
    ("in", "D(in)"), ("out", "D(out)"), ("stereo", "D(stereo)"), ("wide-in", "D(in)f(slin16)"),
    ("wide-out", "D(out)f(slin16)"),
  ]

  /// Music on hold.
  static let music = KnownSignal(seed: 79, seconds: 10).throughMuLaw

  /// Runs the body in a scene. Extension `talk` plays the sound `heard` to the phone; `bridged` connects it to a party
  /// that does, and what that party hears is forked to /party; `later` plays it, and connects with a silent one.
  /// Afterwards nothing may be left: no call, no fork, no file of one, no line in the log that an administrator must
  /// look at.
  static func with(_ release: AsteriskRelease, _ body: (SIPScene) async throws -> Void) async throws {
    let receiver = try await Receiver()
    let lines = forks.map { " same => n,AudioFork(\(receiver.url($0.0)),\($0.1))\n" }.joined()
    let dialplan = """
      [phones]
      exten => talk,1,Answer()
      \(lines) same => n,Playback(${SOUNDS}/heard)
       same => n,Wait(60)
      exten => bridged,1,Answer()
      \(lines) same => n,Dial(Local/party@phones,60,b(party^fork^1))
      exten => later,1,Answer()
      \(lines) same => n,Playback(${SOUNDS}/heard)
       same => n,Dial(Local/quiet@phones,60,b(party^fork^1))
      exten => party,1,Answer()
       same => n,Wait(0.5)
       same => n,Playback(${SOUNDS}/heard)
       same => n,Wait(60)
      exten => quiet,1,Answer()
       same => n,Wait(60)
      [party]
      exten => fork,1,AudioFork(\(receiver.url("party")),D(out))
       same => n,Return()

      """
    try await Sandbox.with(release, dialplan: dialplan) { sandbox in
      try await sandbox.cli("module load res_convert.so")
      try await sandbox.cli("dialplan set global SOUNDS \(sandbox.folder.path)")
      let scene = SIPScene(
        sandbox: sandbox, receiver: receiver, manager: try await ManagerConnection(sandbox),
        port: try await takePhones(sandbox))
      try await body(scene)
      #expect(try await holds(within: 5) { try await sandbox.channels().isEmpty })
      #expect(try await holds(within: 5) { try await sandbox.forks().isEmpty })
      #expect(await becomesTrue(within: 5) { sandbox.runFiles().allSatisfy { !$0.contains(".") } })
      #expect(sandbox.logLines() == [])
      scene.manager.end()
    }
    await receiver.remove()
  }

  /// Lets anybody call extensions of `phones` with these codecs; returns the port.
  static func takePhones(_ sandbox: Sandbox, codecs: [String] = ["ulaw", "alaw", "g722"]) async throws -> Int {
    if sandbox.release == .asterisk22 {
      let endpoint = """
        [anonymous]
        type=endpoint
        context=phones
        disallow=all
        allow=\(codecs.joined(separator: ","))
        direct_media=no
        dtmf_mode=rfc4733

        """
      try write(endpoint, sandbox, "etc/pjsip-test.conf")
      try await sandbox.cli("module reload res_pjsip.so")
      return try #require(sandbox.facts["sip_port"].flatMap { Int($0) })
    }
    let port = try freeUDPPort()
    let general = """
      [general]
      udpbindaddr=127.0.0.1:\(port)
      allowguest=yes
      context=phones
      disallow=all
      \(codecs.map { "allow=\($0)" }.joined(separator: "\n"))
      directmedia=no
      dtmfmode=rfc2833

      """
    try write(general, sandbox, "etc/sip.conf")
    try await sandbox.cli("module load chan_sip.so")
    return port
  }

  private static func write(_ text: String, _ sandbox: Sandbox, _ file: String) throws {
    try text.write(to: sandbox.folder.appending(path: file), atomically: true, encoding: .utf8)
  }

  /// Makes music on hold known.
  func haveMusic() async throws {
    try FileManager.default.createDirectory(
      at: sandbox.folder.appending(path: "music"), withIntermediateDirectories: true)
    _ = try sandbox.sound("music/held", Self.music.samples)
    try Self.write(
      "[default]\nmode=files\ndirectory=\(sandbox.folder.path)/music\n", sandbox, "etc/musiconhold.conf")
    try await sandbox.cli("moh reload")
  }

  /// Samples at 16 kHz as G.722, and what Asterisk makes of it again, both by Asterisk's own converter.
  func throughG722(_ name: String, _ samples: [Int16]) async throws -> (payload: [UInt8], decoded: KnownSignal) {
    // Not by the name of the sound: Playback() would take the one that is encoded already.
    let stem = sandbox.folder.appending(path: "\(name)-payload").path
    for file in ["\(stem).sln16", sandbox.folder.appending(path: "\(name).sln16").path] {
      try samples.withUnsafeBytes { Data($0) }.write(to: URL(fileURLWithPath: file))
    }
    try await sandbox.cli("file convert \(stem).sln16 \(stem).g722")
    try await sandbox.cli("file convert \(stem).g722 \(stem)-decoded.sln16")
    let payload = try #require(FileManager.default.contents(atPath: "\(stem).g722")).map { $0 }
    let decoded = try #require(FileManager.default.contents(atPath: "\(stem)-decoded.sln16")).withUnsafeBytes { bytes in
      stride(from: 0, to: bytes.count - 1, by: 2).map {
        Int16(littleEndian: bytes.loadUnaligned(fromByteOffset: $0, as: Int16.self))
      }
    }
    #expect(payload.count * 2 == samples.count && decoded.count == samples.count)
    return (payload, KnownSignal(recorded: decoded))
  }

  /// Runs the body with a phone that has called the extension, when its forks have begun; then ends the forks and the
  /// call. Returns the last event of each fork by its path. What Asterisk says about a fork, there and by its function,
  /// has to agree with what came, and with what the phone said but for `discarded` samples that Asterisk drops itself,
  /// and `discardedPerhaps` that it sometimes drops.
  func call(
    _ codec: RTPCodec, extension: String = "talk", discarded: Int = 0, discardedPerhaps: Int = 0,
    _ body: (SIPCaller) async throws -> Void
  ) async throws -> [String: [String: String]] {
    let phone = try await SIPCaller(calls: `extension`, at: port, codec: codec, in: sandbox.folder)
    for (path, _) in Self.forks { #expect(await receiver.started(1, path: path, within: 10), "/\(path)") }
    try await body(phone)
    let channel = try #require(receiver.events("started", path: "in").first?.channel)
    let most = phone.rtp.audioSent - discarded
    let said = (most - discardedPerhaps)...most
    try await expectAgreementNow(channel, said: said)
    let reply = try await manager.send("StopAudioFork", [("Channel", channel)])
    #expect(reply["Response"] == "Success")
    var ends: [String: [String: String]] = [:]
    for (path, _) in Self.forks {
      #expect(await receiver.ended(1, path: path, within: 10), "/\(path) did not end")
      #expect(receiver.events("ended", path: path).map(\.code) == [1000])
      let url = receiver.url(path)
      let end = try #require(await manager.event(named: "AudioForkStop") { $0["WsServer"] == url }, "/\(path)")
      let recording = try receiver.recording(path: path)
      let frames = recording.count / (path == "stereo" ? 2 : 1)
      let expected = [
        "Position": frames, "Confirmed": frames, "Bytes": recording.count * 2, "Gaps": 0, "Lost": 0, "Reconnects": 0,
        "Undelivered": 0,
      ]
      for (field, value) in expected { #expect(end[field] == "\(value)", "/\(path): \(field)") }
      // The dialplan's function remembers a fork that has ended.
      let id = try #require(end["AudioForkID"])
      for field in ["Position", "Confirmed", "Bytes", "Gaps", "Lost", "Fill"] {
        let asked = try await manager.send(
          "Getvar", [("Channel", channel), ("Variable", "AUDIOFORK(\(id),\(field.lowercased()))")])
        #expect(asked["Value"] == end[field], "/\(path): \(field)")
      }
      if path == "in" {
        let fill = try #require(Int(end["Fill"] ?? ""))
        #expect(said.contains(frames - fill), "/in: \(frames) with \(fill) of fill, said \(said)")
      }
      ends[path] = end
    }
    try await phone.hangUp()
    return ends
  }

  /// What AUDIOFORK() says during the call about the fork to /in, at a time when nothing is said: its position is what
  /// was said and the fill, and nothing is lost.
  private func expectAgreementNow(_ channel: String, said: ClosedRange<Int>) async throws {
    let id = try #require(receiver.events("started", path: "in").first?.id)
    func fact(_ key: String) async throws -> Int {
      let reply = try await manager.send("Getvar", [("Channel", channel), ("Variable", "AUDIOFORK(\(id),\(key))")])
      return try #require(Int(reply["Value"] ?? ""), "\(key): \(reply)")
    }
    var seen = ""
    let agrees = try await holds(within: 5) {
      let (before, position, after) = (try await fact("fill"), try await fact("position"), try await fact("fill"))
      seen = "fill \(before), position \(position), fill \(after), said \(said)"
      return before <= position - said.lowerBound && position - said.upperBound <= after
    }
    #expect(agrees, "\(seen)")
    #expect(try await fact("lost") == 0)
    #expect(try await fact("gaps") == 0)
  }

  /// Waits until the phone has been played this many samples.
  func isPlayed(_ count: Int, path: String = "out") async -> Bool {
    await becomesTrue(within: 15) { (try? receiver.recording(path: path).count { $0 != 0 }) ?? 0 >= count }
  }
}

extension KnownSignal {
  /// Samples that were recorded: fill cannot be told from a zero in them, so it is left out.
  init(recorded samples: [Int16]) { self.init(samples.filter { $0 != 0 }) }

  /// The signal as a telephone with this law can say it.
  func through(_ codec: RTPCodec) -> KnownSignal {
    // None of A-law's codes is zero.
    codec == .aLaw ? at { Int(G711.linear(aLaw: G711.aLaw(Int16(clamping: $0)))) } : throughMuLaw
  }

  /// The signal as RTP carries it.
  func payload(_ codec: RTPCodec) -> [UInt8] { samples.map { codec == .aLaw ? G711.aLaw($0) : G711.muLaw($0) } }

  /// Twenty-millisecond pieces of it.
  func packets(_ range: Range<Int>) -> [Int16] { Array(samples[(range.lowerBound * 160)..<(range.upperBound * 160)]) }
}

/// The samples that a payload of G.711 stands for.
func decoded(_ payload: [UInt8], _ codec: RTPCodec) -> [Int16] {
  payload.map { codec == .aLaw ? G711.linear(aLaw: $0) : G711.linear(muLaw: $0) }
}

/// Where a recording sounds: its ranges without a zero.
func soundings(_ recording: [Int16]) -> [Range<Int>] {
  var ranges: [Range<Int>] = []
  var start: Int?
  for (index, sample) in recording.enumerated() where (sample != 0) != (start != nil) {
    if let begun = start { ranges.append(begun..<index) }
    start = sample != 0 ? index : nil
  }
  if let start { ranges.append(start..<recording.count) }
  return ranges
}

/// Where two recordings differ first, in words; nil where they are equal. Arrays of this size are not for reading.
func difference(_ recording: some Collection<Int16>, _ expected: some Collection<Int16>) -> String? {
  if let place = zip(recording, expected).enumerated().first(where: { $0.element.0 != $0.element.1 }) {
    return "sample \(place.offset) is \(place.element.0) and not \(place.element.1)"
  }
  return recording.count == expected.count ? nil : "\(recording.count) samples instead of \(expected.count)"
}

/// The lengths between ranges.
func pauses(_ ranges: [Range<Int>]) -> [Int] { zip(ranges, ranges.dropFirst()).map { $1.lowerBound - $0.upperBound } }
