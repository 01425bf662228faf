// SPDX-License-Identifier: Apache-2.0
import AudioForkWebSocket
import AudioForkWireTestKit
import Glibc
import NIOCore
import NIOPosix
import Testing

/// What a session sends past the channel and what it queues in it, on a socket that takes little at a time.
@Suite("Sending past the channel over loopback", .serialized)
struct DirectSocketRealTimeTests {
  /// So large that a socket takes a part of one.
  private static let messageBytes = 3000

  private static func message(_ number: Int) -> [UInt8] {
    (0..<messageBytes).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ number &* 7 &+ $0 >> 8) }
  }

  @Test("Frames arrive whole and in order while a server stalls and reads again, several times, the Close behind them")
  func stalls() async throws {
    let peer = try ConformancePeer(receiveBufferBytes: 4096)
    let client = try await Client.connect(to: peer.port)
    try await peer.upgrade()
    try await eventually("the session stands") { try await client.isOpen }
    var sent = 0
    for round in 0..<6 {
      // Until the socket is full and something waits in the channel; then as much again behind it.
      var queuedAt: Int?
      while sent - (queuedAt ?? sent) < 8 {
        let isFlushed = try await client.send(Self.message(sent))
        sent += 1
        if !isFlushed, queuedAt == nil { queuedAt = sent }
        try #require(sent < 10_000)
      }
      #expect(try await !client.isFlushed)
      // The socket has room again before the channel knows, and more is sent: that has to queue all the same.
      let next = Self.message(sent)
      async let isFlushed = client.send(next, loopHeldFor: 20_000)
      sent += 1
      try await peer.look(milliseconds: 10)
      _ = try await isFlushed
      if round == 5 { try await client.close() }
      // The last backlog is read only with the Close behind it.
      try await peer.waitForFrames("all of round \(round)") {
        $0.payloads(of: 2).count == sent && (round < 5 || $0.close != nil)
      }
      guard round < 5 else { break }
      try await eventually("nothing is queued any more") { try await client.isFlushed }
      // The way past the channel is open again.
      for _ in 0..<3 {
        #expect(try await client.send(Self.message(sent)))
        sent += 1
        try await peer.waitForFrames("message \(sent)") { $0.payloads(of: 2).count == sent }
      }
    }
    #expect(peer.reader.payloads(of: 2).enumerated().allSatisfy { $1 == Self.message($0) })
    #expect(peer.reader.close == [3, 232])
    #expect(peer.reader.complaints == [])
    try await peer.send(wireFrame(8, [3, 232]))
    try await eventually("the end is reported") { try await client.ends == [.closedByUs(code: 1000)] }
  }

  @Test(
    "A connection that is reset under a backlog, and under nothing, ends once and says so", arguments: [true, false])
  func reset(withBacklog: Bool) async throws {
    let peer = try ConformancePeer(receiveBufferBytes: 4096)
    let client = try await Client.connect(to: peer.port)
    try await peer.upgrade()
    try await eventually("the session stands") { try await client.isOpen }
    if withBacklog {
      while try await client.send(Self.message(0)) {}
    }
    peer.closeSocket(resets: true)
    for _ in 0..<3 { _ = try await client.send(Self.message(1)) }
    try await eventually("the end is reported") { try await !client.ends.isEmpty }
    let ends = try await client.ends
    guard case .lost(let reason)? = ends.first, ends.count == 1 else {
      Issue.record("\(ends)")
      return
    }
    #expect(reason.hasPrefix("connection: "))
  }

  @Test("The last words of a server that resets the connection are heard, though its reads were held back")
  func lastWords() async throws {
    let peer = try ConformancePeer(receiveBufferBytes: 4096)
    let client = try await Client.connect(to: peer.port, isPaced: true)
    try await peer.upgrade()
    try await eventually("the session stands") { try await client.isOpen }
    // More than the share allows without a turn.
    try await peer.send([[UInt8]](repeating: wireFrame(1), count: 2048).flatMap(\.self))
    try await eventually("the share is used up") { try await client.isHeld }
    // The client finds out by sending, before its loop hears of it.
    async let isFlushed = client.send(Self.message(0), loopHeldFor: 300_000)
    try await peer.look(milliseconds: 50)
    try await peer.send(wireFrame(8, [3, 232]))
    peer.closeSocket(resets: true)
    _ = try await isFlushed
    try await eventually("the end is reported") {
      try await client.beginTurn()
      return try await !client.ends.isEmpty
    }
    #expect(try await client.ends == [.closedByServer(code: 1000, reason: "")])
  }
}

