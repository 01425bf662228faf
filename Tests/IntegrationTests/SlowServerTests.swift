// SPDX-License-Identifier: Apache-2.0
import AsteriskTestKit
import AudioForkTestKit
import Foundation
import Testing

extension IntegrationTests {
  @Suite("Slow is not dead", .serialized)
  struct SlowServerTests {
    /// A server that stands still for 8 s after the first second of each connection.
    private struct SlowServer {
      let kind: String
      let process: ChildProcess
      let port: String
      let folder: ScratchFolder

      /// `kind`: a program's path, ws for the fixture slow-server.js, or what slow-server.py runs.
      init(_ kind: String) async throws {
        func fixture(_ name: String) -> String { Checkout.root.appending(path: "Testing/Fixtures/\(name)").path }
        let folder = try ScratchFolder()
        let process =
          switch kind {
          case "ws":
            try ChildProcess(
              "/usr/bin/env", ["node", fixture("slow-server.js"), folder.path],
              environment: .inherited(["NODE_PATH": "/usr/share/nodejs"]))
          case _ where kind.hasPrefix("/"): try ChildProcess(kind, [folder.path])
          default: try ChildProcess("/usr/bin/python3", [fixture("slow-server.py"), kind, folder.path])
          }
        let line = try #require(await process.line(within: 10) { $0.hasPrefix("listening on ") }, "\(process.lines)")
        self.kind = kind
        self.process = process
        self.folder = folder
        port = try String(#require(line.split(separator: " ").last))
      }

      var connections: Int { process.lines.count { $0.hasPrefix("connection ") } }

      var recording: [Int16] {
        (FileManager.default.contents(atPath: "\(folder.path)/1.raw") ?? Data())
          .withUnsafeBytes { Array($0.bindMemory(to: Int16.self)) }
      }
    }

    /// scripts/lab/slow-servers names more.
    private static let kinds =
      ProcessInfo.processInfo.environment["AUDIOFORK_SLOW_SERVERS"]?.split(separator: " ").map(String.init)
      ?? ["ws", "websockets"]

    @Test("A server that stands still for 8 s in each connection loses nothing, with the defaults", .tags(.slow))
    func stall() async throws {
      let release = try #require(AsteriskRelease.newest.first)
      let signal = KnownSignal(seed: 81, seconds: 20)
      var servers: [SlowServer] = []
      for kind in Self.kinds { servers.append(try await SlowServer(kind)) }
      let forks = servers.map { " same => n,AudioFork(ws://127.0.0.1:\($0.port)/,D(out))" }
      let dialplan = """
        [test]
        exten => a,1,Answer()
        \(forks.joined(separator: "\n"))
         same => n,Playback(${SOUNDS}/heard)
         same => n,Wait(0.5)
         same => n,StopAudioFork()
         same => n,Wait(60)
        exten => b,1,Answer()
         same => n,Wait(120)
        """
      try await Sandbox.with(release, dialplan: dialplan) { sandbox in
        _ = try sandbox.sound("heard", signal.samples)
        try await sandbox.cli("dialplan set global SOUNDS \(sandbox.folder.path)")
        try await sandbox.call("a", "b")
        let areOver = await becomesTrue(within: 45) {
          sandbox.log.components(separatedBy: " ended: done: all audio was delivered").count == servers.count + 1
        }
        #expect(areOver, "\(sandbox.logLines())")
        #expect(sandbox.logLines() == [])
        for server in servers {
          #expect(server.connections == 1, "\(server.kind): \(server.process.lines)")
          #expect(signal.range(in: server.recording) == 0..<signal.samples.count, "\(server.kind)")
        }
      }
      for server in servers { await server.process.end() }
    }
  }
}
