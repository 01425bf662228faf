// SPDX-License-Identifier: Apache-2.0
import AsteriskTestKit
import AudioForkTestKit
import Foundation
import Testing

/// The document that the product implements, where the checkout lies beside it.
struct SeedDocument {
  let blocks: [String]

  static let path = Checkout.root.appending(path: "../shared/seed/README.md").path
  static var isThere: Bool { FileManager.default.fileExists(atPath: path) }

  init() throws {
    let text = try String(contentsOfFile: SeedDocument.path, encoding: .utf8)
    // Every other piece stands between fences.
    blocks = text.components(separatedBy: "```").enumerated().filter { $0.offset % 2 == 1 }.map(\.element)
  }

  /// The one block that contains the text.
  func block(with text: String) throws -> String {
    let found = blocks.filter { $0.contains(text) }
    guard found.count == 1, let block = found.first else {
      throw TestKitError("\(found.count) blocks of the seed contain '\(text)'")
    }
    return block.trimmingCharacters(in: .newlines)
  }
}

extension IntegrationTests {
  /// The seed's examples, taken out of it and run as they are written. They name port 8080, so this does too.
  @Suite(
    "The seed document's examples run as written", .serialized, .tags(.together), .enabled(if: SeedDocument.isThere))
  struct SeedTests {
    /// Runs a Node program as written in a folder of its own, until the body is through.
    private func withNode(_ program: String, _ body: (URL) async throws -> Void) async throws {
      let folder = URL(fileURLWithPath: "/tmp/af-seed-\(UInt32.random(in: 0...UInt32.max))")
      try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
      try program.write(to: folder.appending(path: "server.js"), atomically: true, encoding: .utf8)
      try #require(!isListening(8080), "port 8080 is in use: end what listens there")
      let node = try ChildProcess(
        "/bin/sh", ["-c", "cd '\(folder.path)' && exec node server.js"],
        environment: .inherited(["NODE_PATH": "/usr/share/nodejs"]))
      #expect(await becomesTrue(within: 10) { isListening(8080) }, "\(node.lines)")
      try await body(folder)
      await node.end()
      try FileManager.default.removeItem(at: folder)
    }

    private func samples(_ file: URL) -> [Int16] {
      (FileManager.default.contents(atPath: file.path) ?? Data()).withUnsafeBytes { bytes in
        (0..<(bytes.count / 2)).map { Int16(littleEndian: bytes.loadUnaligned(fromByteOffset: $0 * 2, as: Int16.self)) }
      }
    }

    @Test("The simple dialplan, the simple server, and its sox line", arguments: AsteriskRelease.tested)
    func simple(release: AsteriskRelease) async throws {
      let seed = try SeedDocument()
      let dialplan = try seed.block(with: "AudioFork(ws://localhost:8080/)")
      let conversion = try seed.block(with: "sox -r 8000")
      try await withNode(try seed.block(with: "createWriteStream('audio.raw')")) { folder in
        let plan = "[seed]\n\(dialplan)\n[test]\nexten => b,1,Answer()\n same => n,Wait(30)\n"
        try await Sandbox.with(release, dialplan: plan) { sandbox in
          try await sandbox.cli("module load res_convert.so")
          let sounds =
            try String(contentsOf: sandbox.folder.appending(path: "prefix"), encoding: .utf8)
            .trimmingCharacters(in: .newlines) + "/usr/share/asterisk/sounds/en/hello-world.gsm"
          let reference = sandbox.folder.appending(path: "reference.sln")
          try await sandbox.cli("file convert \(sounds) \(reference.path)")
          let prompt = trimmed(samples(reference))
          #expect(prompt.count > 8000)
          try await sandbox.cli("channel originate Local/100@seed extension b@test")
          #expect(await sandbox.logShows("audio fork was started continuing call.."))
          #expect(await sandbox.logShows(" ended: ", within: 15))
          #expect(sandbox.logLines() == [])
          let received = folder.appending(path: "audio.raw")
          #expect(await becomesTrue(within: 5) { contains(samples(received), prompt) })
          let sox = try await ChildProcess.run("/bin/sh", ["-c", "cd '\(folder.path)' && \(conversion)"])
          #expect(sox.status == 0, "\(sox.output)")
          #expect(try wavSamples(folder.appending(path: "audio.wav").path) == samples(received))
        }
      }
    }

    @Test("Two legs to two paths of one server", arguments: AsteriskRelease.tested)
    func twoLegs(release: AsteriskRelease) async throws {
      let seed = try SeedDocument()
      var dialplan = try seed.block(with: "[macro-in]")
      if release == .asterisk22 {
        // Macro() and chan_sip are gone since 21.
        dialplan =
          dialplan.replacing("Dial(SIP/1001,60,gM(in))", with: "Dial(PJSIP/1001,60,gU(in))")
          .replacing("[macro-in]", with: "[in]") + "\nsame => n,Return()"
      }
      let said = KnownSignal(seed: 51, seconds: 3).throughMuLaw
      let heard = KnownSignal(seed: 52, seconds: 3).throughMuLaw
      try await withNode(try seed.block(with: "pathname === '/out'")) { folder in
        let plan = """
          \(dialplan)
          [callee]
          exten => 1001,1,Answer()
           same => n,Wait(0.5)
           same => n,Playback(${SOUNDS}/heard)
           same => n,Wait(0.5)
           same => n,Hangup()
          [caller]
          exten => talk,1,Answer()
           same => n,Playback(${SOUNDS}/said)
           same => n,Wait(30)
          """
        try await Sandbox.with(release, dialplan: plan) { sandbox in
          _ = try sandbox.sound("said", said.samples)
          _ = try sandbox.sound("heard", heard.samples)
          try await sandbox.cli("dialplan set global SOUNDS \(sandbox.folder.path)")
          try await connectPhone(sandbox)
          try await sandbox.cli("channel originate Local/500@main-out extension talk@caller")
          #expect(try await holds(within: 15) { try await sandbox.channels().isEmpty })
          #expect(await sandbox.logShows("macro-in called"))
          #expect(try await holds(within: 5) { try await sandbox.forks().isEmpty })
          // What each party hears: the other one, whole but for what was said before the other had answered.
          let out = try #require(heard.range(in: samples(folder.appending(path: "out.raw"))))
          #expect(out.count >= heard.samples.count * 9 / 10)
          let into = try #require(said.range(in: samples(folder.appending(path: "in.raw"))))
          #expect(into.count >= said.samples.count / 2)
        }
      }
    }

