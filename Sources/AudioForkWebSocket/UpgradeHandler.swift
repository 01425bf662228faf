// SPDX-License-Identifier: Apache-2.0
internal import Glibc
package import NIOCore
internal import NIOHTTP1

/// Who wants a WebSocket connection. Called on the connection's event loop; holds the connection, not the reverse.
package protocol WebSocketOwner: AnyObject {
  /// The server agreed: from now on the session takes messages.
  func webSocketOpened(_ session: WebSocketSession)
  /// There will be no session. Called once, and nothing after it.
  func webSocketFailed(_ failure: ConnectionFailure)
  /// The server sent a text message; it is whole and valid UTF-8.
  func webSocketReceived(_ session: WebSocketSession, text: String)
  /// The server sent a binary message; it is whole.
  func webSocketReceived(_ session: WebSocketSession, binary: ByteBuffer)
  /// The server sent a pong, asked or not.
  func webSocketReceived(_ session: WebSocketSession, pong: ByteBuffer)
  /// The session is over. Called once, and nothing after it.
  func webSocketEnded(_ session: WebSocketSession, _ end: SessionEnd)
}

extension WebSocketOwner {
  /// Binary messages mean nothing to most owners.
  package func webSocketReceived(_ session: WebSocketSession, binary: ByteBuffer) {}
}

/// Opens a WebSocket connection on a channel that has just connected:
///  1. sends the upgrade request when the channel becomes active,
///  2. reads the answer (`AnswerReader`), checks its head (`UpgradeCheck`) and reports the first thing that is wrong,
///     exactly; of a refusal it waits a moment for the body, which says why,
///  3. puts a `WebSocketSession` into the pipeline and hands it the bytes that came in the same segment as the answer,
///  4. leaves.
///
/// The time allowed for all that is the owner's business: it closes the channel.
package final class UpgradeHandler: ChannelInboundHandler, RemovableChannelHandler {
  package typealias InboundIn = ByteBuffer
  package typealias InboundOut = ByteBuffer
  package typealias OutboundOut = ByteBuffer

  /// How long a refusal's body may take behind its head.
  package static let bodyWait = TimeAmount.milliseconds(500)

  private enum Phase {
    /// The channel is not connected yet.
    case idle
    /// The request is out.
    case waiting
    case over
  }

  private var phase = Phase.idle
  private let request: UpgradeRequest
  private let check: UpgradeCheck
  private let isPlain: Bool
  private let share: InboundShare?
  private weak var owner: (any WebSocketOwner)?
  private var reader = AnswerReader()
  private var bodyTimer: Scheduled<Void>?

  private init(
    _ request: UpgradeRequest, key: String, owner: any WebSocketOwner, isPlain: Bool, share: InboundShare?
  ) {
    self.request = request
    self.isPlain = isPlain
    self.share = share
    self.owner = owner
    check = UpgradeCheck(
      key: key, subprotocolsOffered: request.subprotocols, needsSubprotocol: request.needsSubprotocol, isPlain: isPlain,
      secrets: request.secretTexts)
  }

  /// Puts all that is needed into a fresh channel's pipeline. On the channel's event loop. `isPlain`: nothing below
  /// encrypts. `share`: what the session may do in one turn of the loop; nil for no limit.
  @discardableResult
  package static func install(
    in channel: any Channel, request: UpgradeRequest, key: String, owner: any WebSocketOwner, isPlain: Bool,
    share: InboundShare? = nil
  ) throws -> UpgradeHandler {
    let handler = UpgradeHandler(request, key: key, owner: owner, isPlain: isPlain, share: share)
    try channel.pipeline.syncOperations.addHandler(handler)
    return handler
  }

  /// What the server has refused with, while the rest of its answer is waited for.
  package var refusalSoFar: ConnectionFailure? {
    guard case .refusal(let head, let body)? = reader.refusalSoFar else { return nil }
    return check.refusal(head, body: body)
  }

  package func handlerAdded(context: ChannelHandlerContext) {
    if context.channel.isActive { send(context: context) }
  }

  package func handlerRemoved(context: ChannelHandlerContext) { bodyTimer?.cancel() }

  package func channelActive(context: ChannelHandlerContext) {
    send(context: context)
    context.fireChannelActive()
  }

  /// A channel that has just become active tells so once more, after the handler was added.
  private func send(context: ChannelHandlerContext) {
    guard case .idle = phase else { return }
    phase = .waiting
    let head = request.head(key: check.key)
    var bytes = context.channel.allocator.buffer(capacity: 1024)
    bytes.writeString("\(head.method.rawValue) \(head.uri) HTTP/1.1\r\n")
    for (name, value) in head.headers { bytes.writeString("\(name): \(value)\r\n") }
    bytes.writeString("\r\n")
    context.writeAndFlush(Self.wrapOutboundOut(bytes), promise: nil)
  }

  package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard case .waiting = phase else { return }
    var bytes = Self.unwrapInboundIn(data)
    do throws(ConnectionFailure) {
      switch try reader.take(&bytes) {
      case .switching(let head)?:
        _ = try check.check(head)
        finish(context: context, bytes)
      case .refusal(let head, let body)?: throw check.refusal(head, body: body)
      case nil: limitBody(context: context)
      }
    } catch {
      fail(context: context, hinted(error))
    }
  }

  /// Once the head of a refusal is there the rest has little time.
  private func limitBody(context: ChannelHandlerContext) {
    guard bodyTimer == nil, reader.refusalSoFar != nil else { return }
    bodyTimer = context.eventLoop.assumeIsolated().scheduleTask(in: UpgradeHandler.bodyWait) {
      if let refusal = self.refusalSoFar { self.fail(context: context, refusal) }
    }
  }

  private func finish(context: ChannelHandlerContext, _ frames: ByteBuffer) {
    guard let owner else { return context.close(promise: nil) }
    phase = .over
    let session = WebSocketSession(owner: owner, isPlain: isPlain, share: share)
    do {
      try context.pipeline.syncOperations.addHandler(session, position: .after(self))
    } catch {
      owner.webSocketFailed(ConnectionFailure("upgrade: the connection closed"))
      return context.close(promise: nil)
    }
    owner.webSocketOpened(session)
    if frames.readableBytes > 0 { context.fireChannelRead(Self.wrapInboundOut(frames)) }
    context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
  }

  package func errorCaught(context: ChannelHandlerContext, error: any Error) {
    let failure = refusalSoFar ?? ConnectionFailure(connectionReason(error))
    let wasClosed = [ECONNRESET, EPIPE].contains((error as? IOError)?.errnoCode)
    fail(context: context, wasClosed ? hinted(failure) : failure)
  }

  package func channelInactive(context: ChannelHandlerContext) {
    do throws(ConnectionFailure) {
      guard case .refusal(let head, let body) = try reader.ended() else { return }
      fail(context: context, check.refusal(head, body: body))
    } catch {
      fail(context: context, hinted(error))
    }
    context.fireChannelInactive()
  }

  /// Adds a hint to use wss:// if the server answered in TLS, or closed without an answer as many TLS servers do.
  private func hinted(_ failure: ConnectionFailure) -> ConnectionFailure {
    guard isPlain, reader.isTLS || reader.isUntouched else { return failure }
    let hint = reader.isTLS ? RefusalText.needsTLS : "if this port speaks TLS, use wss://"
    return ConnectionFailure("\(failure.reason); \(hint)")
  }

  private func fail(context: ChannelHandlerContext, _ failure: ConnectionFailure) {
    if case .over = phase { return }
    phase = .over
    bodyTimer?.cancel()
    owner?.webSocketFailed(failure)
    context.close(promise: nil)
  }
}
