// SPDX-License-Identifier: Apache-2.0
import AudioForkMedia
import AudioForkEngine
import AudioForkEngineTestKit
import AudioForkLink
import AudioForkTestKit
import AudioForkWireTestKit
import Glibc
import Testing

/// The engine's client against servers on other people's libraries, while calls are spoken: what their parsers say.
@Suite("Strict servers over loopback", .serialized)
struct StrictServerRealTimeTests {
  /// A fork, and what its server does and gets.
  struct Fork: Sendable {
    let name: String
    let options: String
    var directions = DirectionSet.both
    /// The server closes with it.
    var code: Int?
    /// The bytes of the whole call; nil where only the two servers are compared.
    var expected: (@Sendable (_ frames: Int) -> [UInt8])?
  }

  private static func linear(_ samples: [Int16]) -> [UInt8] {
    samples.flatMap { [UInt8(truncatingIfNeeded: $0), UInt8(truncatingIfNeeded: $0 >> 8)] }
  }

  /// Messages of 160 to 3840 bytes; every form of length that 20 ms of audio can have.
  private static let forks: [Fork] =
    [
      Fork(name: "both", options: "D(both)") { linear(TestCall.expected(frames: $0)) },
      Fork(name: "in", options: "D(in)", directions: .in) { linear(TestCall.expected(frames: $0, .in)) },
      Fork(name: "stereo", options: "D(stereo)") { frames in
        linear(
          zip(TestCall.expected(frames: frames, .in), TestCall.expected(frames: frames, .out)).flatMap { [$0, $1] })
      },
      Fork(name: "ulaw", options: "D(both)f(ulaw)") { TestCall.expected(frames: $0).map { G711.muLaw($0) } },
      Fork(name: "alaw", options: "D(out)f(alaw)", directions: .out) {
        TestCall.expected(frames: $0, .out).map { G711.aLaw($0) }
      },
      Fork(name: "slin16", options: "D(both)f(slin16)"),
      Fork(name: "slin48", options: "D(both)f(slin48)"),
      Fork(name: "slin48stereo", options: "D(stereo)f(slin48)"),
    ]
    + [1000, 1001, 1008, 1011, 1012, 3000, 4999].map { (code: Int) in
      Fork(name: "closed-\(code)", options: "D(both)", code: code) { linear(TestCall.expected(frames: $0)) }
    }

  private static let said = "{\"said\":\"κόσμε\"}"

  @Test("Node's ws and Python's websockets find nothing wrong, and get the audio whole")
  func strictServers() async throws {
    let servers = [
      try PeerProcess(
        "/usr/bin/env", ["node"], fixture: "strict-server.js", environment: ["NODE_PATH": "/usr/share/nodejs"]),
      try PeerProcess("/usr/bin/python3", [], fixture: "strict-server.py"),
    ]
    let directory = try ScratchFolder()
    let engine = try await TestEngine(directory)
    var calls: [TestCall] = []
    for (index, server) in servers.enumerated() {
      try await eventually("\(server.fixture) listens") { server.port != nil }
      let port = try #require(server.port, "\(server.lines)")
      for fork in Self.forks {
        let call = try TestCall(
          in: directory, id: "\(index)-\(fork.name)", url: "ws://127.0.0.1:\(port)/\(fork.name)", options: fork.options,
          directions: fork.directions)
        engine.tell(.fork(id: call.id, isClosed: false))
        calls.append(call)
      }
    }
    for milliseconds in stride(from: Int64(20), through: 1600, by: 20) {
      for call in calls { try await call.speak(untilMilliseconds: milliseconds) }
      guard milliseconds == 300 else { continue }
      for call in calls { engine.tell(.sendText(id: call.id, text: Array("κόσμε \(call.id)".utf8))) }
    }
    for call in calls { call.hangUp() }
    try await eventually("all forks end") { calls.allSatisfy { engine.ended($0.id) != nil } }
    for (index, server) in servers.enumerated() {
      let connections = Self.forks.reduce(0) { $0 + ($1.code == nil || $1.code == 1000 ? 1 : 2) }
      try await eventually("\(server.fixture) has seen all ends") { server.ends.count == connections }
      #expect(server.lines.count == 1 + connections, "no word of an error: \(server.lines)")
      for fork in Self.forks {
        try judge(fork, server, engine, id: "\(index)-\(fork.name)", frames: calls[0].framesWritten)
      }
    }
    for fork in Self.forks where fork.expected == nil {
      let audio = servers.map { $0.file("\(fork.name).1") }
      #expect(audio[0] == audio[1], "\(fork.name): \(audio.map { $0?.count ?? -1 })")
    }
    #expect(engine.lines(.error) == [])
  }

