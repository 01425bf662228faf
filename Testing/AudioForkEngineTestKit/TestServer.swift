// SPDX-License-Identifier: Apache-2.0
internal import NIOConcurrencyHelpers
package import NIOCore
package import NIOHTTP1
internal import NIOPosix
package import NIOWebSocket

/// A WebSocket server that writes down all it gets, and can be told to behave badly.
package final class TestServer: Sendable {
  package enum Behaviour: Sendable {
    case record
    /// Records, and closes with this code after so many bytes of audio.
    case closeAfter(bytes: Int, code: WebSocketErrorCode)
    /// Records, and closes with this code when it is pinged.
    case closeOnPing(WebSocketErrorCode)
    /// Records, answers so many pings of a connection, and closes with this code at the next.
    case closeAfterPings(Int, WebSocketErrorCode)
    /// Records, and answers every ping but the first so late.
    case pongLate(TimeAmount)
    /// Records, and answers no ping but the first of each connection.
    case pongOnce
    /// Speaks audiofork.v1 and keeps what it gets in the store.
    case fork(ForkStore)
    /// The same for many forks, by the ids that they say.
    case forks(ForkStores)
    /// Answers the upgrade with these bytes.
    case answer(String)
    /// Accepts and never says anything.
    case silent
    /// Records, and drops the connection on our Close frame instead of answering it.
    case dropOnClose
    /// Records, and never answers our Close frame.
    case ignoreClose
    /// Accepts, upgrades, and reads nothing of what follows until told.
    case stall
    /// Records, and says so many texts as soon as the connection stands.
    case talk([String])
  }

  /// What one connection brought.
  package struct Connection: Sendable {
    package var head: HTTPRequestHead?
    package var audio: [UInt8] = []
    package var messageSizes: [Int] = []
    package var pongs: [[UInt8]] = []
    package var texts: [String] = []
    /// Payloads of the client's pings.
    package var pings: [[UInt8]] = []
    package var closeCode: UInt16?
    package var isOver = false
    /// What went wrong in the server's eyes.
    package var errors: [String] = []

    /// The audio as samples, s16le.
    package var samples: [Int16] {
      stride(from: 0, to: audio.count - 1, by: 2).map {
        Int16(truncatingIfNeeded: Int(audio[$0]) | Int(audio[$0 + 1]) << 8)
      }
    }

    /// Whether the audio is exactly this. A failed comparison of arrays would print them.
    package func carries(_ expected: [Int16]) -> Bool { samples == expected }
  }

  package let port: Int
  private let listener: any Channel
  private let log: NIOLockedValueBox<[Connection]>
  private let channels: NIOLockedValueBox<[any Channel]>

  private init(
    listener: any Channel, log: NIOLockedValueBox<[Connection]>, channels: NIOLockedValueBox<[any Channel]>
  ) throws {
    self.listener = listener
    self.log = log
    self.channels = channels
    port = listener.localAddress?.port ?? 0
  }

  package var connections: [Connection] { log.withLockedValue { $0 } }
  package var url: String { "ws://127.0.0.1:\(port)/test" }
  /// By name, where it was started with TLS.
  package var secureURL: String { "wss://localhost:\(port)/test" }

  /// Listens on the port, or on a free one. `keeping`: go on writing into another server's log. `security` makes the
  /// handler that does TLS.
  package static func start(
    port: Int = 0, _ behaviour: Behaviour = .record, pingEvery: TimeAmount? = nil, answersPings: Bool = true,
    selectsSubprotocol: Bool = true, keeping: TestServer? = nil, receiveBufferBytes: Int? = nil,
    security: (@Sendable () -> any ChannelHandler)? = nil
  ) async throws -> TestServer {
    let log = keeping?.log ?? NIOLockedValueBox([])
    let channels = NIOLockedValueBox<[any Channel]>([])
    var bootstrap = ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
    // Taken over by each connection: what one that does not read holds is little.
    if let receiveBufferBytes {
      bootstrap = bootstrap.serverChannelOption(.socketOption(.so_rcvbuf), value: receiveBufferBytes)
    }
    let listener =
      try await bootstrap
      .childChannelInitializer { channel in
        channels.withLockedValue { $0.append(channel) }
        let index = log.withLockedValue { log in
          log.append(Connection())
          return log.count - 1
        }
        return channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(SocketCloser())
          if let security { try channel.pipeline.syncOperations.addHandler(security()) }
          try configure(channel, behaviour, pingEvery, answersPings, selectsSubprotocol, log, index)
        }
      }
      .bind(host: "127.0.0.1", port: port).get()
    return try TestServer(listener: listener, log: log, channels: channels)
  }

  /// Stops listening and drops every connection without a word.
  package func stop() async {
    try? await listener.close().get()
    for channel in channels.withLockedValue({ $0 }) { try? await channel.close().get() }
  }

  /// Drops every connection without a word, not even close_notify, and goes on listening.
  package func dropConnections() {
    for channel in channels.withLockedValue({ $0 }) { SocketCloser.close(channel) }
  }

  /// Lets stalled connections read on.
  package func resume() {
    for channel in channels.withLockedValue({ $0 }) {
      channel.setOption(.autoRead, value: true).whenComplete { _ in channel.read() }
    }
  }

  private static func configure(
    _ channel: any Channel, _ behaviour: Behaviour, _ pingEvery: TimeAmount?, _ answersPings: Bool,
    _ selectsSubprotocol: Bool, _ log: NIOLockedValueBox<[Connection]>, _ index: Int
  ) throws {
    switch behaviour {
    case .silent: return
    case .answer(let text): try channel.pipeline.syncOperations.addHandler(AnswerHandler(text))
    case .record, .closeAfter, .closeOnPing, .closeAfterPings, .pongLate, .pongOnce, .fork, .forks, .dropOnClose,
      .ignoreClose, .stall, .talk:
      let upgrader = NIOWebSocketServerUpgrader(
        shouldUpgrade: { channel, head in
          log.withLockedValue { $0[index].head = head }
          var headers = HTTPHeaders()
          if selectsSubprotocol, let offered = head.headers.first(name: "Sec-WebSocket-Protocol") {
            headers.add(name: "Sec-WebSocket-Protocol", value: offered)
          }
          return channel.eventLoop.makeSucceededFuture(headers)
        },
        upgradePipelineHandler: { channel, _ in
          channel.eventLoop.makeCompletedFuture {
            try channel.pipeline.syncOperations.addHandler(
              RecordingHandler(behaviour, pingEvery, answersPings, log, index))
            if case .stall = behaviour {
              try channel.syncOptions?.setOption(.autoRead, value: false)
            }
          }
        })
      try channel.pipeline.syncOperations.configureHTTPServerPipeline(
        withServerUpgrade: (upgraders: [upgrader], completionHandler: { _ in }))
    }
  }
}

