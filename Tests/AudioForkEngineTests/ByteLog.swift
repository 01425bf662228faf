// SPDX-License-Identifier: Apache-2.0
import NIOCore
import Synchronization

/// What one side of a plain connection has heard.
final class ByteLog: Sendable {
  private struct State {
    var bytes: [UInt8] = []
    var isOver = false
    var saidLastWord = false
    var failure: String?
  }

  private let state = Mutex(State())

  var bytes: [UInt8] { state.withLock { $0.bytes } }
  var count: Int { state.withLock { $0.bytes.count } }
  /// The connection is gone.
  var isOver: Bool { state.withLock { $0.isOver } }
  /// The peer will say no more.
  var saidLastWord: Bool { state.withLock { $0.saidLastWord } }
  var failure: String? { state.withLock { $0.failure } }

  fileprivate func heard(_ bytes: some Sequence<UInt8>) { state.withLock { $0.bytes += bytes } }
  fileprivate func over() { state.withLock { $0.isOver = true } }
  fileprivate func lastWord() { state.withLock { $0.saidLastWord = true } }
  fileprivate func failed(_ error: any Error) { state.withLock { $0.failure = "\(error)" } }
}

/// Writes into a log what a channel gets; `echoes`: sends it back.
final class Collector: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer
  private let log: ByteLog
  private let echoes: Bool

  init(_ log: ByteLog, echoes: Bool) {
    self.log = log
    self.echoes = echoes
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    let bytes = unwrapInboundIn(data)
    log.heard(bytes.readableBytesView)
    if echoes { context.writeAndFlush(wrapOutboundOut(bytes), promise: nil) }
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if case .inputClosed? = event as? ChannelEvent { log.lastWord() }
  }

  func channelInactive(context: ChannelHandlerContext) { log.over() }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    log.failed(error)
    context.close(promise: nil)
  }
}