  private func judge(_ fork: Fork, _ server: PeerProcess, _ engine: TestEngine, id: String, frames: Int) throws {
    let what = "\(server.fixture) \(fork.name)"
    let end = try #require(engine.ended(id), "\(what)")
    let ends = server.ends.filter { $0.name == fork.name }.sorted { $0.number < $1.number }
    #expect(ends.map(\.code) == (fork.code.map { $0 == 1000 ? [1000] : [$0, 1000] } ?? [1000]), "\(what)")
    #expect(ends.allSatisfy { $0.errors == 0 }, "\(what): \(ends)")
    // The last pings meet a client that has said its Close.
    #expect(ends.allSatisfy { $0.pongs >= 6 && $0.pongs >= $0.pings - 3 }, "\(what): \(ends)")
    #expect(ends.reduce(0) { $0 + $1.texts } == 1, "\(what): \(ends)")
    let texts = engine.messages.compactMap { message -> String? in
      if case .text(id, let text, _, _) = message { String(decoding: text, as: UTF8.self) } else { nil }
    }
    #expect(texts.allSatisfy { $0 == Self.said }, "\(what): \(texts)")
    #expect(texts.count == ends.reduce(0) { $0 + $1.said } && !texts.isEmpty, "\(what): \(texts.count) of \(ends)")
    let audio = try ends.map { try #require(server.file("\(fork.name).\($0.number)"), "\(what)") }
    let first = try #require(audio.first, "\(what)")
    if fork.code == 1000 {
      #expect(end.reason.hasPrefix("server: closed with 1000"), "\(what): \(end.reason)")
    } else {
      #expect(end.reason == "done: all audio was delivered", "\(what)")
    }
    guard let expected = fork.expected?(frames) else {
      #expect(first.count == Int(end.counters.bytes), "\(what)")
      return
    }
    if fork.code == nil {
      #expect(first == expected, "\(what): \(first.count) bytes of \(expected.count)")
    } else {
      #expect(first.count >= 8000 && expected.starts(with: first), "\(what): \(first.count)")
      // What the first connection did not take, the second one has.
      let rest = audio.last ?? []
      #expect(ends.count == 1 || expected.suffix(rest.count).elementsEqual(rest), "\(what): \(rest.count)")
      #expect(ends.count == 1 || first.count + rest.count >= expected.count, "\(what): \(audio.map(\.count))")
    }
  }
}

/// A server in a process of its own, out of Testing/Fixtures. Its files are in a folder that is gone
/// with it.
final class PeerProcess {
  struct End {
    var name: String
    var number: Int
    var code: Int
    var errors: Int
    var pongs: Int
    var pings: Int
    var texts: Int
    var said: Int
  }

  let fixture: String
  private let folder: ScratchFolder
  private let child: ChildProcess

  init(_ program: String, _ arguments: [String], fixture: String, environment: [String: String] = [:]) throws {
    self.fixture = fixture
    folder = try ScratchFolder()
    let root = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
    child = try ChildProcess(
      program, arguments + ["/\(root)/Testing/Fixtures/\(fixture)", folder.path],
      environment: .only(environment.merging(["PATH": "/usr/bin:/bin"]) { given, _ in given }))
  }

  /// A file's bytes; nil where there is none.
  func file(_ name: String) -> [UInt8]? {
    let descriptor = open(folder.file(name), O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var all: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65_536)
    while case let count = read(descriptor, &buffer, buffer.count), count > 0 { all += buffer.prefix(count) }
    return all
  }

  /// What it printed.
  var lines: [String] { child.lines.filter { !$0.isEmpty } }

  var port: Int? {
    lines.first { $0.hasPrefix("listening on ") }.flatMap { Int($0.dropFirst("listening on ".count)) }
  }

  /// NAME.N closed CODE errors E pongs P of Q texts T said S
  var ends: [End] {
    lines.compactMap { line in
      let words = line.split(separator: " ")
      let numbers = words.compactMap { Int($0) }
      guard words.count == 13, words[1] == "closed", numbers.count == 6, let dot = words[0].lastIndex(of: "."),
        let number = Int(words[0][words[0].index(after: dot)...])
      else { return nil }
      return End(
        name: String(words[0][..<dot]), number: number, code: numbers[0], errors: numbers[1], pongs: numbers[2],
        pings: numbers[3], texts: numbers[4], said: numbers[5])
    }
  }
}
