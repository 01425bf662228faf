// SPDX-License-Identifier: Apache-2.0
package import AudioForkWebSocket
package import NIOCore

/// The place above TLS: lets the connection go on once TLS stands, and knows how much of what was sent the peer's
/// acknowledgements cover.
///
/// The kernel counts acknowledged ciphertext, which is longer than what was encrypted: taken for plaintext it would
/// confirm audio that is still on its way. So each flush notes both counts.
package final class TLSGate: ChannelDuplexHandler {
  package typealias InboundIn = ByteBuffer
  package typealias OutboundIn = ByteBuffer

  /// Two counts that belong together: so much ciphertext carries so much plaintext.
  private struct Mark {
    var plaintext: UInt64
    var ciphertext: UInt64
  }

  /// More flushes than a socket's buffers hold blocks; beyond it marks get coarser, so that memory stays bounded.
  static let marksMax = 256

  private let below: CiphertextMeter
  private var onOutcome: ((Result<Void, ConnectionFailure>) -> Void)?
  private var plaintext: UInt64 = 0
  private var covered: UInt64 = 0
  private var marks: [Mark] = []
  /// What the kernel counts besides our bytes: the SYN, on Linux.
  private var surplus: UInt64?

  /// `onOutcome` is called at most once: when TLS stands, or when it will not.
  package init(above below: CiphertextMeter, onOutcome: @escaping (Result<Void, ConnectionFailure>) -> Void) {
    self.below = below
    self.onOutcome = onOutcome
  }

  /// The plaintext written so far whose ciphertext is within the first `acknowledged` bytes of the TCP connection, as
  /// the kernel counts them. First asked when the server has answered, and so has acknowledged, all there was.
  package func plaintext(acknowledged: UInt64) -> UInt64 {
    let surplus = surplus ?? (acknowledged == below.written ? 0 : 1)
    self.surplus = surplus
    let ciphertext = max(acknowledged, surplus) &- surplus
    let count = marks.prefix { $0.ciphertext <= ciphertext }.count
    if count > 0 {
      covered = marks[count - 1].plaintext
      marks.removeFirst(count)
    }
    return covered
  }

  package func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
    plaintext &+= UInt64(Self.unwrapOutboundIn(data).readableBytes)
    context.write(data, promise: promise)
  }

  /// With the handshake over, a flush encrypts and writes all there is before it returns.
  package func flush(context: ChannelHandlerContext) {
    context.flush()
    guard plaintext > marks.last?.plaintext ?? covered else { return }
    if marks.count >= TLSGate.marksMax { marks.removeLast() }
    marks.append(Mark(plaintext: plaintext, ciphertext: below.written))
  }

  package func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if event is TLSEstablished { report(.success(())) }
    context.fireUserInboundEventTriggered(event)
  }

  package func errorCaught(context: ChannelHandlerContext, error: any Error) {
    guard onOutcome != nil else { return context.fireErrorCaught(error) }
    report(.failure(error as? ConnectionFailure ?? ConnectionFailure(connectionReason(error))))
  }

  package func channelInactive(context: ChannelHandlerContext) {
    report(.failure(ConnectionFailure("tls: the connection closed during the handshake")))
    context.fireChannelInactive()
  }

  package func handlerRemoved(context: ChannelHandlerContext) { onOutcome = nil }

  private func report(_ outcome: Result<Void, ConnectionFailure>) {
    let onOutcome = onOutcome
    self.onOutcome = nil
    onOutcome?(outcome)
  }
}
