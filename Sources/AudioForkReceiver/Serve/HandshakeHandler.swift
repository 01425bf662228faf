// SPDX-License-Identifier: Apache-2.0
internal import NIOCore
internal import NIOHTTP1

/// Holds a connection until it has become a WebSocket: answers requests that are none, and bounds the wait. Removed by
/// the upgrade.
final class HandshakeHandler: ChannelInboundHandler, RemovableChannelHandler {
  typealias InboundIn = HTTPServerRequestPart
  typealias OutboundOut = HTTPServerResponsePart

  /// How long a client may take for its request.
  static let wait = TimeAmount.seconds(10)

  private var timeout: Scheduled<Void>?

  func handlerAdded(context: ChannelHandlerContext) {
    timeout = context.eventLoop.assumeIsolated().scheduleTask(in: HandshakeHandler.wait) {
      context.close(promise: nil)
    }
  }

  func handlerRemoved(context: ChannelHandlerContext) {
    timeout?.cancel()
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard case .end = unwrapInboundIn(data) else { return }
    let body = "This is a receiver of audio over WebSocket. Connect as a WebSocket (RFC 6455, version 13).\n"
    let headers: HTTPHeaders = [
      "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Connection": "close",
      "Content-Type": "text/plain; charset=utf-8", "Content-Length": String(body.utf8.count),
    ]
    let head = HTTPResponseHead(version: .http1_1, status: .upgradeRequired, headers: headers)
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
    context.close(promise: nil)
  }
}
