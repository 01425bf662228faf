// SPDX-License-Identifier: Apache-2.0
internal import NIOConcurrencyHelpers
internal import NIOCore
internal import NIOPosix

/// An HTTP proxy that knows CONNECT alone. Whatever host it is asked for, it connects to 127.0.0.1.
package final class TestProxy: Sendable {
  package enum Behavior: Sendable {
    case tunnel
    /// Tunnels for this value of Proxy-Authorization, and answers 407 to any other.
    case demand(String)
    /// Answers so and connects to nothing.
    case answer(String)
    /// Accepts and never says anything.
    case silent
  }

  package let port: Int
  private let listener: any Channel
  private let heads: NIOLockedValueBox<[String]>

  private init(_ listener: any Channel, _ heads: NIOLockedValueBox<[String]>) {
    self.listener = listener
    self.heads = heads
    port = listener.localAddress?.port ?? 0
  }

  /// The heads of the requests, in order.
  package var requests: [String] { heads.withLockedValue { $0 } }

  package static func start(_ behavior: Behavior = .tunnel) async throws -> TestProxy {
    let heads = NIOLockedValueBox<[String]>([])
    let listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(ConnectHandler(behavior, heads))
        }
      }
      .bind(host: "127.0.0.1", port: 0).get()
    return TestProxy(listener, heads)
  }

  package func stop() async { try? await listener.close().get() }
}

/// Reads the request, answers it and becomes one end of the tunnel.
private final class ConnectHandler: ChannelInboundHandler, RemovableChannelHandler {
  typealias InboundIn = ByteBuffer
  typealias InboundOut = ByteBuffer
  typealias OutboundOut = ByteBuffer

  private let behavior: TestProxy.Behavior
  private let heads: NIOLockedValueBox<[String]>
  private var text = ""
  private var isAsked = false
  private var waiting = ByteBuffer()

  init(_ behavior: TestProxy.Behavior, _ heads: NIOLockedValueBox<[String]>) {
    self.behavior = behavior
    self.heads = heads
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    var bytes = Self.unwrapInboundIn(data)
    guard !isAsked else {
      waiting.writeBuffer(&bytes)
      return
    }
    text += String(buffer: bytes)
    guard text.contains("\r\n\r\n") else { return }
    isAsked = true
    heads.withLockedValue { $0.append(text) }
    switch behavior {
    case .silent: return
    case .answer(let answer): say(answer, context)
    case .demand(let value) where !text.contains("\r\nProxy-Authorization: \(value)\r\n"):
      say(
        "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n", context)
    case .demand, .tunnel: connect(context)
    }
  }

  private func say(_ answer: String, _ context: ChannelHandlerContext) {
    context.writeAndFlush(Self.wrapOutboundOut(ByteBuffer(string: answer)), promise: nil)
  }

  private func connect(_ context: ChannelHandlerContext) {
    let words = text.split(separator: " ")
    let port = words.count > 1 ? Int(words[1].split(separator: ":").last ?? "") ?? 0 : 0
    let near = context.channel
    ClientBootstrap(group: context.eventLoop).connect(host: "127.0.0.1", port: port).assumeIsolated()
      .whenComplete { result in
        switch result {
        case .failure: self.say("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", context)
        case .success(let far):
          do {
            try far.pipeline.syncOperations.addHandler(Forwarder(near))
            try near.pipeline.syncOperations.addHandler(Forwarder(far))
          } catch {
            return near.close(promise: nil)
          }
          // Of the length of something else: a tunnel's answer has no body.
          self.say("HTTP/1.1 200 Connection established\r\nContent-Length: 7\r\n\r\n", context)
          context.fireChannelRead(Self.wrapInboundOut(self.waiting))
          context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
        }
      }
  }
}

/// Writes what it reads into another channel.
private final class Forwarder: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  private let other: any Channel

  init(_ other: any Channel) { self.other = other }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    other.writeAndFlush(Self.unwrapInboundIn(data), promise: nil)
  }

  func channelInactive(context: ChannelHandlerContext) { other.close(promise: nil) }
}
