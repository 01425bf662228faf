// SPDX-License-Identifier: Apache-2.0
internal import AudioForkWebSocket
internal import NIOCore
internal import NIOPosix
internal import NIOWebSocket

/// Carries out what `StreamStateMachine` decides for one connection: frames to and from the network on the event loop,
/// the file on the blocking pool, events to whoever shows them. Outlives its channel until the file is complete.
final class StreamHandler: ChannelDuplexHandler {
  typealias InboundIn = WebSocketFrame
  typealias OutboundIn = WebSocketFrame
  typealias OutboundOut = WebSocketFrame

  var facts: StreamFacts
  let client: ClientIdentity
  private let meter: ByteMeter
  let shared: Receiver.Shared
  let loop: any EventLoop
  var machine: StreamStateMachine
  /// The fork whose file this connection has claimed.
  var claim: String?
  var recording: Recording?
  var trouble: String?
  var context: ChannelHandlerContext?
  /// Why nothing is read from the network: the disk is slow, the client does not read what we say, or all connections
  /// together hold too much.
  private var isPaused = false
  private var isClogged = false
  private var isOverBudget = false
  /// It held too much and ends with 1013: nothing more is read, because nothing more is counted.
  private var isRefused = false
  private var readHeld = false
  /// What this connection has told the budget.
  private var heldBytes = 0
  private var lastWrite: EventLoopFuture<Void>?
  private var isOver = false
  /// Since the start; its level is of the whole stream.
  var progress = StreamProgress()
  var levelSinceTold = LevelMeter()
  private var told = StreamProgress()

  init(facts: StreamFacts, client: ClientIdentity, meter: ByteMeter, shared: Receiver.Shared, loop: any EventLoop) {
    self.facts = facts
    self.client = client
    self.meter = meter
    self.shared = shared
    self.loop = loop
    machine = StreamStateMachine(isForkStream: facts.request.isForkStream)
  }

  func handlerAdded(context: ChannelHandlerContext) {
    self.context = context
    scheduleSilence()
    guard !facts.request.isForkStream else {
      return after(StreamStateMachine.startDelay) { $0.machine.startDue() }
    }
    openRaw()
  }

  func handlerRemoved(context: ChannelHandlerContext) {
    self.context = nil
    run(machine.channelClosed())
    weigh()
  }

  func channelInactive(context: ChannelHandlerContext) {
    run(machine.channelClosed())
    context.fireChannelInactive()
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    let frame = unwrapInboundIn(data)
    meter.frameDecoded(frame)
    run(machine.received(frame))
  }

  func channelReadComplete(context: ChannelHandlerContext) {
    weigh()
    context.fireChannelReadComplete()
  }

  func channelWritabilityChanged(context: ChannelHandlerContext) {
    isClogged = !context.channel.isWritable
    readIfAllowed()
    context.fireChannelWritabilityChanged()
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    // Errors of the socket are followed by channelInactive; the decoder's must be answered here.
    if error is NIOWebSocketError { run(machine.decodingFailed(error)) }
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if event is ReceiverStops { run(machine.shutDown()) }
    if event is StreamReplaced { run(machine.replaced()) }
    context.fireUserInboundEventTriggered(event)
  }

  func read(context: ChannelHandlerContext) {
    if mayRead { context.read() } else { readHeld = true }
  }

  private var mayRead: Bool { !isPaused && !isClogged && !isOverBudget && !isRefused }

  private func readIfAllowed() {
    guard readHeld, mayRead else { return }
    readHeld = false
    context?.read()
  }

  /// Tells the budget what this connection holds. Where all hold too much and this one more than its share, it waits
  /// for its audio to be written; where it waits for the rest of a long message, it ends.
  func weigh() {
    let unframed = isRefused || context == nil ? 0 : min(meter.unframedBytes, WebSocketFrameRules.messageBytesMax)
    let partial = unframed + machine.partialBytes
    // A client may go on sending after its stream is over, until its connection is closed.
    let held = isOver && context == nil ? 0 : unframed + machine.heldBytes
    shared.memory.add(held - heldBytes)
    heldBytes = held
    let isTooMuch = held > MemoryBudget.shareMin && shared.memory.isExceeded
    isOverBudget = isTooMuch && held > partial
    if isTooMuch, partial > MemoryBudget.shareMin, !isRefused {
      isRefused = true
      run(machine.overloaded())
      // What it held is free for the others: the connection is closed in a second or two.
      weigh()
    }
    readIfAllowed()
  }