    /// Its two examples for wss:// name a host out there; here its name is this machine's, and nobody knows its
    /// certificate.
    @Test("TLS and reconnecting: the examples connect by TLS, verify, and try again", arguments: AsteriskRelease.newest)
    func secure(release: AsteriskRelease) async throws {
      let seed = try SeedDocument()
      let certificates = try TestCertificates()
      let alone = try certificates.selfSigned("alone")
      for example in try [seed.block(with: "T(on)"), seed.block(with: "R(10)r(5))")] {
        let (server, port) = try await OriginalFaultTests.fixture("secure-server.py", [alone.certificate, alone.key])
        let arguments = String(example.dropFirst("AudioFork(".count).dropLast()).replacing(
          "example.org", with: "localhost:\(port)")
        #expect(arguments.hasPrefix("wss://localhost:"))
        try await TLSTests.withCall(release, arguments) { sandbox in
          #expect(await server.line(within: 15) { $0 == "connection 2" } != nil, "\(server.lines)")
          let manager = try await ManagerConnection(sandbox)
          // The server sees the second connection before the reason for the end of the first is listed.
          var fork: [String: String] = [:]
          _ = try await holds(within: 5) {
            fork = try #require(try await manager.list("AudioForks").items.first)
            return fork["Reason"] != ""
          }
          #expect(fork["Reason"]?.contains("tls: unknown issuer") == true, "\(fork)")
          #expect(fork["Position"] == "0" && fork["WsServer"] == "wss://localhost:\(port)/in")
          #expect(sandbox.log.contains("status is SUCCESS"))
          // Given up in time once the call is over.
          try await sandbox.cli("audiofork stop \(try #require(fork["Channel"]))")
          #expect(
            await manager.event(named: "AudioForkStop", within: 20)?["Reason"]?.contains("tls: unknown issuer") == true)
        }
        #expect(!server.lines.contains { $0.hasPrefix("handshake ") })
        await server.end()
      }
    }

    /// Makes 1001 a phone: on 16 a SIP peer of chan_sip, on 22 an endpoint of PJSIP; either is answered by this
    /// Asterisk's own PJSIP.
    private func connectPhone(_ sandbox: Sandbox) async throws {
      let port = try #require(sandbox.facts["sip_port"])
      var endpoints = "[anonymous]\ntype=endpoint\ncontext=callee\ndisallow=all\nallow=ulaw\ndirect_media=no\n"
      if sandbox.release == .asterisk22 {
        endpoints += "[1001]\ntype=aor\ncontact=sip:1001@127.0.0.1:\(port)\n"
        endpoints += "[1001]\ntype=endpoint\naors=1001\ncontext=callee\ndisallow=all\nallow=ulaw\ndirect_media=no\n"
      } else {
        let sip = """
          [general]
          udpbindaddr=127.0.0.1:\(try freeUDPPort())
          disallow=all
          allow=ulaw
          directmedia=no
          [1001]
          type=peer
          defaultuser=1001
          host=127.0.0.1
          port=\(port)

          """
        try sip.write(to: sandbox.folder.appending(path: "etc/sip.conf"), atomically: true, encoding: .utf8)
        try await sandbox.cli("module load app_macro.so")
        try await sandbox.cli("module load chan_sip.so")
      }
      try endpoints.write(to: sandbox.folder.appending(path: "etc/pjsip-test.conf"), atomically: true, encoding: .utf8)
      try await sandbox.cli("module reload res_pjsip.so")
    }
  }
}

/// Whether something listens on this TCP port of the loopback.
private func isListening(_ port: Int) -> Bool {
  let pattern = String(format: ":%04X ", port)
  return ["/proc/net/tcp", "/proc/net/tcp6"].contains { path in
    let table = processFile(path)
    // State 0A: listening.
    return table.split(separator: "\n").contains { $0.contains(pattern) && $0.contains(" 0A ") }
  }
}

private func trimmed(_ samples: [Int16]) -> [Int16] {
  guard let first = samples.firstIndex(where: { $0 != 0 }), let last = samples.lastIndex(where: { $0 != 0 }) else {
    return []
  }
  return Array(samples[first...last])
}

/// Whether `part` stands in `whole` in one piece.
private func contains(_ whole: [Int16], _ part: [Int16]) -> Bool {
  guard let head = part.first, whole.count >= part.count else { return false }
  return (0...(whole.count - part.count)).contains { start in
    whole[start] == head && whole[start..<(start + part.count)].elementsEqual(part)
  }
}
