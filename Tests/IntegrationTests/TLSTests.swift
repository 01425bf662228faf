// SPDX-License-Identifier: Apache-2.0
import AsteriskTestKit
import AudioForkTestKit
import Foundation
import Testing

extension IntegrationTests {
  @Suite("wss:// from a dialplan", .serialized)
  struct TLSTests {
    static func dialplan(_ arguments: String) -> String {
      """
      [test]
      exten => a,1,Answer()
       same => n,AudioFork(\(arguments))
       same => n,Verbose(0,status is ${AUDIOFORKSTATUS})
       same => n,Playback(${SOUNDS}/heard)
       same => n,Verbose(0,the call went on)
       same => n,StopAudioFork()
       same => n,Wait(60)
      exten => b,1,Answer()
       same => n,Wait(60)
      """
    }

    /// A call with such a fork, whose party hears the signal. Whatever the fork does, the call goes on.
    static func withCall(
      _ release: AsteriskRelease, _ arguments: String, hearing signal: KnownSignal = KnownSignal(seed: 71, seconds: 2),
      _ body: (Sandbox) async throws -> Void
    ) async throws {
      try await Sandbox.with(release, dialplan: dialplan(arguments)) { sandbox in
        _ = try sandbox.sound("heard", signal.samples)
        try await sandbox.cli("dialplan set global SOUNDS \(sandbox.folder.path)")
        try await sandbox.call("a", "b")
        try await body(sandbox)
        #expect(await sandbox.logShows("the call went on", within: 10))
        #expect(try await sandbox.channels().count == 2)
        #expect(await becomesTrue(within: 5) { sandbox.runFiles().allSatisfy { !$0.contains(".") } })
      }
    }

    @Test(
      "T(insecure) delivers a whole call to a certificate that nobody knows, and says so",
      arguments: AsteriskRelease.tested)
    func insecure(release: AsteriskRelease) async throws {
      let certificates = try TestCertificates()
      let receiver = try await Receiver(
        certificate: try certificates.selfSigned("alone", names: "DNS:example.org").pair)
      let signal = KnownSignal(seed: 72, seconds: 3)
      #expect(receiver.url("x").hasPrefix("wss://"))
      try await Self.withCall(release, "\(receiver.url("insecure")),D(out)T(insecure)", hearing: signal) { sandbox in
        #expect(await receiver.ended(1, path: "insecure", within: 15))
        let recording = try receiver.recording(path: "insecure")
        #expect(signal.range(in: recording) == 0..<signal.samples.count)
        #expect(receiver.events("ended").first?.code == 1000)
        #expect(sandbox.logLines(["NOTICE"], containing: "certificate is not verified").count == 1)
        #expect(sandbox.logLines() == [])
        let manager = try await ManagerConnection(sandbox)
        let channel = try #require(try await sandbox.channels().first)
        for (options, verification) in [("D(in)T(insecure)", "insecure"), ("D(in)T(on)r(0)", "verified")] {
          let reply = try await manager.send(
            "AudioFork", [("Channel", channel), ("WsServer", receiver.url("again")), ("Options", options)])
          let id = try #require(reply["AudioForkID"], "\(reply)")
          let start = await manager.event(named: "AudioForkStart") { $0["AudioForkID"] == id }
          #expect(start?["Verification"] == verification)
        }
        #expect(await manager.event(named: "AudioForkStop") { $0["Reason"]?.contains("tls: ") == true } != nil)
        #expect(receiver.events("started", path: "again").count == 1)
        try await sandbox.cli("audiofork stop \(channel)")
      }
      await receiver.remove()
    }

    @Test(
      "A profile brings the authority, and a certificate for a server that asks for one",
      arguments: AsteriskRelease.newest)
    func profile(release: AsteriskRelease) async throws {
      let certificates = try TestCertificates()
      let client = try certificates.issued("client")
      let receiver = try await Receiver(
        certificate: try certificates.issued("server").pair, clientAuthorities: certificates.authority.certificate)
      let signal = KnownSignal(seed: 73, seconds: 2)
      let plan =
        Self.dialplan("mutual") + """

          exten => anonymous,1,Answer()
           same => n,AudioFork(anonymous)
           same => n,Wait(60)
          """
      try await Sandbox.with(release, dialplan: plan) { sandbox in
        _ = try sandbox.sound("heard", signal.samples)
        try await sandbox.cli("dialplan set global SOUNDS \(sandbox.folder.path)")
        try ModuleFeatureTests.append(
          """
          [common](!)
          direction = out
          ca_file = \(certificates.authority.certificate)
          reconnect_attempts = 1
          connect_timeout = 1
          [mutual](common)
          url = wss://localhost:\(receiver.port)/mutual
          cert_file = \(client.certificate)
          key_file = \(client.key)
          [anonymous](common)
          url = wss://localhost:\(receiver.port)/anonymous

          """, of: sandbox)
        _ = try await ModuleFeatureTests.reload(sandbox)
        let manager = try await ManagerConnection(sandbox)
        try await sandbox.call("a", "b")
        #expect(await receiver.ended(1, path: "mutual", within: 15))
        #expect(try signal.range(in: receiver.recording(path: "mutual")) == 0..<signal.samples.count)
        #expect(manager.events(named: "AudioForkStart").map { $0["Verification"] } == ["verified"])
        #expect(sandbox.logLines() == [])
        // The same server without the certificate: no audio, a reason.
        try await sandbox.call("anonymous", "b")
        #expect(await sandbox.logShows(" ended: unreachable: ", within: 15))
        let ends = sandbox.logLines(["ERROR"], containing: "cert_file")
        #expect(ends.count == 1, "\(sandbox.logLines())")
        #expect(receiver.events("started", path: "anonymous").isEmpty)
        #expect(try await sandbox.channels().count == 4)
      }
      await receiver.remove()
    }

