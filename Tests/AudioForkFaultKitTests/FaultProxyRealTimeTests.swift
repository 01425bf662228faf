// SPDX-License-Identifier: Apache-2.0
import AudioForkFaultKit
import AudioForkWireTestKit
import NIOCore
import NIOPosix
import Testing

/// A plain server behind a proxy, which sends back what it gets and counts it, and plain clients in front.
private struct EchoScene {
  let server: any Channel
  let received: ByteLog
  let proxy: FaultProxy

  static func with(_ plan: Fault = .none, _ body: (EchoScene) async throws -> Void) async throws {
    let received = ByteLog()
    let server = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(Collector(received, echoes: true))
        }
      }
      .bind(host: "127.0.0.1", port: 0).get()
    let proxy = try await FaultProxy.start(to: server.localAddress?.port ?? 0, plan: plan)
    do {
      try await body(EchoScene(server: server, received: received, proxy: proxy))
    } catch {
      try? await proxy.stop()
      try? await server.close()
      throw error
    }
    try await proxy.stop()
    try await server.close()
  }

  func connect() async throws -> EchoClient {
    let log = ByteLog()
    let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .channelOption(.allowRemoteHalfClosure, value: true)
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(Collector(log, echoes: false))
        }
      }
      .connect(host: "127.0.0.1", port: proxy.port).get()
    return EchoClient(channel: channel, log: log)
  }
}

private struct EchoClient {
  let channel: any Channel
  let log: ByteLog

  func send(_ bytes: [UInt8]) async throws { try await channel.writeAndFlush(ByteBuffer(bytes: bytes)) }
}

@Suite("What the fault proxy does to connections", .serialized)
struct FaultProxyRealTimeTests {
  private let text = Array("sixteen bytes ...".utf8)

