// SPDX-License-Identifier: Apache-2.0
import AudioForkReceiver
import Glibc
import NIOCore
import Testing

private let token = "0123456789abcdef0123456789abcdef"
private let otherToken = "fedcba9876543210fedcba9876543210"

private func seconds() -> Double {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}

/// A client's frame of some bytes, its mask zeros.
private func masked(_ opcode: UInt8, _ payload: [UInt8]) -> [UInt8] {
  let length: [UInt8] =
    payload.count < 126 ? [0x80 | UInt8(payload.count)] : [0xFE, UInt8(payload.count >> 8), UInt8(payload.count & 255)]
  return [0x80 | opcode] + length + [0, 0, 0, 0] + payload
}

@Suite("audiofork serve among strangers", .serialized)
struct ServeStrangersRealTimeTests {
  private func tokenFile(in folder: TemporaryFolder) throws -> String {
    let path = folder.path + "/tokens"
    try write(Array("\(token)\n\(otherToken)\n".utf8), to: path)
    return path
  }

  @Test("With --token-file nothing starts without a token, and a fork's file belongs to the token that began it")
  func tokens() throws {
    let folder = try TemporaryFolder()
    let out = folder.path + "/out"
    let serve = try ServeProcess([
      "serve", "--listen", "127.0.0.1:0", "--out", out, "--token-file", tokenFile(in: folder),
    ])
    let port = try #require(serve.port())
    for header in [nil, "Authorization: Bearer \(token)0", "Authorization: Basic \(token)", "X-Token: \(token)"] {
      let client = try TestClient(port: port, path: "/calls", headers: header.map { [$0] } ?? [])
      #expect(client.answer.hasPrefix("HTTP/1.1 401 Unauthorized\r\n"), "\(client.answer)")
      #expect(client.answer.lowercased().contains("\r\nwww-authenticate: bearer\r\n"))
    }
    #expect(try TestClient(port: port, upgrade: "h2c").answer.hasPrefix("HTTP/1.1 401 "), "nor any other answer")
    #expect(TemporaryFolder.names(out) == [])
    #expect(serve.output.split(separator: "\n").count == 1)
    func resume(_ token: String) throws -> TestClient {
      let client = try TestClient(
        port: port, path: "/calls", headers: ["Sec-WebSocket-Protocol: audiofork.v1", "Authorization: Bearer \(token)"])
      client.send(1, Array(startMessage().utf8))
      return client
    }
    func position(_ client: TestClient) -> String? {
      client.frame().map { String(decoding: $0.payload, as: UTF8.self) }
    }
    let first = try resume(token)
    #expect(position(first) == #"{"type":"resume","position":0}"#)
    first.send(2, [UInt8](repeating: 0, count: 8) + [UInt8](repeating: 0x11, count: 1600))
    #expect(position(first) == #"{"type":"ack","position":800,"level":"received"}"#)
    // Another client knows all of the fork's facts, but not the token.
    let other = try resume(otherToken)
    #expect(position(other) == #"{"type":"resume","position":0}"#)
    first.send(2, [0, 0, 0, 0, 0, 0, 3, 0x20] + [UInt8](repeating: 0x11, count: 1600))
    #expect(position(first) == #"{"type":"ack","position":1600,"level":"received"}"#, "it was not thrown out")
    #expect(position(try resume(token)) == #"{"type":"resume","position":1600}"#)
    #expect(TemporaryFolder.names(out).count == 2)
    #expect(!serve.output.contains(token) && !serve.output.contains(otherToken))
    serve.signal(SIGTERM)
    #expect(serve.exitStatus() == 0)
    #expect(serve.errors == "")
  }

