// SPDX-License-Identifier: Apache-2.0
internal import NIOConcurrencyHelpers
package import NIOCore
package import NIOHTTP1
internal import NIOPosix
package import NIOWebSocket

/// A WebSocket server that writes down all it gets, and can be told to behave badly.
package final class TestServer: Sendable {
  package enum Behavior: Sendable {
    case record
    /// Records, and closes with this code after so many bytes of audio.
    case closeAfter(bytes: Int, code: WebSocketErrorCode)
    /// Records, and closes with this code when it is pinged.
    case closeOnPing(WebSocketErrorCode)
    /// Records, and closes with this code, or without one, at the first text.
    case closeOnText(WebSocketErrorCode?)
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
    /// Answers requests for these paths so, and records others.
    case answerPaths([String: String])
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
    /// Records, and answers texts of the client with these frames. The last connection's answers hold for all further
    /// ones.
    case converse([[String: [Answer]]])
  }

  /// What a server says to a text.
  package enum Answer: Sendable {
    case text(String)
    case binary([UInt8])
    case close(UInt16?, String)
  }

  /// A server that reads nothing for a while, once in each connection, as one does that loads a model.
  package struct Pause: Sendable {
    /// Begins after so many bytes of audio.
    package var afterBytes: Int
    package var time: TimeAmount

    package init(afterBytes: Int, time: TimeAmount) {
      self.afterBytes = afterBytes
      self.time = time
    }
  }

  /// What one connection brought.
  package struct Connection: Sendable {
    package var head: HTTPRequestHead?
    /// The head of a request that was answered by its path.
    package var answered: String?
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
    port: Int = 0, _ behavior: Behavior = .record, pausing: Pause? = nil, pingEvery: TimeAmount? = nil,
    answersPings: Bool = true,
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
          try configure(channel, behavior, pausing, pingEvery, answersPings, selectsSubprotocol, log, index)
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
    _ channel: any Channel, _ behavior: Behavior, _ pause: Pause?, _ pingEvery: TimeAmount?, _ answersPings: Bool,
    _ selectsSubprotocol: Bool, _ log: NIOLockedValueBox<[Connection]>, _ index: Int
  ) throws {
    switch behavior {
    case .silent: return
    case .answer(let text): try channel.pipeline.syncOperations.addHandler(AnswerHandler(text))
    case .record, .closeAfter, .closeOnPing, .closeOnText, .closeAfterPings, .pongLate, .pongOnce, .fork, .forks,
      .dropOnClose,
      .ignoreClose, .stall, .talk, .converse, .answerPaths:
      if case .answerPaths(let answers) = behavior {
        try channel.pipeline.syncOperations.addHandler(PathHandler(answers, log, index))
      }
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
              RecordingHandler(behavior, pause, pingEvery, answersPings, log, index))
            if case .stall = behavior {
              try channel.syncOptions?.setOption(.autoRead, value: false)
            }
          }
        })
      try channel.pipeline.syncOperations.configureHTTPServerPipeline(
        withServerUpgrade: (upgraders: [upgrader], completionHandler: { _ in }))
    }
  }
}
