// SPDX-License-Identifier: Apache-2.0
package import AudioForkWebSocket
package import NIOCore

/// Counts what goes to the network below TLS, and sends it past the channel's queue where that is empty.
package final class CiphertextMeter: ChannelOutboundHandler {
  package typealias OutboundIn = ByteBuffer
  package typealias OutboundOut = ByteBuffer

  /// Bytes written since the connection began, those of the handshake included.
  package private(set) var written: UInt64 = 0
  private var socket: DirectSocket?
  /// What was written and waits for the flush that follows.
  private var held: ByteBuffer?
  private let share: InboundShare?

  /// `share`: the connection's, to be drained once the socket fails.
  package init(_ share: InboundShare? = nil) { self.share = share }

  package func handlerAdded(context: ChannelHandlerContext) { socket = DirectSocket(context.channel) }

  package func handlerRemoved(context: ChannelHandlerContext) { socket = nil }

  package func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
    let bytes = Self.unwrapOutboundIn(data)
    written &+= UInt64(bytes.readableBytes)
    // Nearly always: TLS writes what it has encrypted in one piece, and nobody asks when it has left.
    if socket != nil, promise == nil, held == nil {
      held = bytes
      return
    }
    forwardHeld(context)
    socket?.hasQueued()
    context.write(data, promise: promise)
  }

  package func flush(context: ChannelHandlerContext) {
    if var bytes = held {
      // One owner at a time, or else each of them would have its copy.
      held = nil
      if socket?.send(&bytes) == false { share?.isDraining = true }
      guard bytes.readableBytes > 0 else { return }
      context.write(Self.wrapOutboundOut(bytes), promise: nil)
    }
    context.flush()
  }

  package func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
    forwardHeld(context)
    context.close(mode: mode, promise: promise)
  }

  private func forwardHeld(_ context: ChannelHandlerContext) {
    guard let bytes = held else { return }
    held = nil
    socket?.hasQueued()
    context.write(Self.wrapOutboundOut(bytes), promise: nil)
  }
}
