// SPDX-License-Identifier: Apache-2.0
import AsteriskTestKit
import AudioForkTestKit
import Foundation
import Testing

extension IntegrationTests {
  @Suite("What Asterisk's log says about a server and a fork", .serialized)
  struct RefusalTests {
    @Test(
      "Every line about a fork names the module, and the last one counts what is true",
      arguments: AsteriskRelease.tested)
    func lines(release: AsteriskRelease) async throws {
      let signal = KnownSignal(seed: 91, seconds: 1)
      let receiver = try await Receiver()
      let plan = """
        [test]
        exten => a,1,Answer()
         same => n,AudioFork(\(receiver.url("one")),D(out))
         same => n,AudioFork(\(receiver.url("both")),D(both))
         same => n,Playback(${SOUNDS}/heard)
         same => n,StopAudioFork()
         same => n,Wait(60)
        exten => b,1,Answer()
         same => n,Wait(60)
        """
      try await Sandbox.with(release, dialplan: plan) { sandbox in
        _ = try sandbox.sound("heard", signal.samples)
        try await sandbox.cli("dialplan set global SOUNDS \(sandbox.folder.path)")
        try await sandbox.cli("core set debug 1 app_audiofork.so")
        try await sandbox.call("a", "b")
        #expect(await receiver.ended(2, within: 15))
        #expect(await becomesTrue(within: 5) { sandbox.logLines(["VERBOSE"], containing: " ended: done:").count == 2 })
        let lines = sandbox.log.split(separator: "\n").filter {
          $0.contains("AudioFork af-") || $0.contains(" is ready, process ")
        }
        #expect(lines.count >= 3, "\(lines)")
        #expect(lines.allSatisfy { $0.contains(" app_audiofork:") }, "\(lines)")
        let ours = sandbox.log.split(separator: "\n").filter { $0.contains("AudioFork") }
        #expect(!ours.contains { $0.contains("asterisk.c") || $0.contains("process.c") })
        // One party is heard and the other silent: of the sum half is fill, and nothing of what was heard.
        let ends = sandbox.logLines(["VERBOSE"], containing: " ended: done:")
        let one = try #require(
          ends.compactMap { $0.wholeMatch(of: /.* (\d+) sample frames sent, (\d+) of them fill, 0 samples .*/) }.first)
        let both = try #require(
          ends.compactMap {
            $0.wholeMatch(
              of: /.* (\d+) sample frames sent, (\d+) samples of fill in both directions together, 0 samples .*/)
          }.first)
        let (oneSent, oneFill, bothSent, bothFill) = (
          try #require(Int(one.1)), try #require(Int(one.2)), try #require(Int(both.1)), try #require(Int(both.2))
        )
        #expect(oneSent - oneFill == signal.samples.count, "\(ends)")
        #expect(bothFill > bothSent / 2 && bothFill <= bothSent * 2, "\(ends)")
        #expect(ends.allSatisfy { $0.hasSuffix(" samples lost in 0 gaps, 0 reconnects") }, "\(ends)")
      }
      await receiver.remove()
    }

    @Test(
      "Odd answers are taken or refused for what they are, and a refusal's own words are there without what is secret",
      arguments: AsteriskRelease.newest)
    func answers(release: AsteriskRelease) async throws {
      let (server, port) = try await OriginalFaultTests.fixture("answering-server.py", [])
      let certificates = try TestCertificates()
      let secure = try await Receiver(certificate: try certificates.selfSigned("alone").pair)
      let paths = ["accept", "protocol", "fold", "many", "lf", "closed", "reason", "moved"]
      let forks = paths.map {
        " same => n,AudioFork(ws://127.0.0.1:\(port)/\($0),D(out)r(0)H(Authorization: Bearer b0gus-t0ken))\n"
      }
      let plan = """
        [test]
        exten => a,1,Answer()
        \(forks.joined()) same => n,AudioFork(ws://127.0.0.1:\(secure.port)/tls,D(out)r(0))
         same => n,Wait(2)
         same => n,StopAudioFork()
         same => n,Wait(60)
        exten => b,1,Answer()
         same => n,Wait(60)
        """
      try await Sandbox.with(release, dialplan: plan) { sandbox in
        try await sandbox.call("a", "b")
        for path in ["accept", "protocol", "fold"] {
          let taken = await server.line(within: 15) { $0.hasPrefix("/\(path) ") }
          #expect(taken.flatMap { Int($0.split(separator: " ")[1]) } ?? 0 > 16_000, "\(server.lines)")
        }
        let errors = sandbox.logLines(["ERROR"])
        for (path, words) in [
          ("many", ": unreachable: http: the answer has more than 100 header lines; no attempts"),
          ("lf", ": unreachable: http: a line of the answer ends with a line feed alone; HTTP wants"),
          ("closed", ": unreachable: connection: "),
          ("reason", ": http: 400 Bad Request: no ?[31mroom? for ***; the fork ends"),
          (
            "moved",
            ": unreachable: http: 302 Found to 'ws://...@127.0.0.1:9/there?...', not followed: its Location has"
          ),
        ] {
          let found = errors.filter { $0.contains("/\(path): ") }
          #expect(found.count == 1 && found.first?.contains(words) == true, "\(path): \(found)")
        }
        #expect(
          errors.filter { $0.contains("/closed: ") }.allSatisfy {
            $0.contains(", right after it had accepted the connection; no attempts")
          }, "\(errors)")
        let plain = errors.filter { $0.contains("/tls: ") }
        #expect(plain.count == 1 && plain.first?.contains("use wss://") == true, "\(plain)")
        #expect(errors.count == 6, "\(errors)")
        #expect(
          !sandbox.logLines(["ERROR", "WARNING", "NOTICE"]).contains { $0.contains("b0gus") || $0.contains("secret") })
      }
      await server.end()
      await secure.remove()
    }
  }
}
