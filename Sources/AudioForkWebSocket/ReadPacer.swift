// SPDX-License-Identifier: Apache-2.0
package import NIOCore

/// Holds back the channel's reads while the connection has used up its share of the loop (`InboundShare`). First in the
/// pipeline, below TLS.
package final class ReadPacer: ChannelDuplexHandler {
  package typealias InboundIn = ByteBuffer
  package typealias InboundOut = ByteBuffer
  package typealias OutboundIn = ByteBuffer
  package typealias OutboundOut = ByteBuffer

  private let share: InboundShare
  private var isHeld = false

  package init(_ share: InboundShare) { self.share = share }

  package func handlerAdded(context: ChannelHandlerContext) {
    share.read = { [weak self] in
      guard let self, self.isHeld else { return }
      self.isHeld = false
      context.read()
    }
  }

  package func handlerRemoved(context: ChannelHandlerContext) { share.read = nil }

  package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    share.countRead(Self.unwrapInboundIn(data).readableBytes)
    context.fireChannelRead(data)
  }

  package func read(context: ChannelHandlerContext) {
    guard !share.mayRead else { return context.read() }
    isHeld = true
    share.wait()
  }
}