  @Test("A token file that others can read is refused with a message")
  func openTokenFile() throws {
    let folder = try TemporaryFolder()
    let path = try tokenFile(in: folder)
    #expect(chmod(path, 0o644) == 0)
    let serve = try ServeProcess(["serve", "--listen", "127.0.0.1:0", "--out", folder.path, "--token-file", path])
    #expect(serve.exitStatus() == 1)
    #expect(
      serve.errors == "audiofork serve: the token file \(path) is open to other users; 'chmod 600' it, or 640 where "
        + "its group has to read it\n")
  }

  @Test("More streams than --max-connections are answered with 503, until one has ended")
  func limit() throws {
    let folder = try TemporaryFolder()
    let serve = try ServeProcess([
      "serve", "--listen", "127.0.0.1:0", "--out", folder.path, "--max-connections", "2",
    ])
    let port = try #require(serve.port())
    let clients = try (0..<2).map { _ in try TestClient(port: port) }
    let third = try TestClient(port: port)
    #expect(third.answer.hasPrefix("HTTP/1.1 503 Service Unavailable\r\n"), "\(third.answer)")
    #expect(third.answer.lowercased().contains("\r\nretry-after: 5\r\n"))
    #expect(clients[0].close()?.code == 1000)
    // It counts until its file is closed.
    var next = try TestClient(port: port)
    for _ in 0..<100 where !next.answer.hasPrefix("HTTP/1.1 101 ") {
      usleep(10_000)
      next = try TestClient(port: port)
    }
    #expect(next.answer.hasPrefix("HTTP/1.1 101 "))
    #expect(next.close()?.code == 1000)
    #expect(folder.names.count == 3)
    let wrong = try ServeProcess(["serve", "--max-connections", "0"])
    #expect(wrong.exitStatus() == 64)
    let few = try ServeProcess(
      ["serve", "--listen", "127.0.0.1:0", "--out", folder.path, "--max-connections", "500"], openFilesMax: 400)
    #expect(few.port() != nil)
    #expect(
      few.errors == "audiofork serve: WARNING: --max-connections is 40 and not 500, because the limit on open files is "
        + "400; raise it with 'ulimit -n' or LimitNOFILE=\n")
  }

  @Test("On an address that others reach one line warns of what is open to them; on loopback none does")
  func warning() throws {
    let folder = try TemporaryFolder()
    let serve = try ServeProcess(["serve", "--listen", "0.0.0.0:0", "--out", folder.path])
    #expect(
      serve.prints(
        "WARNING: others on the network can record here, and read the calls on their way; "
          + "use --certificate and --key, and --token-file or --client-ca\n"))
    let secret = try ServeProcess([
      "serve", "--listen", "0.0.0.0:0", "--out", folder.path, "--token-file", tokenFile(in: folder), "--json",
    ])
    #expect(secret.prints(#"{"event":"warning","message":"others on the network can read the calls and the tokens"#))
    let loopback = try ServeProcess(["serve", "--listen", "127.0.0.1:0", "--out", folder.path])
    _ = try TestClient(port: try #require(loopback.port())).close()
    #expect(loopback.prints("ended"))
    #expect(!loopback.output.contains("WARNING"))
  }

  @Test("Clients that read nothing and floods of small messages take no memory; a stop takes less than five seconds")
  func flood() throws {
    let folder = try TemporaryFolder()
    let serve = try ServeProcess(["serve", "--listen", "127.0.0.1:0", "--out", folder.path])
    let port = try #require(serve.port())
    let silent = try TestClient(port: port, path: "/silent")
    silent.send(2, [1, 2])
    silent.send(9, [])
    #expect(silent.frame()?.opcode == 10)
    let before = try #require(serve.residentKilobytes)
    // Pings whose pongs nobody reads.
    let pings = try TestClient(port: port, path: "/pings")
    let ping = masked(9, [UInt8](repeating: 1, count: 125))
    _ = pings.flood((0..<500).flatMap { _ in ping }, seconds: 2)
    let fork = try TestClient(port: port, path: "/empty", headers: ["Sec-WebSocket-Protocol: audiofork.v1"])
    fork.send(1, Array(startMessage().utf8))
    #expect(fork.frame()?.opcode == 1)
    // Positions without samples, two apart, as if each skipped something.
    var empty: [UInt8] = []
    for number in 1...5000 {
      let position = UInt16(truncatingIfNeeded: 2 * number)
      empty += masked(2, [0, 0, 0, 0, 0, 0, UInt8(position >> 8), UInt8(position & 255)])
    }
    _ = fork.flood(empty, seconds: 2)
    #expect(fork.frame()?.code == 1002)
    let half = try TestClient(port: port, path: "/half")
    half.send(raw: [0x82, 0xFE])
    let request = try TestClient(port: port, path: "/wait", headers: ["Sec-WebSocket-Protocol: audiofork.v1"])
    let grown = try #require(serve.residentKilobytes) - before
    #expect(grown < 24_000, "\(grown) kB more")
    let start = seconds()
    serve.signal(SIGTERM)
    #expect(serve.exitStatus() == 0)
    #expect(seconds() - start < 5)
    #expect(serve.errors == "")
    withExtendedLifetime((silent, pings, fork, half, request)) {}
  }

  @Test("Standard output that nobody reads takes no memory and keeps no stop waiting")
  func outputStalls() throws {
    let folder = try TemporaryFolder()
    let pipe = folder.path + "/pipe"
    #expect(mkfifo(pipe, 0o600) == 0)
    let reader = open(pipe, O_RDWR)
    defer { close(reader) }
    let serve = try ServeProcess(["serve", "--listen", "127.0.0.1:0", "--out", folder.path + "/out"], output: pipe)
    var line = [UInt8](repeating: 0, count: 200)
    let count = read(reader, &line, line.count)
    let first = String(decoding: line.prefix(max(0, count)), as: UTF8.self)
    let address = try #require(first.split(separator: "/").dropFirst().first)
    let port = try #require(address.split(separator: ":").last.flatMap { Int($0) })
    let client = try TestClient(port: port)
    client.send(9, [])
    #expect(client.frame()?.opcode == 10)
    let before = try #require(serve.residentKilobytes)
    let text = masked(1, [UInt8](repeating: 0x61, count: 60_000))
    for _ in 0..<1000 { client.send(raw: text) }
    client.send(9, [])
    #expect(client.frame()?.opcode == 10)
    let grown = try #require(serve.residentKilobytes) - before
    #expect(grown < 40_000, "\(grown) kB more")
    let start = seconds()
    serve.signal(SIGTERM)
    #expect(serve.exitStatus() == 0)
    #expect(seconds() - start < 5)
  }
}

