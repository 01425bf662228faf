// SPDX-License-Identifier: Apache-2.0
internal import Glibc
internal import NIOCore
internal import NIOPosix

/// A client's connection and the server's behind it. Confined to the proxy's loop.
///
/// Each way is a queue of pieces with the time at which each may go on. A side is read only while the queue towards the
/// other one is short: so a receiver that does not read is felt by the sender, as without a proxy.
final class ProxyLink {
  /// Pieces on their way in one direction.
  private final class Way {
    var pieces: [(bytes: ByteBuffer, due: NIODeadline)] = []
    var waiting = 0
    /// Bytes that went on.
    var passed = 0
    var isWriting = false
    var timer: Scheduled<Void>?
    /// The sender has said its last word; it is passed on behind what waits.
    var isLast = false
    /// When a connection with a limited rate may take the next piece.
    var freeAt = NIODeadline.uptimeNanoseconds(0)
  }

  private static let waitingMax = 262_144
  /// A piece of a limited rate: a twentieth of a second.
  private static let piecesPerSecond = 20

  private let core: ProxyCore
  private let client: any Channel
  private var server: (any Channel)?
  private let serverPort: Int
  private var fault: Fault
  private let toServer = Way()
  private let toClient = Way()
  private var hasAnswered = false
  private var isOver = false
  /// The pause has begun, and is over at this time.
  private var pausedUntil: NIODeadline?

  init(core: ProxyCore, client: any Channel, fault: Fault, serverPort: Int) {
    self.core = core
    self.client = client
    self.fault = fault
    self.serverPort = serverPort
  }

  /// The client's connection stands.
  func begin() {
    switch fault {
    case .closeAtOnce: end(resets: false)
    case .reset: end(resets: true)
    case .answer, .garbage: readMore(fromClient: true)
    default: connect()
    }
  }

