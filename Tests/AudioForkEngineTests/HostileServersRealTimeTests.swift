// SPDX-License-Identifier: Apache-2.0
import AudioForkMedia
import AudioForkEngine
import AudioForkEngineTestKit
import AudioForkLink
import AudioForkTestKit
import AudioForkWireTestKit
import CAudioForkABI
import Foundation
import Glibc
import NIOCore
import NIOPosix
import Synchronization
import Testing

/// Servers that send as much of one kind as the client takes, on a thread of their own.
private final class HostileServer: Sendable {
  enum Kind: String, CaseIterable {
    case emptyTexts
    case pings
    /// Frames of one byte, each byte for itself.
    case bytes
    /// An answer to the upgrade that comes byte by byte and never ends.
    case slowAnswer
  }

  private final class Connection {
    let socket: CInt
    var request: [UInt8] = []
    var isOpen = false
    var answered = 0
    init(_ socket: CInt) { self.socket = socket }
  }

  let port: UInt16
  private let kind: Kind
  private let listener: CInt
  private let isOver = Atomic(false)

  init(_ kind: Kind) throws {
    self.kind = kind
    let listener = Glibc.socket(
      AF_INET, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_NONBLOCK.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
    self.listener = listener
    try #require(listener >= 0)
    var address: [UInt8] = [UInt8(AF_INET), 0, 0, 0, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]
    var size = socklen_t(address.count)
    let failure = address.withUnsafeMutableBytes { bytes in
      let place = bytes.baseAddress?.assumingMemoryBound(to: sockaddr.self)
      return bind(listener, place, size) != 0 || listen(listener, 128) != 0 || getsockname(listener, place, &size) != 0
    }
    port = UInt16(address[2]) << 8 | UInt16(address[3])
    try #require(!failure)
    Thread { [self] in serve() }.start()
  }

  func stop() { isOver.store(true, ordering: .relaxed) }

  private func serve() {
    let flood: [UInt8] =
      switch kind {
      case .emptyTexts: [UInt8]([[UInt8]](repeating: wireFrame(1), count: 16_384).joined())
      case .pings: [UInt8]([[UInt8]](repeating: wireFrame(9, [1, 2]), count: 8192).joined())
      case .bytes: wireFrame(1, [65])
      case .slowAnswer: [UInt8](repeating: 65, count: 1)
      }
    var connections: [Connection] = []
    var buffer = [UInt8](repeating: 0, count: 65_536)
    while !isOver.load(ordering: .relaxed) {
      while case let socket = accept(listener, nil, nil), socket >= 0 {
        _ = fcntl(socket, F_SETFL, O_NONBLOCK)
        _ = fcntl(socket, F_SETFD, FD_CLOEXEC)
        var on: CInt = 1
        setsockopt(socket, CInt(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<CInt>.size))
        connections.append(Connection(socket))
      }
      var gone: [Int] = []
      for (index, connection) in connections.enumerated() {
        let count = recv(connection.socket, &buffer, buffer.count, 0)
        if count == 0 || count < 0 && errno != EAGAIN {
          gone.append(index)
        } else if !connection.isOpen {
          connection.request += buffer.prefix(max(count, 0))
          if connection.request.suffix(4) == [13, 10, 13, 10] { answer(connection) }
        } else if kind == .bytes || kind == .slowAnswer {
          for byte in flood { send(connection.socket, [byte]) }
        } else {
          send(connection.socket, flood)
        }
      }
      for index in gone.reversed() { close(connections.remove(at: index).socket) }
      usleep(200)
    }
    for connection in connections { close(connection.socket) }
    close(listener)
  }

  private func answer(_ connection: Connection) {
    connection.isOpen = true
    let name = "Sec-WebSocket-Key: "
    let lines = String(decoding: connection.request, as: UTF8.self).split(separator: "\r\n")
    let key = lines.first { $0.hasPrefix(name) }?.dropFirst(name.count) ?? ""
    var answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    answer += kind == .slowAnswer ? "X: " : "Sec-WebSocket-Accept: \(acceptValue(String(key)))\r\n\r\n"
    send(connection.socket, Array(answer.utf8))
  }

  private func send(_ socket: CInt, _ bytes: [UInt8]) {
    _ = bytes.withUnsafeBytes { Glibc.send(socket, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL)) }
  }
}