    @Test("1: a server with TLS that is killed twice and comes back misses nothing", arguments: AsteriskRelease.newest)
    func reconnect(release: AsteriskRelease) async throws {
      let certificates = try TestCertificates()
      let pair = try certificates.selfSigned("alone").pair
      let signal = KnownSignal(seed: 74, seconds: 8)
      var receivers = [try await Receiver(certificate: pair)]
      let (port, folder) = (receivers[0].port, receivers[0].folder)
      let fork = "\(receivers[0].url("again")),D(out)T(insecure)R(1)r(100)"
      try await Self.withCall(release, fork, hearing: signal) { sandbox in
        for _ in 1...2 {
          let receiver = receivers[receivers.count - 1]
          #expect(await becomesTrue(within: 8) { (try? receiver.recording(path: "again").count) ?? 0 > 8000 })
          receiver.signal(SIGKILL)
          #expect(await receiver.ended())
          try await Task.sleep(for: .seconds(1))
          receivers.append(try await Receiver(port: port, folder: folder, certificate: pair))
        }
        #expect(await receivers[2].ended(1, path: "again", within: 20))
        var reached = 0
        for receiver in receivers {
          // What was not confirmed before a break comes again after it; nothing is left out.
          let range = try #require(signal.range(in: receiver.recording(path: "again")))
          #expect(range.lowerBound <= reached && range.upperBound > reached, "\(range) after \(reached)")
          reached = range.upperBound
        }
        #expect(reached == signal.samples.count)
        #expect(sandbox.engines().count == 1)
      }
      for receiver in receivers { await receiver.remove() }
    }

    @Test(
      "An untrusted certificate ends the seed's forks after the attempts that they allow, with the reason",
      arguments: AsteriskRelease.newest)
    func untrusted(release: AsteriskRelease) async throws {
      let certificates = try TestCertificates()
      let alone = try certificates.selfSigned("alone")
      // In the seed: TLS with an option, and the reconnect example, whose wss:// verifies by itself.
      for (options, attempts) in [("D(out)T(on)R(1)r(2)", 2), ("R(1)r(2)", 2), ("D(out)T(on)r(0)", 0)] {
        let (server, port) = try await OriginalFaultTests.fixture("secure-server.py", [alone.certificate, alone.key])
        try await Self.withCall(release, "wss://localhost:\(port)/,\(options)") { sandbox in
          #expect(await sandbox.logShows(" ended: unreachable: ", within: 20))
          let ends = sandbox.logLines(
            ["ERROR"], containing: "tls: unknown issuer: the server's certificate comes from 'alone alone'")
          #expect(ends.count == 1, "\(sandbox.logLines())")
          #expect(ends.first?.contains("ca_file") == true)
          #expect(server.lines.filter { $0.hasPrefix("connection ") }.count == attempts + 1, "\(options)")
          #expect(server.lines.filter { $0.hasPrefix("handshake ") } == [])
          #expect(sandbox.log.contains("status is SUCCESS"))
        }
        await server.end()
      }
    }

    @Test("T(on) with ws:// starts no fork and says why", arguments: AsteriskRelease.tested)
    func contradiction(release: AsteriskRelease) async throws {
      let receiver = try await Receiver()
      try await Self.withCall(release, "\(receiver.url("plain")),D(out)T(on)") { sandbox in
        #expect(await sandbox.logShows("status is FAILED"))
        #expect(sandbox.log.contains("option T asks for TLS, but the URL begins with ws://"))
        let forks = try await sandbox.forks()
        #expect(forks == [])
      }
      #expect(receiver.events("started").isEmpty)
      await receiver.remove()
    }

    @Test(
      "9: wss:// to a server without TLS ends with the reason, whether the server answers or not",
      arguments: AsteriskRelease.newest)
    func plainServer(release: AsteriskRelease) async throws {
      let (silent, port) = try await OriginalFaultTests.fixture("unhelpful-server.py", ["silent"])
      try await Self.withCall(release, "wss://127.0.0.1:\(port)/,D(out)T(on)R(1)r(1)") { sandbox in
        #expect(await sandbox.logShows(" ended: unreachable: ", within: 15))
        #expect(sandbox.log.contains("tls: no answer to the handshake within 1 s"))
        #expect(silent.lines.filter { $0.hasPrefix("connection ") }.count == 2)
      }
      await silent.end()
      let receiver = try await Receiver()
      try await Self.withCall(release, "wss://127.0.0.1:\(receiver.port)/,D(out)R(1)r(1)") { sandbox in
        #expect(
          await becomesTrue(within: 15) {
            sandbox.log.contains(#/ ended: unreachable: 1 attempt failed in \d+ s, the last one: tls: /#)
          })
        #expect(sandbox.log.contains("without TLS takes ws://"))
      }
      #expect(receiver.events("started").isEmpty)
      await receiver.remove()
    }
  }
}
