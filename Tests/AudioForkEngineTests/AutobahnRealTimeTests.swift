// SPDX-License-Identifier: Apache-2.0
import AudioForkWebSocket
import Glibc
import NIOCore
import NIOPosix
import NIOWebSocket
import Testing

/// Against Autobahn's fuzzing server, where AUTOBAHN_URL names one that runs (docs/internals/websocket-conformance.md).
@Suite("Autobahn", .serialized, .enabled(if: getenv("AUTOBAHN_URL") != nil))
struct AutobahnRealTimeTests {
  private static let agent = "audiofork"

  @Test("Autobahn finds nothing wrong with the client, made to echo")
  func autobahn() async throws {
    let url = String(cString: try #require(getenv("AUTOBAHN_URL")))
    let place = try #require(url.split(separator: "/").last).split(separator: ":")
    let address = try SocketAddress(ipAddress: String(place[0]), port: try #require(Int(place[1])))
    func ask(_ target: String, echoes: Bool) async throws -> String {
      try await EchoClient.run(address, target, echoes: echoes)
    }
    let count = try #require(Int(try await ask("/getCaseCount", echoes: false)))
    #expect(count > 0)
    var verdicts: [String: Int] = [:]
    for number in 1...count {
      _ = try await ask("/runCase?case=\(number)&agent=\(Self.agent)", echoes: true)
      let verdict = try await ask("/getCaseStatus?case=\(number)&agent=\(Self.agent)", echoes: false)
      verdicts[verdict, default: 0] += 1
      let isRight = ["OK", "INFORMATIONAL"].contains { verdict.contains("\"\($0)\"") }
      #expect(isRight, "case \(number) of \(count): \(verdict)")
    }
    _ = try await ask("/updateReports?agent=\(Self.agent)", echoes: false)
    print("Autobahn: \(verdicts.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: ", "))")
  }
}

/// The client that the engine uses, which says back what it is told. Gives the last text that came.
private final class EchoClient: WebSocketOwner {
  private let echoes: Bool
  private var text = ""
  private let over: EventLoopPromise<String>

  private init(echoes: Bool, over: EventLoopPromise<String>) {
    self.echoes = echoes
    self.over = over
  }

  static func run(_ address: SocketAddress, _ target: String, echoes: Bool) async throws -> String {
    let loop = MultiThreadedEventLoopGroup.singleton.next()
    return try await loop.flatSubmit {
      let over = loop.makePromise(of: String.self)
      let client = EchoClient(echoes: echoes, over: over)
      let bound = NIOLoopBound(client, eventLoop: loop)
      ClientBootstrap(group: loop)
        .channelInitializer { channel in
          channel.eventLoop.makeCompletedFuture {
            var random = SystemRandomNumberGenerator()
            let host = "127.0.0.1:\(address.port ?? 0)"
            let request = UpgradeRequest(host: Array(host.utf8), target: Array(target.utf8))
            try UpgradeHandler.install(
              in: channel, request: request, key: UpgradeRequest.makeKey(using: &random), owner: bound.value,
              isPlain: true)
          }
        }
        .connect(to: address).cascadeFailure(to: over)
      // The pipeline does not hold its owner.
      return over.futureResult.map { text in
        _ = bound
        return text
      }
    }.get()
  }

  func webSocketOpened(_ session: WebSocketSession) {
    guard echoes, let channel = session.channel else { return }
    try? channel.pipeline.syncOperations.addHandler(BinaryEcho(session), position: .before(session))
  }

  func webSocketFailed(_ failure: ConnectionFailure) { over.fail(failure) }

  func webSocketReceived(_ session: WebSocketSession, text: String) {
    self.text = text
    guard echoes else { return }
    session.send(text: text)
    session.flush()
  }

  func webSocketReceived(_ session: WebSocketSession, pong: ByteBuffer) {}
  func webSocketEnded(_ session: WebSocketSession, _ end: SessionEnd) { over.succeed(text) }
}

/// The session keeps binary messages to itself.
private final class BinaryEcho: ChannelInboundHandler {
  typealias InboundIn = WebSocketFrame
  typealias InboundOut = WebSocketFrame
  private var rules = WebSocketFrameRules(sender: .server)
  private var isBroken = false
  private let session: WebSocketSession

  init(_ session: WebSocketSession) { self.session = session }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    if !isBroken {
      switch rules.receive(Self.unwrapInboundIn(data)) {
      case .binary(let message):
        var bytes = Array(message.readableBytesView)
        session.send(binary: &bytes)
      case .violation, .close: isBroken = true
      case .nothing, .text, .piece, .ping, .pong: break
      }
    }
    context.fireChannelRead(data)
  }
}
