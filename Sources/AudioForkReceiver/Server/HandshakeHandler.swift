// SPDX-License-Identifier: Apache-2.0
internal import NIOCore
internal import NIOHTTP1
internal import NIOWebSocket

/// Holds a connection until it has become a WebSocket: answers requests that are none or are refused, and bounds the
/// wait. Removed by the upgrade.
final class HandshakeHandler: ChannelInboundHandler, RemovableChannelHandler {
  typealias InboundIn = HTTPServerRequestPart
  typealias OutboundOut = HTTPServerResponsePart

  /// Why a request does not become a stream.
  enum Refusal: Sendable {
    /// It gives none of the tokens that this receiver takes.
    case unauthorized
    /// There are as many streams as there may be.
    case full
  }

  /// How long a client may take for its request.
  static let wait = TimeAmount.seconds(10)

  private let tokens: AccessTokens?
  /// What became of an upgrade.
  var refusal: Refusal?
  private var timeout: Scheduled<Void>?
  private var isAnswered = false

  init(tokens: AccessTokens?) { self.tokens = tokens }

  func handlerAdded(context: ChannelHandlerContext) {
    timeout = context.eventLoop.assumeIsolated().scheduleTask(in: HandshakeHandler.wait) {
      context.close(promise: nil)
    }
  }

  func handlerRemoved(context: ChannelHandlerContext) {
    timeout?.cancel()
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch unwrapInboundIn(data) {
    case .head(let head):
      // Who has no token learns nothing else.
      if let tokens, tokens.digest(authorization: head.headers["Authorization"]) == nil { refusal = .unauthorized }
    case .body: break
    case .end:
      guard !isAnswered else { return }
      isAnswered = true
      answer(context)
    }
  }

  private func answer(_ context: ChannelHandlerContext) {
    let status: HTTPResponseStatus
    let body: String
    var headers: HTTPHeaders = ["Connection": "close", "Content-Type": "text/plain; charset=utf-8"]
    switch refusal {
    case .unauthorized:
      status = .unauthorized
      headers.add(name: "WWW-Authenticate", value: "Bearer")
      body = "This receiver takes clients with a token only. Send the header 'Authorization: Bearer TOKEN'.\n"
    case .full:
      status = .serviceUnavailable
      headers.add(name: "Retry-After", value: "5")
      body = "This receiver has as many streams as it takes (--max-connections).\n"
    case nil:
      status = .upgradeRequired
      headers.add(name: "Upgrade", value: "websocket")
      headers.add(name: "Sec-WebSocket-Version", value: "13")
      body = "This is a receiver of audio over WebSocket. Connect as a WebSocket (RFC 6455, version 13).\n"
    }
    headers.add(name: "Content-Length", value: String(body.utf8.count))
    let head = HTTPResponseHead(version: .http1_1, status: status, headers: headers)
    context.write(wrapOutboundOut(.head(head)), promise: nil)
    context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(string: body)))), promise: nil)
    context.writeAndFlush(wrapOutboundOut(.end(nil))).assumeIsolated().whenComplete { _ in
      context.close(promise: nil)
    }
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if event is ReceiverStops { context.close(promise: nil) }
    context.fireUserInboundEventTriggered(event)
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    // The request follows, and its answer says more than a closed connection.
    if error is NIOWebSocketUpgradeError { return }
    context.close(promise: nil)
  }
}
