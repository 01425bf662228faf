// SPDX-License-Identifier: Apache-2.0
import Glibc
import Testing

private let audio = [UInt8](repeating: 3, count: 32_000)

@Suite("audiofork serve", .serialized)
struct ServeCommandRealTimeTests {
  @Test("SIGTERM and Ctrl-C finish the files of open streams and exit with 0", arguments: [SIGTERM, SIGINT])
  func stop(number: CInt) throws {
    let folder = try TemporaryFolder()
    let serve = try ServeProcess(["serve", "--listen", "127.0.0.1:0", "--out", folder.path + "/new"])
    let port = try #require(serve.port())
    #expect(serve.output == "listening on ws://127.0.0.1:\(port)/ - recordings go to \(folder.path)/new\n")
    let clients = try (0..<3).map { try TestClient(port: port, path: "/\($0)") }
    for client in clients {
      client.send(2, audio)
      client.send(9, [])
      #expect(client.frame()?.opcode == 10)
    }
    serve.signal(number)
    for client in clients { #expect(client.frame()?.code == 1001) }
    // One answers, one goes away, one does neither.
    clients[0].send(8, [3, 233])
    clients[1].disconnect()
    #expect(serve.exitStatus() == 0)
    let files = TemporaryFolder.names(folder.path + "/new").map { "\(folder.path)/new/\($0)" }
    #expect(files.count == 3)
    for file in files { #expect(ParsedWav(contents(file))?.samples == audio) }
    #expect(serve.output.split(separator: "\n").filter { $0.contains("ended") && $0.contains("1001") }.count == 3)
    #expect(serve.errors == "")
  }

  @Test("A killed receiver leaves valid files with all that was confirmed by pongs")
  func killed() throws {
    let folder = try TemporaryFolder()
    let serve = try ServeProcess(["serve", "--listen", "127.0.0.1:0", "--out", folder.path])
    let client = try TestClient(port: try #require(serve.port()))
    client.send(2, audio)
    client.send(9, [])
    #expect(client.frame()?.opcode == 10)
    serve.signal(SIGKILL)
    #expect(serve.exitStatus() == nil)
    #expect(ParsedWav(contents(folder.files.first ?? ""))?.samples == audio)
  }

  @Test("It can be restarted on its port at once, with connections of the last run still closing")
  func restart() throws {
    let folder = try TemporaryFolder()
    let first = try ServeProcess(["serve", "--listen", "127.0.0.1:0", "--out", folder.path])
    let port = try #require(first.port())
    let client = try TestClient(port: port)
    first.signal(SIGTERM)
    #expect(client.frame()?.code == 1001)
    #expect(first.exitStatus() == 0)
    let second = try ServeProcess(["serve", "--listen", "127.0.0.1:\(port)", "--out", folder.path])
    #expect(second.port() == port)
    #expect(try TestClient(port: port).close()?.code == 1000)
  }

  @Test("A port in use is refused with a message and exit status 1")
  func portInUse() throws {
    let folder = try TemporaryFolder()
    let first = try ServeProcess(["serve", "--listen", "127.0.0.1:0", "--out", folder.path])
    let port = try #require(first.port())
    let second = try ServeProcess(["serve", "--listen", "127.0.0.1:\(port)", "--out", folder.path])
    #expect(second.exitStatus() == 1)
    #expect(
      second.errors == "audiofork serve: cannot listen on 127.0.0.1:\(port): the address is in use; "
        + "stop the program that listens there or choose another port with --listen\n")
    #expect(second.output == "")
  }

  @Test("A folder that cannot be made, and an address that is none, are refused with a message")
  func refused() throws {
    let folder = try ServeProcess(["serve", "--out", "/dev/null/x"])
    #expect(folder.exitStatus() == 1)
    #expect(folder.errors == "audiofork serve: cannot create the folder /dev/null/x: Not a directory\n")
    let address = try ServeProcess(["serve", "--listen", "8080"])
    #expect(address.exitStatus() == 64)
    #expect(address.errors.hasPrefix("Error: --listen needs HOST:PORT"))
  }

  @Test("A full disk keeps what was written, closes the stream with 1011, names the file, and the receiver goes on")
  func diskFull() throws {
    let folder = try TemporaryFolder()
    // 64 blocks of 512 bytes: 32 KiB a file.
    let serve = try ServeProcess(
      ["serve", "--listen", "127.0.0.1:0", "--out", folder.path, "--json"], fileBlocksMax: 64)
    let port = try #require(serve.port())
    let client = try TestClient(port: port, path: "/full")
    client.send(2, audio)
    client.send(2, audio)
    let answer = try #require(client.frame())
    #expect(answer.code == 1011)
    #expect(String(decoding: answer.payload.dropFirst(2), as: UTF8.self) == "the recording cannot be continued")
    #expect(serve.prints("\"event\":\"ended\""))
    let file = try #require(folder.files.first)
    #expect(serve.output.contains("cannot write \(file): File too large; what was written is kept"))
    let kept = try #require(ParsedWav(contents(file)))
    #expect(kept.samples.count > 30_000)
    #expect(kept.samples.allSatisfy { $0 == 3 })
    let next = try TestClient(port: port, path: "/next")
    next.send(2, Array(audio.prefix(320)))
    #expect(next.close()?.code == 1000)
    serve.signal(SIGTERM)
    #expect(serve.exitStatus() == 0)
  }

  @Test("Its lines for scripts are JSON objects from start to end of a stream")
  func json() throws {
    let folder = try TemporaryFolder()
    let serve = try ServeProcess(["serve", "--listen", "[::1]:0", "--out", folder.path, "--json"])
    #expect(serve.prints("\"listening\""))
    let digits = try #require(serve.output.split(separator: "\"port\":").last?.prefix { $0.isNumber })
    let client = try TestClient(port: try #require(Int(digits)), path: "/j", headers: ["AudioFork-ID: 1"], ipv6: true)
    client.send(2, audio)
    #expect(client.close()?.code == 1000)
    #expect(serve.prints("\"code\":1000"))
    let lines = serve.output.split(separator: "\n")
    #expect(
      lines.map { $0.prefix(16) } == ["{\"event\":\"listen", "{\"event\":\"starte", "{\"event\":\"ended\""])
    #expect(lines.last?.contains("\"seconds\":2.000,\"bytes\":32000,\"messages\":1,") == true)
    #expect(lines.last?.contains("\"remote\":\"[::1]:") == true)
  }
}