  @Test("Without a fault everything goes through, both ways, and is counted")
  func none() async throws {
    try await EchoScene.with { scene in
      let client = try await scene.connect()
      let much = (0..<1_000_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
      try await client.send(much)
      try await eventually("client.log.count == much.count") { client.log.count == much.count }
      #expect(client.log.bytes == much)
      let counts = try await scene.proxy.counts()
      #expect(counts.accepted == 1 && counts.living == 1)
      try await eventually("what passed is counted") {
        let counts = try await scene.proxy.counts()
        return counts.toServer == much.count && counts.toClient == much.count
      }
      try await client.channel.close()
      try await eventually("try await scene.proxy.counts().living == 0") { try await scene.proxy.counts().living == 0 }
    }
  }

  @Test("Latency holds every piece back, and keeps the order")
  func latency() async throws {
    try await EchoScene.with(.latency(milliseconds: 100, jitter: 50)) { scene in
      let client = try await scene.connect()
      let start = NIODeadline.now()
      try await client.send(text)
      try await eventually("client.log.count == text.count") { client.log.count == text.count }
      #expect(NIODeadline.now() - start >= .milliseconds(200))
      for number in 0..<20 { try await client.send([UInt8(number)]) }
      try await eventually("client.log.count == text.count + 20") { client.log.count == text.count + 20 }
      #expect(client.log.bytes.suffix(20).elementsEqual(0..<20))
    }
  }

  @Test("A limited rate takes its time")
  func rate() async throws {
    try await EchoScene.with(.rate(bytesPerSecond: 20_000)) { scene in
      let client = try await scene.connect()
      let start = NIODeadline.now()
      try await client.send([UInt8](repeating: 7, count: 10_000))
      try await eventually("scene.received.count == 10_000") { scene.received.count == 10_000 }
      #expect(NIODeadline.now() - start >= .milliseconds(400))
    }
  }

  @Test("A stalled connection is felt by who writes, and loses nothing once it is healed")
  func stall() async throws {
    try await EchoScene.with { scene in
      let client = try await scene.connect()
      try await client.send(text)
      try await eventually("client.log.count == text.count") { client.log.count == text.count }
      try await scene.proxy.strike(.stall)
      let much = [UInt8](repeating: 9, count: 8_000_000)
      let written: EventLoopFuture<Void> = client.channel.writeAndFlush(ByteBuffer(bytes: much))
      try await Task.sleep(for: .milliseconds(300))
      #expect(try await !client.channel.eventLoop.submit { client.channel.isWritable }.get())
      #expect(scene.received.count == text.count)
      try await scene.proxy.strike(.none)
      try await written.get()
      try await eventually("all of it arrives") { scene.received.count == text.count + much.count }
    }
  }

  @Test("A connection pauses once, behind its first bytes, and loses nothing")
  func pause() async throws {
    try await EchoScene.with(.pause(afterBytes: text.count, milliseconds: 400)) { scene in
      let client = try await scene.connect()
      let start = NIODeadline.now()
      try await client.send(text)
      // The bytes that begin the pause go through; their echo waits.
      try await eventually("scene.received.count == text.count") { scene.received.count == text.count }
      #expect(client.log.count == 0)
      try await client.send(text)
      try await eventually("client.log.count == 2 * text.count") { client.log.count == 2 * text.count }
      #expect(NIODeadline.now() - start >= .milliseconds(400))
      let healed = NIODeadline.now()
      try await client.send(text)
      try await eventually("client.log.count == 3 * text.count") { client.log.count == 3 * text.count }
      #expect(NIODeadline.now() - healed < .milliseconds(300))
    }
  }

  @Test("A Close without a code comes to the client, and the connection stays")
  func emptyClose() async throws {
    try await EchoScene.with { scene in
      let client = try await scene.connect()
      try await client.send(text)
      try await eventually("client.log.count == text.count") { client.log.count == text.count }
      try await scene.proxy.strike(.emptyClose)
      try await eventually("client.log.count == text.count + 2") { client.log.count == text.count + 2 }
      #expect(client.log.bytes.suffix(2).elementsEqual([0x88, 0x00]))
      try await client.send(text)
      try await eventually("scene.received.count == 2 * text.count") { scene.received.count == 2 * text.count }
    }
  }

  @Test("Frozen and swallowed connections give no sign; only the frozen one has what it was given")
  func silence() async throws {
    for fault in [Fault.freeze, .blackhole] {
      try await EchoScene.with { scene in
        let client = try await scene.connect()
        try await client.send(text)
        try await eventually("client.log.count == text.count") { client.log.count == text.count }
        try await scene.proxy.strike(fault)
        try await client.send(text)
        try await Task.sleep(for: .milliseconds(300))
        #expect(scene.received.count == text.count)
        #expect(!client.log.isOver)
        try await scene.proxy.strike(.none)
        if fault == .freeze {
          try await eventually("scene.received.count == 2 * text.count") { scene.received.count == 2 * text.count }
        } else {
          try await client.send(text)
          try await eventually("scene.received.count == 2 * text.count") { scene.received.count == 2 * text.count }
        }
      }
    }
  }

  @Test("A reset is one for both sides; a half close says the last word and takes more")
  func ends() async throws {
    try await EchoScene.with { scene in
      let client = try await scene.connect()
      try await client.send(text)
      try await eventually("client.log.count == text.count") { client.log.count == text.count }
      try await scene.proxy.strike(.halfClose)
      try await eventually("client.log.saidLastWord") { client.log.saidLastWord }
      try await client.send(text)
      try await eventually("scene.received.count == 2 * text.count") { scene.received.count == 2 * text.count }
      try? await client.channel.close()
      try await eventually("the server hears of it") { scene.received.isOver }
    }
    try await EchoScene.with { scene in
      let client = try await scene.connect()
      try await client.send(text)
      try await eventually("it came back") { client.log.count == text.count }
      try await scene.proxy.strike(.reset)
      try await eventually("the client hears of the reset") { client.log.failure?.contains("reset") == true }
      try await eventually("scene.received.isOver") { scene.received.isOver }
    }
  }

  @Test("A cut comes at the byte, wherever that is")
  func cut() async throws {
    try await EchoScene.with(.cut(afterBytes: 21, resets: false)) { scene in
      let client = try await scene.connect()
      try await client.send(text)
      try? await client.send(text)
      try await eventually("both hear the end") {
        scene.received.isOver && (client.log.isOver || client.log.saidLastWord)
      }
      #expect(scene.received.count == 21)
    }
  }

  @Test("Nobody listens while refusing, and somebody does again on the same port")
  func refuse() async throws {
    try await EchoScene.with { scene in
      try await scene.proxy.plan(.refuse)
      await #expect(throws: (any Error).self) { try await scene.connect() }
      try await scene.proxy.plan(.none)
      let client = try await scene.connect()
      try await client.send(text)
      try await eventually("client.log.count == text.count") { client.log.count == text.count }
    }
  }

  @Test("Answers come instead of the server's, which hears nothing")
  func answers() async throws {
    for (fault, begins) in [
      (Fault.wrongAcceptKey, "HTTP/1.1 101 "), (.redirect(to: "ws://elsewhere/"), "HTTP/1.1 302 "),
      (.status(503, retryAfter: 3), "HTTP/1.1 503 "),
    ] {
      try await EchoScene.with(fault) { scene in
        let client = try await scene.connect()
        try await client.send(text)
        try await eventually("the answer comes") { String(decoding: client.log.bytes, as: UTF8.self).hasPrefix(begins) }
        #expect(client.log.bytes.suffix(4).elementsEqual("\r\n\r\n".utf8))
        #expect(scene.received.count == 0)
      }
    }
    try await EchoScene.with(.garbage(bytes: 500)) { scene in
      let client = try await scene.connect()
      try await client.send(text)
      try await eventually("client.log.count == 500") { client.log.count == 500 }
    }
    try await EchoScene.with(.closeAtOnce) { scene in
      let client = try await scene.connect()
      try await eventually("the client hears the end") { client.log.isOver || client.log.saidLastWord }
      #expect(client.log.count == 0)
    }
  }

  @Test("A slow handshake takes a while for each byte, and what follows comes behind it")
  func slowHandshake() async throws {
    try await EchoScene.with(.slowHandshake(millisecondsPerByte: 10)) { scene in
      let client = try await scene.connect()
      let start = NIODeadline.now()
      try await client.send(text)
      try await Task.sleep(for: .milliseconds(50))
      try await client.send([1, 2, 3])
      try await eventually("client.log.count == text.count + 3") { client.log.count == text.count + 3 }
      #expect(NIODeadline.now() - start >= .milliseconds(10 * Int64(text.count)))
      #expect(client.log.bytes == text + [1, 2, 3])
    }
  }
}