@Suite("The receiver's limits", .serialized)
struct ReceiverLimitsRealTimeTests {
  private func with(
    _ limits: Receiver.Limits, _ body: (Int, TemporaryFolder, AsyncStream<ReceiverEvent>.Iterator) async throws -> Void
  ) async throws {
    let folder = try TemporaryFolder()
    let (events, continuation) = AsyncStream<ReceiverEvent>.makeStream()
    let receiver = try Receiver(
      address: ListenAddress(host: "127.0.0.1", port: 0), folder: RecordingFolder(preparing: folder.path),
      limits: limits, emit: { continuation.yield($0) })
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await receiver.run() }
      var iterator = events.makeAsyncIterator()
      guard case .listening(_, let port, _) = await iterator.next() else { throw SystemCallFailed(what: "listening") }
      try await body(port, folder, iterator)
      group.cancelAll()
    }
  }

  @Test("A client that is gone without a word is found out, and one that answers pings is not")
  func silence() async throws {
    try await with(Receiver.Limits(silenceDelay: .milliseconds(100))) { port, _, events in
      var events = events
      let dead = try TestClient(port: port, path: "/dead")
      dead.send(2, [1, 2])
      let alive = try TestClient(port: port, path: "/alive")
      var pings = 0
      while pings < 8 {
        let frame = try #require(alive.frame())
        #expect(frame.opcode == 9)
        alive.send(10, frame.payload)
        pings += 1
      }
      var ended: [String] = []
      while ended.isEmpty, let event = await events.next() {
        if case .ended(let facts, let progress, let ending, _, _) = event {
          ended.append(facts.request.path)
          #expect(ending.side == .lost && ending.reason == "the client has not answered pings for 60 seconds")
          #expect(progress.frameCount == 1)
        }
      }
      #expect(ended == ["/dead"])
      #expect(alive.close()?.code == 1000)
    }
  }

  @Test("A request of more than 16 KiB, 8 KiB in a field or 100 fields opens no stream")
  func longRequest() async throws {
    try await with(Receiver.Limits()) { port, folder, _ in
      func isTaken(_ headers: [String]) -> Bool {
        (try? TestClient(port: port, headers: headers))?.answer.hasPrefix("HTTP/1.1 101 ") ?? false
      }
      func fields(_ count: Int, bytes: Int) -> [String] {
        (0..<count).map { "X-\($0): " + String(repeating: "x", count: bytes) }
      }
      #expect(isTaken(fields(2, bytes: 7900)))
      #expect(isTaken(fields(90, bytes: 100)))
      #expect(!isTaken(fields(1, bytes: 8200)))
      #expect(!isTaken(fields(3, bytes: 6000)))
      #expect(!isTaken(fields(101, bytes: 1)))
      #expect(folder.files.count <= 2)
    }
  }

  @Test("Long messages that never end fill the memory for clients together once, and streams of short ones go on")
  func memory() async throws {
    try await with(Receiver.Limits(memoryBytes: 2 << 20)) { port, folder, _ in
      let honest = try TestClient(port: port, path: "/honest")
      // 1 MiB is announced, 900 kB come.
      let part = [0x82, 0xFF, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0] + [UInt8](repeating: 0, count: 900_000)
      let greedy = try (0..<6).map { try TestClient(port: port, path: "/greedy\($0)") }
      for client in greedy { client.send(raw: part) }
      for _ in 0..<6 {
        honest.send(2, [UInt8](repeating: 5, count: 320))
        honest.send(9, [])
        #expect(honest.frame()?.opcode == 10)
      }
      // Two of them fit.
      let refused = greedy.count { $0.frame(within: 0.5)?.code == 1013 }
      #expect((4...5).contains(refused), "\(refused) of 6 were refused")
      #expect(honest.close()?.code == 1000)
      let file = try #require(folder.files.first { $0.contains("/honest-") })
      #expect(ParsedWav(contents(file))?.samples == [UInt8](repeating: 5, count: 6 * 320))
    }
  }
}