  private func connect() {
    let link = NIOLoopBound(self, eventLoop: core.loop)
    ClientBootstrap(group: core.loop)
      .channelOption(.autoRead, value: false)
      .channelOption(.allowRemoteHalfClosure, value: true)
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(PipeEnd(link.value, isClient: false))
        }
      }
      .connect(host: "127.0.0.1", port: serverPort)
      .assumeIsolated()
      .whenComplete { [self] result in
        switch result {
        case .success(let channel):
          guard !isOver else { return channel.close(promise: nil) }
          server = channel
          readMore(fromClient: true)
          readMore(fromClient: false)
        // As if the client had come to the server itself.
        case .failure: end(resets: true)
        }
      }
  }

  // MARK: - Faults

  func strike(_ fault: Fault) {
    guard !isOver else { return }
    self.fault = fault
    switch fault {
    case .reset, .refuse, .closeAtOnce: end(resets: fault != .closeAtOnce)
    case .halfClose: client.close(mode: .output, promise: nil)
    case .answer(let text): write(ByteBuffer(string: text), toClient: true)
    case .garbage(let count): write(garbage(count), toClient: true)
    case .emptyClose: write(ByteBuffer(bytes: [0x88, 0x00]), toClient: true)
    case .cut(let bytes, let resets):
      if toServer.passed >= bytes { end(resets: resets) }
    case .none, .latency, .rate, .slowHandshake:
      pump(toClient: false)
      pump(toClient: true)
      readMore(fromClient: true)
      readMore(fromClient: false)
    case .stall, .freeze, .blackhole, .pause: break
    }
  }

  private func garbage(_ count: Int) -> ByteBuffer {
    var random = SystemRandomNumberGenerator()
    return ByteBuffer(bytes: (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) })
  }

  // MARK: - Bytes

  func readMore(fromClient: Bool) {
    guard !isOver, (fromClient ? toServer : toClient).waiting < ProxyLink.waitingMax else { return }
    switch fault {
    case .freeze: return
    case .stall where fromClient: return
    case .pause where isPausing: return
    default: break
    }
    if fromClient { client.read() } else { server?.read() }
  }

  func received(_ bytes: ByteBuffer, fromClient: Bool) {
    switch fault {
    case .blackhole: return
    case .answer(let text) where fromClient:
      guard !hasAnswered else { return }
      hasAnswered = true
      return write(ByteBuffer(string: text), toClient: true)
    case .garbage(let count) where fromClient:
      guard !hasAnswered else { return }
      hasAnswered = true
      return write(garbage(count), toClient: true)
    default: enqueue(bytes, toClient: !fromClient)
    }
  }

  private func enqueue(_ bytes: ByteBuffer, toClient: Bool) {
    let way = toClient ? self.toClient : toServer
    var rest = bytes
    way.waiting += rest.readableBytes
    let now = NIODeadline.now()
    switch fault {
    case .latency(let milliseconds, let jitter):
      let delay = TimeAmount.milliseconds(Int64(milliseconds + (jitter > 0 ? Int.random(in: 0...jitter) : 0)))
      way.pieces.append((rest, max(now + delay, way.pieces.last?.due ?? now)))
    case .rate(let perSecond):
      let size = max(1, perSecond / ProxyLink.piecesPerSecond)
      way.freeAt = max(way.freeAt, now)
      while let piece = rest.readSlice(length: min(size, rest.readableBytes)), piece.readableBytes > 0 {
        way.pieces.append((piece, way.freeAt))
        way.freeAt = way.freeAt + .nanoseconds(Int64(piece.readableBytes) * 1_000_000_000 / Int64(max(1, perSecond)))
      }
    case .slowHandshake(let milliseconds) where toClient && !hasAnswered:
      hasAnswered = true
      var due = now
      while let piece = rest.readSlice(length: 1) {
        due = due + .milliseconds(Int64(milliseconds))
        way.pieces.append((piece, due))
      }
    default: way.pieces.append((rest, max(now, way.pieces.last?.due ?? now)))
    }
    pump(toClient: toClient)
  }

  /// Passes on what is due, one piece after the other.
  private func pump(toClient: Bool) {
    let way = toClient ? self.toClient : toServer
    // A write that is over at once comes back here: the loop goes on instead.
    while !isOver, !way.isWriting, let output = toClient ? client : server, !isHeld(toClient: toClient) {
      guard let first = way.pieces.first else {
        if way.isLast { output.close(mode: .output, promise: nil) }
        return
      }
      guard first.due <= .now() else { return wait(for: first.due, way, toClient: toClient) }
      way.pieces.removeFirst()
      way.isWriting = true
      pass(first.bytes, to: output, way, toClient: toClient)
    }
  }

  private func isHeld(toClient: Bool) -> Bool {
    switch fault {
    case .freeze, .blackhole: true
    case .stall: !toClient
    case .pause: isPausing
    default: false
    }
  }

  private var isPausing: Bool { pausedUntil.map { .now() < $0 } ?? false }

  /// Begins the pause once enough of the client has gone through. A connection pauses once.
  private func pauseIfDue() {
    guard case .pause(let after, let milliseconds) = fault, pausedUntil == nil, toServer.passed >= after else { return }
    let end = NIODeadline.now() + .milliseconds(Int64(milliseconds))
    pausedUntil = end
    core.loop.assumeIsolated().scheduleTask(deadline: end) { [self] in
      for toClient in [false, true] { pump(toClient: toClient) }
      for fromClient in [false, true] { readMore(fromClient: fromClient) }
    }
  }

  private func wait(for due: NIODeadline, _ way: Way, toClient: Bool) {
    guard way.timer == nil else { return }
    way.timer = core.loop.assumeIsolated().scheduleTask(deadline: due) { [self] in
      way.timer = nil
      pump(toClient: toClient)
    }
  }

  private func pass(_ bytes: ByteBuffer, to output: any Channel, _ way: Way, toClient: Bool) {
    let count = bytes.readableBytes
    if !toClient, case .cut(let after, let resets) = fault, way.passed + count >= after {
      let part = bytes.getSlice(at: bytes.readerIndex, length: max(0, after - way.passed)) ?? ByteBuffer()
      output.writeAndFlush(part).assumeIsolated().whenComplete { [self] _ in end(resets: resets) }
      return
    }
    way.passed += count
    if !toClient { pauseIfDue() }
    output.writeAndFlush(bytes).assumeIsolated().whenComplete { [self] result in
      way.isWriting = false
      way.waiting -= count
      if toClient { core.counts.toClient += count } else { core.counts.toServer += count }
      guard case .success = result else { return end(resets: true) }
      core.loop.assumeIsolated().execute { [self] in
        pump(toClient: toClient)
        readMore(fromClient: !toClient)
      }
    }
  }

  private func write(_ bytes: ByteBuffer, toClient: Bool) {
    core.counts.toClient += bytes.readableBytes
    client.writeAndFlush(bytes, promise: nil)
  }

  // MARK: - End

  func inputClosed(byClient: Bool) {
    if byClient { toServer.isLast = true } else { toClient.isLast = true }
    pump(toClient: !byClient)
  }

  /// One side is gone.
  func connectionLost(isClient: Bool) {
    // What a frozen network swallows nobody hears of.
    switch fault {
    case .freeze where !isClient, .blackhole where !isClient: return
    default: break
    }
    // What came before it is passed on.
    if isClient || toClient.pieces.isEmpty { return end(resets: false) }
    toClient.isLast = true
  }

  /// Closes both sides; `resets`: with RST.
  func end(resets: Bool) {
    guard !isOver else { return }
    isOver = true
    toServer.timer?.cancel()
    toClient.timer?.cancel()
    for channel in [client, server].compactMap({ $0 }) {
      if resets, let socket = channel as? any SocketOptionProvider {
        socket.setSoLinger(linger(l_onoff: 1, l_linger: 0)).whenComplete { _ in }
      }
      channel.close(promise: nil)
    }
    core.ended(self)
  }
}