/// The longest time from one turn of a loop to the next.
private struct TurnMeter {
  private final class Log: Sendable {
    private let state = Mutex<(last: Int64?, longest: Int64)>((nil, 0))

    func turned() {
      let now = af_now_ns()
      state.withLock { state in
        if let last = state.last { state.longest = max(state.longest, now - last) }
        state.last = now
      }
    }

    func takeLongest() -> Int64 {
      state.withLock { state in
        defer { state.longest = 0 }
        return state.longest
      }
    }
  }

  private let log = Log()
  private let task: RepeatedTask

  init(_ loop: any EventLoop) {
    task = loop.scheduleRepeatedTask(initialDelay: .zero, delay: .milliseconds(5)) { [log] _ in log.turned() }
  }

  /// Milliseconds, since it was asked last.
  func takeLongest() -> Int64 { log.takeLongest() / millisecond }

  func stop() { task.cancel() }
}

/// Forks to servers that do their worst beside one to a server that does nothing wrong, on one event loop.
@Suite("Hostile servers", .serialized)
struct HostileServersRealTimeTests {
  @Test("Servers that flood lose their connections, and a fork beside them loses nothing and waits for nobody")
  func flood() async throws {
    let directory = try ScratchFolder()
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    let loop = group.next()
    let server = try await TestServer.start()
    let engine = try await TestEngine(directory, loops: [loop])
    let honest = try TestCall(in: directory, id: "honest", url: server.url)
    engine.tell(.fork(id: honest.id, isClosed: false))
    try await honest.speak(untilMilliseconds: 500)
    try await eventually("it streams") { engine.states(honest.id).last == .streaming }
    let hostile = try HostileServer.Kind.allCases.map { try HostileServer($0) }
    var calls: [TestCall] = []
    for (kind, server) in zip(HostileServer.Kind.allCases, hostile) {
      for number in 0..<30 {
        calls.append(
          try TestCall(
            in: directory, id: "\(kind.rawValue)-\(number)", url: "ws://127.0.0.1:\(server.port)/",
            options: "D(in)r(3)",
            directions: .in))
      }
    }
    let meter = TurnMeter(loop)
    for call in calls { engine.tell(.fork(id: call.id, isClosed: false)) }
    try await honest.speak(untilMilliseconds: 2500)
    // All of them have connected meanwhile.
    _ = meter.takeLongest()
    try await honest.speak(untilMilliseconds: 7000)
    let longest = meter.takeLongest()
    meter.stop()
    // A debug build does in a turn what takes a tenth of that in a release; three turns, and the machine's own pauses.
    #expect(longest < 250, "\(longest) ms")
    let lines = engine.messages.compactMap { message -> String? in
      if case .log(_, let id, let text) = message { "\(id ?? ""): \(text)" } else { nil }
    }
    let flooded = "protocol: the server sent more than 200 control or empty frames a second for 3 s; trying again"
    for kind in [HostileServer.Kind.emptyTexts, .pings] {
      #expect(lines.contains { $0.hasPrefix(kind.rawValue) && $0.contains(flooded) }, "\(kind)")
    }
    #expect(!lines.contains { $0.hasPrefix("bytes") && $0.contains(flooded) }, "texts of one byte are only slowed down")
    honest.hangUp()
    try await eventually("it ends") { engine.ended(honest.id) != nil }
    let end = try #require(engine.ended(honest.id))
    #expect(end.reason == "done: all audio was delivered")
    #expect(end.counters.lost == 0 && end.counters.reconnects == 0)
    #expect(server.connections.count == 1)
    #expect(server.connections.first?.carries(honest.expected) == true)
    for server in hostile { server.stop() }
    for call in calls { engine.tell(.forget(id: call.id)) }
    try await eventually("all are gone") { calls.allSatisfy { engine.ended($0.id) != nil } }
    await server.stop()
    try await group.shutdownGracefully()
  }
}