  func run(_ actions: [StreamStateMachine.Action]) {
    for action in actions {
      switch action {
      case .open(let start): open(start)
      case .write(let bytes, let position): write(bytes, at: position)
      case .sync: sync()
      case .sendText(let text): send(WebSocketFrame(fin: true, opcode: .text, data: ByteBuffer(string: text)))
      case .finish: finish()
      case .sendPing: send(WebSocketFrame(fin: true, opcode: .ping, data: ByteBuffer()))
      case .sendPong(let payload): send(WebSocketFrame(fin: true, opcode: .pong, data: payload))
      case .sendClose(let code, let reason): send(StreamHandler.closeFrame(code, reason))
      case .scheduleFlush: after(FileWriter.flushDelay) { $0.machine.flushDue() }
      case .scheduleSync: after(FileWriter.syncDelay) { $0.machine.syncDue() }
      case .scheduleClose: after(CloseHandshake.closeDelay) { $0.machine.closeDue() }
      case .pauseReading: isPaused = true
      case .resumeReading:
        isPaused = false
        readIfAllowed()
      case .closeAfterWrites: closeAfterWrites()
      case .abort: context?.close(promise: nil)
      case .text(let text): shared.emit(.received(facts, text))
      case .message(let message): shared.emit(.received(facts, message))
      case .ended(let ending): ended(ending)
      }
    }
  }

  private func ended(_ ending: StreamEnding) {
    isOver = true
    weigh()
    if let claim { shared.claims.release(claim, number: facts.number) }
    progress.duplicates = machine.duplicates
    progress.messages = machine.messages
    progress.texts = machine.texts
    shared.emit(.ended(facts, progress, ending, file: recording?.path, trouble: trouble))
    shared.registry.remove(facts.number)
  }

  func scheduleProgress() {
    loop.assumeIsolated().scheduleTask(in: shared.progressInterval) { [weak self] in
      guard let self, !isOver else { return }
      reportProgress()
      scheduleProgress()
    }
  }

  private func scheduleSilence() {
    loop.assumeIsolated().scheduleTask(in: shared.silenceDelay) { [weak self] in
      guard let self, !isOver else { return }
      // Who is not read because of the disk is not to blame; who does not read what we say is.
      let hasReceived = meter.takeHasReceived() || isPaused || isOverBudget
      run(machine.silenceDue(hasReceived: hasReceived))
      scheduleSilence()
    }
  }

  /// Nothing new, nothing told: but the first interval without audio is told once, so that a meter falls.
  private func reportProgress() {
    var now = progress
    now.messages = machine.messages
    now.texts = machine.texts
    now.level = levelSinceTold
    guard now != told else { return }
    told = now
    levelSinceTold = LevelMeter()
    shared.emit(.progress(facts, now))
  }

  private func send(_ frame: WebSocketFrame) {
    lastWrite = context?.writeAndFlush(wrapOutboundOut(frame))
  }

  private func closeAfterWrites() {
    guard let lastWrite else {
      context?.close(promise: nil)
      return
    }
    lastWrite.assumeIsolated().whenComplete { [self] _ in context?.close(promise: nil) }
  }

  private func after(_ delay: TimeAmount, _ event: @escaping (StreamHandler) -> [StreamStateMachine.Action]) {
    loop.assumeIsolated().scheduleTask(in: delay) { [weak self] in
      if let self { run(event(self)) }
    }
  }

  private static func closeFrame(_ code: UInt16?, _ reason: String) -> WebSocketFrame {
    var payload = ByteBuffer()
    if let code {
      payload.writeInteger(code)
      // A control frame carries at most 125 bytes; our reasons are ASCII, so any place to cut will do.
      payload.writeBytes(reason.utf8.prefix(123))
    }
    return WebSocketFrame(fin: true, opcode: .connectionClose, data: payload)
  }
}