/// The client that the engine uses, on a loop of its own.
private final class Client: Sendable {
  private final class Owner: WebSocketOwner {
    var session: WebSocketSession?
    let turns = InboundTurns()
    var share: InboundShare?
    var ends: [SessionEnd] = []
    func webSocketOpened(_ session: WebSocketSession) { self.session = session }
    func webSocketFailed(_ failure: ConnectionFailure) { ends.append(.lost(failure.reason)) }
    func webSocketReceived(_ session: WebSocketSession, text: String) {}
    func webSocketReceived(_ session: WebSocketSession, pong: ByteBuffer) {}
    func webSocketEnded(_ session: WebSocketSession, _ end: SessionEnd) { ends.append(end) }
  }

  private let owner: NIOLoopBound<Owner>

  private init(_ owner: NIOLoopBound<Owner>) { self.owner = owner }

  /// `isPaced`: the connection has a share of turns, which `beginTurn` begins.
  static func connect(to port: UInt16, isPaced: Bool = false) async throws -> Client {
    let loop = MultiThreadedEventLoopGroup.singleton.next()
    let owner = try await loop.submit { NIOLoopBound(Owner(), eventLoop: loop) }.get()
    _ = try await ClientBootstrap(group: loop)
      .channelOption(.socketOption(.so_sndbuf), value: 4096)
      .channelOption(.tcpOption(.tcp_nodelay), value: 1)
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          var random = SystemRandomNumberGenerator()
          let request = UpgradeRequest(host: Array("127.0.0.1:\(port)".utf8), target: Array("/".utf8))
          if isPaced {
            let share = InboundShare(owner.value.turns)
            owner.value.share = share
            try channel.pipeline.syncOperations.addHandler(ReadPacer(share), position: .first)
          }
          try UpgradeHandler.install(
            in: channel, request: request, key: UpgradeRequest.makeKey(using: &random), owner: owner.value,
            isPlain: true, share: owner.value.share)
        }
      }
      .connect(host: "127.0.0.1", port: Int(port)).get()
    return Client(owner)
  }

  private func ask<Answer: Sendable>(_ question: @escaping @Sendable (Owner) -> Answer) async throws -> Answer {
    try await owner.eventLoop.submit { [owner] in question(owner.value) }.get()
  }

  var isOpen: Bool { get async throws { try await ask { $0.session != nil } } }
  var isFlushed: Bool { get async throws { try await ask { $0.session?.isFlushed ?? false } } }
  var ends: [SessionEnd] { get async throws { try await ask { $0.ends } } }
  var isHeld: Bool { get async throws { try await ask { $0.share?.mayRead == false } } }
  func beginTurn() async throws { try await ask { $0.turns.begin() } }
  func close() async throws { try await ask { $0.session?.close(code: 1000) } }

  /// Sends and flushes a message; whether the kernel has taken all of it. `loopHeldFor`: microseconds for which the
  /// loop does nothing before.
  func send(_ bytes: [UInt8], loopHeldFor hold: UInt32 = 0) async throws -> Bool {
    try await ask { owner in
      if hold > 0 { usleep(hold) }
      var bytes = bytes
      owner.session?.send(binary: &bytes)
      owner.session?.flush()
      return owner.session?.isFlushed ?? false
    }
  }
}
