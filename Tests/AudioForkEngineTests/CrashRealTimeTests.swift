// SPDX-License-Identifier: Apache-2.0
import AudioForkEngine
import AudioForkEngineTestKit
import AudioForkLink
import AudioForkTestKit
import AudioForkWireTestKit
import CAudioForkProcess
import Glibc
import Testing

/// Whom an engine that crashes blames, and what the next one makes of it.
@Suite("Crashes of the engine", .serialized)
struct CrashRealTimeTests {
  private static func write(_ count: Int, to path: String) {
    let file = open(path, O_WRONLY | O_CREAT, 0o600)
    _ = [UInt8](repeating: 120, count: count).withUnsafeBytes { Glibc.write(file, $0.baseAddress, $0.count) }
    close(file)
  }

  private static func size(_ path: String) -> Int? {
    var status = stat()
    return stat(path, &status) == 0 ? Int(status.st_size) : nil
  }

  @Test(
    "A fork over which three engines have crashed is given up, and nothing of it is left; two it survives",
    arguments: [2, 3])
  func givenUp(crashes: Int) async throws {
    let directory = try ScratchFolder()
    let server = try await TestServer.start()
    let engine = try await TestEngine(directory)
    let call = try TestCall(in: directory, url: server.url, age: 400 * millisecond)
    call.speak(frames: 20)
    call.hangUp()
    Self.write(crashes, to: directory.file("\(call.id).crashes"))
    engine.tell(.fork(id: call.id, isClosed: true))
    try await eventually("the fork ends") { engine.ended(call.id) != nil }
    let end = try #require(engine.ended(call.id))
    let isGivenUp = crashes >= 3
    #expect(end.reason.hasPrefix(isGivenUp ? "engine: it has crashed 3 times over this fork" : "done: "))
    #expect(server.connections.count == (isGivenUp ? 0 : 1))
    #expect(directory.names == [])
    #expect(engine.lines(.error).count == (isGivenUp ? 1 : 0))
    await server.stop()
  }

  @Test("A crash leaves a byte in the file that its thread has named, and none where it has named none")
  func leavesWord() throws {
    let directory = try ScratchFolder()
    let path = directory.file("x.crashes")
    var before = sigaction()
    try #require(sigaction(SIGFPE, nil, &before) == 0)
    defer { sigaction(SIGFPE, &before, nil) }
    // What is raised comes once: the handler notes it and hands the signal back to whom it had before.
    af_crash_watch()
    raise(SIGFPE)
    #expect(directory.names == [])
    for count in 1...2 {
      af_crash_watch()
      path.withCString { name in
        let last = af_crash_blame(name)
        #expect(last == nil)
        raise(SIGFPE)
        #expect(af_crash_blame(last) == name)
      }
      #expect(Self.size(path) == count)
    }
  }
}
