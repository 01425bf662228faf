// SPDX-License-Identifier: Apache-2.0
package import NIOCore
import Synchronization

/// What one side of a plain connection has heard.
package final class ByteLog: Sendable {
  private struct State {
    package var bytes: [UInt8] = []
    package var isOver = false
    package var saidLastWord = false
    package var failure: String?
  }

  private let state = Mutex(State())

  package init() {}

  package var bytes: [UInt8] { state.withLock { $0.bytes } }
  package var count: Int { state.withLock { $0.bytes.count } }
  /// The connection is gone.
  package var isOver: Bool { state.withLock { $0.isOver } }
  /// The peer will say no more.
  package var saidLastWord: Bool { state.withLock { $0.saidLastWord } }
  package var failure: String? { state.withLock { $0.failure } }

  fileprivate func append(_ bytes: some Sequence<UInt8>) { state.withLock { $0.bytes += bytes } }
  fileprivate func over() { state.withLock { $0.isOver = true } }
  fileprivate func lastWord() { state.withLock { $0.saidLastWord = true } }
  fileprivate func failed(_ error: any Error) { state.withLock { $0.failure = "\(error)" } }
}

/// Writes into a log what a channel gets; `echoes`: sends it back.
package final class Collector: ChannelInboundHandler {
  package typealias InboundIn = ByteBuffer
  package typealias OutboundOut = ByteBuffer
  private let log: ByteLog
  private let echoes: Bool

  package init(_ log: ByteLog, echoes: Bool) {
    self.log = log
    self.echoes = echoes
  }

  package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    let bytes = unwrapInboundIn(data)
    log.append(bytes.readableBytesView)
    if echoes { context.writeAndFlush(wrapOutboundOut(bytes), promise: nil) }
  }

  package func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if case .inputClosed? = event as? ChannelEvent { log.lastWord() }
  }

  package func channelInactive(context: ChannelHandlerContext) { log.over() }

  package func errorCaught(context: ChannelHandlerContext, error: any Error) {
    log.failed(error)
    context.close(promise: nil)
  }
}
