// SPDX-License-Identifier: Apache-2.0
import AsteriskTestKit
import AudioForkTestKit
import Foundation
import Testing

extension IntegrationTests {
  @Suite("Servers written on other libraries receive the stream", .serialized)
  struct OtherServerTests {
    /// Runs an example server, forks a call to it and compares the raw file that it wrote.
    private func receives(
      _ release: AsteriskRelease, _ program: String, _ arguments: [String], environment: [String: String] = [:]
    ) async throws {
      let signal = KnownSignal(seed: 31, seconds: 3)
      let folder = "/tmp/af-other-\(UInt32.random(in: 0...UInt32.max))"
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
      let server = try ChildProcess(
        program, arguments + ["127.0.0.1", "0", folder], environment: .inherited(environment))
      let line = try #require(await server.line(within: 10) { $0.hasPrefix("listening on ") }, "\(server.lines)")
      let port = try #require(line.split(separator: " ").last)
      try await FaultTests.withCall(release, to: "ws://127.0.0.1:\(port)/call", hearing: signal) { sandbox in
        #expect(await becomesTrue(within: 15) { sandbox.log.contains(" ended: ") })
        #expect(sandbox.logLines() == [])
      }
      server.signal(SIGTERM)
      let status = await server.exitStatus(within: 5)
      #expect(status == 0, "\(server.lines)")
      let files = try FileManager.default.contentsOfDirectory(atPath: folder)
      #expect(files.count == 1)
      let path = "\(folder)/\(try #require(files.first))"
      let samples =
        if path.hasSuffix(".wav") {
          try wavSamples(path)
        } else {
          try #require(FileManager.default.contents(atPath: path))
            .withUnsafeBytes { Array($0.bindMemory(to: Int16.self)) }
        }
      #expect(signal.range(in: samples) == 0..<signal.samples.count)
      try? FileManager.default.removeItem(atPath: folder)
    }

    @Test("Node's ws", arguments: AsteriskRelease.newest)
    func node(release: AsteriskRelease) async throws {
      try await receives(
        release, "/usr/bin/env", ["node", Checkout.root.appending(path: "Examples/receiver-node/server.js").path],
        environment: ["NODE_PATH": "/usr/share/nodejs"])
    }

    @Test("Python's websockets", arguments: AsteriskRelease.newest)
    func python(release: AsteriskRelease) async throws {
      try await receives(
        release, "/usr/bin/python3", [Checkout.root.appending(path: "Examples/receiver-python/server.py").path])
    }
  }
}
