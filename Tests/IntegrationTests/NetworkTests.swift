// SPDX-License-Identifier: Apache-2.0
import AsteriskTestKit
import AudioForkTestKit
import Foundation
import Testing

extension IntegrationTests {
  @Suite("The way to a server", .serialized)
  struct NetworkTests {
    @Test(
      "A profile with credentials in files, a proxy and a redirect delivers a whole call, twice with other credentials",
      arguments: AsteriskRelease.tested)
    func profile(release: AsteriskRelease) async throws {
      let receiver = try await Receiver()
      let (server, port) = try await OriginalFaultTests.fixture(
        "redirecting-server.py", ["http://server.invalid:\(receiver.port)/there?sig=s1gned"])
      let folder = try ScratchFolder()
      let signal = KnownSignal(seed: 93, seconds: 2)
      let profile = """

        [general](+)
        allow = ws://server.invalid:*/*
        proxy = http://audiofork:pr0xy-secret@127.0.0.1:\(port)
        no_proxy = .example.org, 10.0.0.0/8

        [way]
        url = ws://server.invalid:\(port)/start
        token_file = \(folder.file("token"))
        header_file = \(folder.file("headers"))
        redirects = same-host
        direction = out
        """
      let plan = """
        [test]
        exten => a,1,Answer()
         same => n,AudioFork(way)
         same => n,Playback(${SOUNDS}/heard)
         same => n,StopAudioFork()
         same => n,Wait(60)
        exten => b,1,Answer()
         same => n,Wait(60)
        """
      try await Sandbox.with(release, dialplan: plan) { sandbox in
        _ = try sandbox.sound("heard", signal.samples)
        try await sandbox.cli("dialplan set global SOUNDS \(sandbox.folder.path)")
        try ModuleFeatureTests.append(profile, of: sandbox)
        try await sandbox.cli("module reload app_audiofork.so")
        for number in 1...2 {
          try Data("t0ken-\(number)\n".utf8).write(to: URL(filePath: folder.file("token")))
          try Data("X-Key: k3y-\(number)\n".utf8).write(to: URL(filePath: folder.file("headers")))
          try await sandbox.call("a", "b")
          #expect(await receiver.started(number, path: "there", within: 10), "\(sandbox.logLines())")
          let list = try await sandbox.cli("audiofork list")
          let id = try #require(list.firstMatch(of: /af-[0-9a-f]+-[0-9]+/)?.output, "\(list)")
          let isShown = try await ModuleFeatureTests.cli(sandbox, "audiofork show fork \(id)") {
            $0.contains("WsServer: ws://server.invalid:\(port)/start\n")
              && $0.contains("Endpoint: ws://server.invalid:\(receiver.port)/there?...\n")
          }
          #expect(isShown)
          #expect(await receiver.ended(number, path: "there", within: 15))
        }
        for recording in try receiver.recordings(path: "there") {
          #expect(signal.range(in: recording) == 0..<signal.samples.count)
        }
        #expect(
          server.lines.filter { $0.hasPrefix("request ") } == [
            "request /start Bearer_t0ken-1 k3y-1", "request /start Bearer_t0ken-2 k3y-2",
          ])
        let proxied = server.lines.filter { $0.hasPrefix("connect ") }
        #expect(proxied.count == 4 && Set(proxied).count == 2, "\(proxied)")
        #expect(
          proxied.allSatisfy { $0.hasSuffix(" Basic_\(Data("audiofork:pr0xy-secret".utf8).base64EncodedString())") })
        #expect(sandbox.logLines() == [])
        #expect(sandbox.logLines(["NOTICE"], containing: "redirected to ws://server.invalid").count == 2)
        for secret in ["t0ken", "k3y", "pr0xy-secret", "s1gned"] { #expect(!sandbox.log.contains(secret), "\(secret)") }
      }
      await server.end()
      await receiver.remove()
    }
  }
}