/// The server's side of audiofork.v1 for one fork, written from its page alone.
package final class ForkStore: Sendable {
  package struct State: Sendable {
    /// The stream from position 0 on.
    package var samples: [Int16] = []
    /// Sample frames that came although they were there, and positions that were left out.
    package var duplicates = 0
    package var holes = 0
    /// The client's text messages.
    package var texts: [String] = []
    /// What is said instead of the right thing.
    package var resumesAt: Int?
    package var resumes = true
    package var acknowledges = true
    /// Whether an ack follows `resume` at once.
    package var acknowledgesResume = false
    package var level = "received"
    package var acknowledged = 0
  }

  private let state = NIOLockedValueBox(State())

  package init(_ change: (inout State) -> Void = { _ in }) { state.withLockedValue { change(&$0) } }

  package var now: State { state.withLockedValue { $0 } }
  package func change(_ change: (inout State) -> Void) { state.withLockedValue { change(&$0) } }

  /// Takes a frame; returns the texts to answer.
  package func received(_ opcode: WebSocketOpcode, _ payload: [UInt8]) -> [String] {
    state.withLockedValue { state in
      switch opcode {
      case .text:
        let text = String(decoding: payload, as: UTF8.self)
        state.texts.append(text)
        guard text.hasPrefix(#"{"type":"start""#), state.resumes else { return [] }
        let position = state.resumesAt ?? state.samples.count
        let ack = #"{"type":"ack","position":\#(position),"level":"\#(state.level)"}"#
        return [#"{"type":"resume","position":\#(position)}"#] + (state.acknowledgesResume ? [ack] : [])
      case .binary where payload.count >= 8:
        let position = payload[0..<8].reduce(0) { $0 << 8 | Int($1) }
        let samples = stride(from: 8, to: payload.count - 1, by: 2).map {
          Int16(truncatingIfNeeded: Int(payload[$0]) | Int(payload[$0 + 1]) << 8)
        }
        if position > state.samples.count {
          state.holes += position - state.samples.count
          state.samples += [Int16](repeating: 0, count: position - state.samples.count)
        }
        let known = min(state.samples.count - position, samples.count)
        state.duplicates += known
        state.samples += samples.dropFirst(known)
        guard state.acknowledges else { return [] }
        state.acknowledged = state.samples.count
        return [#"{"type":"ack","position":\#(state.samples.count),"level":"\#(state.level)"}"#]
      default: return []
      }
    }
  }
}

/// The same of many forks.
package final class ForkStores: Sendable {
  private let stores = NIOLockedValueBox<[String: ForkStore]>([:])

  package init() {}

  package subscript(id: String) -> ForkStore.State { store(of: id).now }

  fileprivate func store(of id: String) -> ForkStore {
    stores.withLockedValue { stores in
      let store = stores[id] ?? ForkStore()
      stores[id] = store
      return store
    }
  }

  /// The store of the fork that begins with this text.
  fileprivate func store(startedBy text: String) -> ForkStore? {
    guard text.hasPrefix(#"{"type":"start""#), let field = text.firstRange(of: #""id":""#) else { return nil }
    return store(of: String(text[field.upperBound...].prefix { $0 != "\"" }))
  }
}

/// Answers whatever comes with fixed bytes.
private final class AnswerHandler: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer
  private let text: String
  private var hasAnswered = false

  init(_ text: String) { self.text = text }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard !hasAnswered else { return }
    hasAnswered = true
    context.writeAndFlush(Self.wrapOutboundOut(ByteBuffer(string: text)), promise: nil)
  }
}

private final class RecordingHandler: ChannelInboundHandler {
  typealias InboundIn = WebSocketFrame
  typealias OutboundOut = WebSocketFrame
  private let behaviour: TestServer.Behaviour
  private let pingEvery: TimeAmount?
  private let answersPings: Bool
  private let log: NIOLockedValueBox<[TestServer.Connection]>
  private let index: Int
  private var pings: RepeatedTask?
  private var store: ForkStore?

  init(
    _ behaviour: TestServer.Behaviour, _ pingEvery: TimeAmount?, _ answersPings: Bool,
    _ log: NIOLockedValueBox<[TestServer.Connection]>,
    _ index: Int
  ) {
    self.behaviour = behaviour
    self.pingEvery = pingEvery
    self.answersPings = answersPings
    self.log = log
    self.index = index
    if case .fork(let store) = behaviour { self.store = store }
  }

  /// The Close that this ping brings about; nil: none.
  private var closeCodeForPing: WebSocketErrorCode? {
    switch behaviour {
    case .closeOnPing(let code): code
    case .closeAfterPings(let count, let code): log.withLockedValue { $0[index].pings.count > count } ? code : nil
    default: nil
    }
  }

  func handlerAdded(context: ChannelHandlerContext) {
    if case .talk(let texts) = behaviour {
      for text in texts {
        context.write(
          Self.wrapOutboundOut(WebSocketFrame(fin: true, opcode: .text, data: ByteBuffer(string: text))), promise: nil)
      }
      context.flush()
    }
    guard let pingEvery else { return }
    let channel = context.channel
    var number: UInt8 = 0
    let next = { () -> UInt8 in
      number &+= 1
      return number
    }
    let counter = NIOLoopBound(next, eventLoop: context.eventLoop)
    pings = context.eventLoop.scheduleRepeatedTask(initialDelay: pingEvery, delay: pingEvery) { _ in
      let frame = WebSocketFrame(fin: true, opcode: .ping, data: ByteBuffer(bytes: [counter.value()]))
      channel.writeAndFlush(frame, promise: nil)
    }
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    let frame = Self.unwrapInboundIn(data)
    let payload = Array(frame.unmaskedData.readableBytesView)
    var total = 0
    log.withLockedValue { log in
      switch frame.opcode {
      case .binary:
        log[index].audio += payload
        log[index].messageSizes.append(payload.count)
      case .pong: log[index].pongs.append(payload)
      case .ping: log[index].pings.append(payload)
      case .text: log[index].texts.append(String(decoding: payload, as: UTF8.self))
      case .connectionClose where payload.count >= 2:
        log[index].closeCode = UInt16(payload[0]) << 8 | UInt16(payload[1])
      default: break
      }
      total = log[index].audio.count
    }
    if case .forks(let stores) = behaviour, store == nil, frame.opcode == .text {
      store = stores.store(startedBy: String(decoding: payload, as: UTF8.self))
    }
    if let store {
      for answer in store.received(frame.opcode, payload) {
        context.writeAndFlush(
          Self.wrapOutboundOut(WebSocketFrame(fin: true, opcode: .text, data: ByteBuffer(string: answer))), promise: nil
        )
      }
    }
    if frame.opcode == .ping, let code = closeCodeForPing {
      var payload = ByteBuffer()
      payload.write(webSocketErrorCode: code)
      context.writeAndFlush(
        Self.wrapOutboundOut(WebSocketFrame(fin: true, opcode: .connectionClose, data: payload)), promise: nil)
    } else if frame.opcode == .ping, case .pongLate(let delay) = behaviour,
      log.withLockedValue({ $0[index].pings.count > 1 })
    {
      let channel = context.channel
      context.eventLoop.scheduleTask(in: delay) {
        channel.writeAndFlush(WebSocketFrame(fin: true, opcode: .pong, data: ByteBuffer(bytes: payload)), promise: nil)
      }
    } else if frame.opcode == .ping, case .pongOnce = behaviour, log.withLockedValue({ $0[index].pings.count > 1 }) {
      return
    } else if frame.opcode == .ping, answersPings {
      context.writeAndFlush(
        Self.wrapOutboundOut(WebSocketFrame(fin: true, opcode: .pong, data: ByteBuffer(bytes: payload))), promise: nil)
    }
    if frame.opcode == .connectionClose, case .ignoreClose = behaviour { return }
    if frame.opcode == .connectionClose, case .dropOnClose = behaviour { return SocketCloser.close(context.channel) }
    if frame.opcode == .connectionClose {
      let answer = WebSocketFrame(fin: true, opcode: .connectionClose, data: ByteBuffer(bytes: payload.prefix(2)))
      let channel = context.channel
      context.writeAndFlush(Self.wrapOutboundOut(answer)).whenComplete { _ in channel.close(promise: nil) }
    }
    if case .closeAfter(let bytes, let code) = behaviour, total >= bytes {
      var payload = ByteBuffer()
      payload.write(webSocketErrorCode: code)
      context.writeAndFlush(
        Self.wrapOutboundOut(WebSocketFrame(fin: true, opcode: .connectionClose, data: payload)), promise: nil)
    }
  }

  func channelInactive(context: ChannelHandlerContext) {
    pings?.cancel()
    log.withLockedValue { $0[index].isOver = true }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    log.withLockedValue { $0[index].errors.append("\(error)") }
    context.close(promise: nil)
  }
}

/// Below TLS: closes the socket without asking TLS.
private final class SocketCloser: ChannelOutboundHandler {
  typealias OutboundIn = ByteBuffer
  private var context: ChannelHandlerContext?

  func handlerAdded(context: ChannelHandlerContext) { self.context = context }
  func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

  static func close(_ channel: any Channel) {
    channel.eventLoop.execute {
      let closer = try? channel.pipeline.syncOperations.handler(type: SocketCloser.self)
      closer?.context?.close(promise: nil)
    }
  }
}
