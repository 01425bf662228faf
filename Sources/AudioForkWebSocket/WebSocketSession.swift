// SPDX-License-Identifier: Apache-2.0
package import NIOCore
internal import NIOWebSocket

/// An open WebSocket connection, client side. Lives on one event loop and is called there only:
///  1. sends binary messages, each in one masked frame; nothing leaves before `flush`, and then all of it with one
///     call,
///  2. answers every ping, also while idle; while the server does not read, only the latest one,
///  3. hands on what the server says, also while our Close is out: last words come then,
///  4. answers the server's Close and reports it,
///  5. closes the session on the server's violations, and on a flood of empty or control frames,
///  6. does in each turn of the loop no more than its share (`InboundShare`): what is left waits for the next one,
///  7. reports the end exactly once,
///  8. leaves it to the server to close the TCP connection, for a while (RFC 6455 section 7.1.1): what it has sent and
///     nobody read would make our own closing a reset, which takes our Close frame away from it.
package final class WebSocketSession: ChannelInboundHandler {
  package typealias InboundIn = ByteBuffer
  package typealias OutboundOut = ByteBuffer

  /// How long the server may take to answer our Close, and to close the TCP connection then.
  package static let closeWait = TimeAmount.milliseconds(1500)
  /// So much may wait for a flush: as much as may wait in the channel.
  private static let outgoingMax = 65_536

  private var phase = SessionPhase.open
  private weak var owner: (any WebSocketOwner)?
  private var context: ChannelHandlerContext?
  private let share: InboundShare?
  private var input = UndecodedInput()
  private var rules = WebSocketFrameRules(sender: .server)
  private var flood = FloodWatch()
  /// The channel has ended this way, and frames that came before are still to be decoded.
  private var inputEnd: SessionEnd?
  private var isDecoding = false
  /// Payload of the latest ping that could not be answered yet.
  private var pongDue: ByteBuffer?
  private var closeTimer: Scheduled<Void>?

  /// What was written since the last flush.
  private var outgoing = OutgoingFrames()
  /// The socket, where nothing is encrypted above it.
  private var socket: DirectSocket?
  private let isPlain: Bool
  /// What the channel has said last; kept here because it is asked for with each block.
  private var isChannelWritable = false

  /// Frames of the server so far.
  package private(set) var framesHeard: UInt64 = 0
  /// Bytes sent since the upgrade, those that wait for a flush and frame headers included.
  package var bytesWritten: UInt64 { outgoing.bytesWritten }
  /// Control or empty frames that the server may send as answers.
  package var answersExpected: Int { flood.answersExpected }
  /// The channel, for what only the room below NIO's sockets knows.
  package var channel: (any Channel)? { context?.channel }

  /// `isPlain`: what is written goes over the wire as it is. `share`: nil for a connection without limits.
  init(owner: any WebSocketOwner, isPlain: Bool, share: InboundShare?) {
    self.owner = owner
    self.isPlain = isPlain
    self.share = share
  }

  /// Whether the server and the kernel keep up: more may be sent.
  package var isWritable: Bool {
    guard isChannelWritable, case .open = phase else { return false }
    return outgoing.bytes.readableBytes < WebSocketSession.outgoingMax
  }

  /// Whether the kernel has taken everything that was sent.
  package var isFlushed: Bool {
    guard let context, outgoing.isEmpty else { return false }
    return (try? context.channel.syncOptions?.getOption(.bufferedWritableBytes)) == 0
  }

  /// Sends a binary message; `payload` is masked in place and worth nothing afterwards.
  package func send(binary payload: inout [UInt8]) {
    guard context != nil, case .open = phase else { return }
    outgoing.write { writer, buffer in writer.binary(masking: &payload, into: &buffer) }
    flood.expectAnswer()
  }

  /// Sends a text message; `payload` is UTF-8, and is masked in place as in a binary one.
  package func send(text payload: inout [UInt8]) {
    guard context != nil, case .open = phase else { return }
    outgoing.write { writer, buffer in writer.text(masking: &payload, into: &buffer) }
    flood.expectAnswer()
  }

  /// Sends a text message.
  package func send(text: String) {
    var payload = [UInt8](text.utf8)
    send(text: &payload)
  }

  /// Sends a ping with at most 125 bytes; its pong is reported with the same bytes.
  package func ping(_ payload: [UInt8]) {
    guard context != nil, case .open = phase else { return }
    outgoing.write { writer, buffer in writer.ping(payload, into: &buffer) }
    flood.expectAnswer()
  }

  /// Lets go what was sent since the last flush.
  package func flush() {
    guard !outgoing.isEmpty, let context else { return }
    // A channel that fails to write reads what the server has sent before it closes: nothing may hold that back.
    if socket?.send(&outgoing.bytes) == false { share?.isDraining = true }
    guard !outgoing.isEmpty else { return outgoing.reuse() }
    // What happens meanwhile finds nothing to flush: the channel may end in there, and with it the session.
    var rest = outgoing.take()
    context.writeAndFlush(Self.wrapOutboundOut(rest), promise: nil)
    outgoing.giveBack(&rest)
  }

  /// Begins the closing handshake. `closedByUs` follows, or `lost` when the server does not answer in time.
  package func close(code: UInt16, reason: String = "") {
    guard let context, case .open = phase else { return }
    phase = .closing
    outgoing.write { writer, buffer in writer.close(code: code, reason: reason, into: &buffer) }
    flush()
    closeTimer = context.eventLoop.assumeIsolated().scheduleTask(in: WebSocketSession.closeWait) {
      self.end(.lost("close: no answer to our Close frame"))
    }
  }

  /// Ends the session because the server said what it may not: a Close with 1002, then `lost`. `what` follows "the
  /// server sent ".
  package func refuse(_ what: String) {
    guard case .open = phase else { return }
    refuse(ProtocolViolation(code: CloseCode.protocolError, reason: what))
  }

  /// Says good-bye and leaves without waiting; the owner hears nothing more.
  package func drop(code: UInt16 = CloseCode.goingAway) {
    owner = nil
    end(.closedByUs(code: nil), farewell: .code(code))
  }

  package func handlerAdded(context: ChannelHandlerContext) {
    self.context = context
    isChannelWritable = context.channel.isWritable
    if isPlain { socket = DirectSocket(context.channel) }
    share?.isOpen = true
    share?.decode = { [self] in
      decode()
      flush()
    }
  }

  package func handlerRemoved(context: ChannelHandlerContext) {
    self.context = nil
    isChannelWritable = false
    socket = nil
    inputEnded(.lost("connection: closed"))
    guard phase == .over else { return }
    closeTimer?.cancel()
    closeTimer = nil
  }

  package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard phase != .over else { return }
    share?.countPiece()
    input.append(Self.unwrapInboundIn(data))
    decode()
  }

  /// Takes the frames that have come, as far as the share goes. What comes while a frame is taken waits for its turn in
  /// `input`.
  private func decode() {
    guard !isDecoding else { return }
    let idleFrames = input.idleFrames
    share?.hasBacklog = false
    isDecoding = true
    while phase != .over, !input.isEmpty {
      if let share, !share.mayWork {
        share.hasBacklog = true
        share.wait()
        break
      }
      do throws(ProtocolViolation) {
        guard let frame = try input.nextFrame() else { break }
        take(frame)
      } catch {
        refuse(error)
      }
    }
    isDecoding = false
    let idle = input.idleFrames &- idleFrames
    if idle > 0, phase != .over, flood.isFlood(adding: idle) { refuse(FloodWatch.violation) }
    guard phase != .over else { return forgetInput() }
    input.freeIfEmpty()
    if share?.hasBacklog != true, let inputEnd { end(inputEnd) }
  }

  private func take(_ frame: WebSocketFrame) {
    framesHeard &+= 1
    switch rules.receive(frame) {
    case .nothing: share?.countFrame()
    case .binary(let bytes):
      share?.countFrame(messageBytes: bytes.readableBytes)
      owner?.webSocketReceived(self, binary: bytes)
    // Of a receiver's rules only.
    case .piece(let bytes, _): share?.countFrame(messageBytes: bytes.readableBytes)
    case .pong(let payload):
      share?.countFrame()
      owner?.webSocketReceived(self, pong: payload)
    case .text(let text):
      share?.countFrame(messageBytes: text.utf8.count)
      owner?.webSocketReceived(self, text: text)
    case .ping(let payload):
      share?.countFrame()
      answer(payload)
    case .close(let code, let reason): peerClosed(code, shown(reason))
    case .violation(let violation): refuse(violation)
    }
  }

  /// Nothing more will be read. Ends the session, once the frames that came before are decoded.
  private func inputEnded(_ end: SessionEnd) {
    guard phase != .over else { return }
    isChannelWritable = false
    inputEnd = inputEnd ?? end
    if !isDecoding, share?.hasBacklog != true { self.end(end) }
  }

  private func forgetInput() {
    input.clear()
    share?.hasBacklog = false
    share?.decode = nil
  }

  package func channelReadComplete(context: ChannelHandlerContext) {
    flush()
    context.fireChannelReadComplete()
  }

  package func channelWritabilityChanged(context: ChannelHandlerContext) {
    isChannelWritable = context.channel.isWritable
    if isChannelWritable, let payload = pongDue {
      pongDue = nil
      answer(payload)
      flush()
    }
    context.fireChannelWritabilityChanged()
  }

  package func errorCaught(context: ChannelHandlerContext, error: any Error) {
    inputEnded(.lost(connectionReason(error)))
  }

  package func channelInactive(context: ChannelHandlerContext) {
    inputEnded(.lost("connection: closed by the server without a Close frame"))
    context.fireChannelInactive()
  }

  /// Flushed with the end of the read.
  private func answer(_ ping: ByteBuffer) {
    guard case .open = phase else { return }
    guard isChannelWritable else {
      pongDue = ping
      return
    }
    outgoing.write { writer, buffer in writer.pong(ping, into: &buffer) }
  }

  private func peerClosed(_ code: UInt16?, _ reason: String) {
    switch phase {
    case .open: end(.closedByServer(code: code, reason: reason), farewell: .code(code))
    case .closing: end(.closedByUs(code: code), farewell: .exchanged)
    case .over: break
    }
  }

  private func refuse(_ violation: ProtocolViolation) {
    end(.lost("protocol: the server sent \(violation.reason)"), farewell: .code(violation.code))
  }

  /// Ends the session and tells the owner, once. What happens on the way down (the channel's end, for one) finds it
  /// over already.
  private func end(_ end: SessionEnd, farewell: Farewell = .none) {
    guard phase != .over else { return }
    let wasOpen = phase == .open
    phase = .over
    forgetInput()
    closeTimer?.cancel()
    closeTimer = nil
    let owner = owner
    self.owner = nil
    if let context { closeChannel(context, farewell, wasOpen: wasOpen) }
    owner?.webSocketEnded(self, end)
  }

  /// Sends the last Close frame. Then the server closes the channel, or we do after `closeWait`.
  private func closeChannel(_ context: ChannelHandlerContext, _ farewell: Farewell, wasOpen: Bool) {
    switch farewell {
    case .code(let code) where wasOpen:
      outgoing.write { writer, buffer in writer.close(code: code, into: &buffer) }
      flush()
    case .exchanged: break
    case .none, .code: return context.close(promise: nil)
    }
    closeTimer = context.eventLoop.assumeIsolated().scheduleTask(in: WebSocketSession.closeWait) {
      context.close(promise: nil)
    }
  }
}
