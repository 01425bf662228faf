// SPDX-License-Identifier: Apache-2.0
internal import NIOCore
internal import NIOPosix
internal import NIOWebSocket

/// Carries out what `StreamStateMachine` decides for one connection: frames to and from the network on the event loop,
/// the file on the blocking pool, events to whoever shows them. Outlives its channel until the file is complete.
final class StreamHandler: ChannelDuplexHandler {
  typealias InboundIn = WebSocketFrame
  typealias OutboundIn = WebSocketFrame
  typealias OutboundOut = WebSocketFrame

  private var facts: StreamFacts
  private let client: ClientIdentity
  private let meter: ByteMeter
  private let shared: Receiver.Shared
  private let loop: any EventLoop
  private var machine: StreamStateMachine
  /// The fork whose file this connection has claimed.
  private var claim: String?
  private var recording: Recording?
  private var trouble: String?
  private var context: ChannelHandlerContext?
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
  private var progress = StreamProgress()
  private var levelSinceTold = LevelMeter()
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
    let (folder, request, clock) = (shared.folder, facts.request, shared.unixSeconds)
    onPool {
      let stem = RecordingName.stem(path: request.path, forkID: request.forkID, unixSeconds: clock())
      return try Recording(
        in: folder, stem: stem, rateHertz: request.rateHertz, channelCount: request.channelCount,
        encoding: request.encoding)
    } then: { handler, result in
      handler.opened(result)
    }
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
    meter.took(frame)
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
  private func weigh() {
    let unframed = isRefused || context == nil ? 0 : min(meter.unframedBytes, ClientFrameRules.messageBytesMax)
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

  private func run(_ actions: [StreamStateMachine.Action]) {
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
      case .scheduleFlush: after(StreamStateMachine.flushDelay) { $0.machine.flushDue() }
      case .scheduleSync: after(StreamStateMachine.syncDelay) { $0.machine.syncDue() }
      case .scheduleClose: after(StreamStateMachine.closeDelay) { $0.machine.closeDue() }
      case .pauseReading: isPaused = true
      case .resumeReading:
        isPaused = false
        readIfAllowed()
      case .closeAfterWrites: closeAfterWrites()
      case .abort: context?.close(promise: nil)
      case .text(let text): shared.emit(.said(facts, text))
      case .told(let message): shared.emit(.said(facts, message))
      case .ended(let ending): ended(ending)
      }
    }
  }

  /// Opens the fork's file once no older connection has it.
  private func open(_ start: ForkStart) {
    guard let context else { return }
    let stem = RecordingName.stem(path: facts.request.path, fork: start, client: client)
    facts.start = start
    claim = stem
    let folder = shared.folder
    shared.claims.claim(stem, number: facts.number, channel: context.channel).assumeIsolated().whenComplete { [self] result in
      if case .failure(let error) = result { return opened(.failure(error)) }
      onPool {
        try Recording(of: start, in: folder, stem: stem)
      } then: { handler, result in
        handler.opened(result)
      }
    }
  }

  private func opened(_ result: Result<Recording, any Error>) {
    switch result {
    case .success(let recording):
      self.recording = recording
      let position = recording.frameCount
      progress.frameCount = position
      shared.emit(.started(facts, file: recording.path))
      scheduleProgress()
      run(facts.start == nil ? machine.opened() : machine.opened(at: UInt64(position)))
    case .failure(let error):
      trouble = StreamHandler.reason(error)
      run(machine.openFailed("the recording cannot be made"))
    }
  }

  private func sync() {
    guard let recording else { return }
    onPool {
      try recording.sync()
    } then: { handler, result in
      switch result {
      case .success: handler.run(handler.machine.synced())
      case .failure(let error):
        handler.trouble = StreamHandler.reason(error)
        handler.run(handler.machine.writeFailed("the recording cannot be kept"))
      }
    }
  }

  private func write(_ bytes: ByteBuffer, at position: UInt64?) {
    guard let recording else { return }
    onPool {
      if let position { try recording.fill(to: position) }
      return try recording.append(bytes)
    } then: { handler, result in
      switch result {
      case .success(let appended):
        handler.progress.frameCount = appended.frameCount
        handler.progress.level.add(appended.level)
        handler.levelSinceTold.add(appended.level)
        handler.run(handler.machine.written())
        handler.weigh()
      case .failure(let error):
        handler.trouble = StreamHandler.reason(error)
        handler.run(handler.machine.writeFailed("the recording cannot be continued"))
      }
    }
  }

  private func finish() {
    guard let recording else { return }
    onPool {
      recording.finish()
    } then: { handler, result in
      if case .success(let (frameCount, bytesLeftOver)) = result {
        handler.progress.frameCount = frameCount
        if bytesLeftOver > 0, handler.trouble == nil {
          handler.trouble = "the stream ended inside a sample; its last \(bytesLeftOver) bytes are not in the file"
        }
      }
      handler.run(handler.machine.finished())
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

  private func scheduleProgress() {
    loop.assumeIsolated().scheduleTask(in: shared.progressInterval) { [weak self] in
      guard let self, !isOver else { return }
      tellProgress()
      scheduleProgress()
    }
  }

  private func scheduleSilence() {
    loop.assumeIsolated().scheduleTask(in: shared.silenceDelay) { [weak self] in
      guard let self, !isOver else { return }
      // Who is not read because of the disk is not to blame; who does not read what we say is.
      let hasHeard = meter.takeHasHeard() || isPaused || isOverBudget
      run(machine.silenceDue(hasHeard: hasHeard))
      scheduleSilence()
    }
  }

  /// Nothing new, nothing told: but the first interval without audio is told once, so that a meter falls.
  private func tellProgress() {
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

  /// Runs blocking work on the pool and comes back to the loop with its result.
  private func onPool<Value: Sendable>(
    _ work: @escaping @Sendable () throws -> Value,
    then: @escaping (StreamHandler, Result<Value, any Error>) -> Void
  ) {
    shared.pool.runIfActive(eventLoop: loop, work).assumeIsolated().whenComplete { then(self, $0) }
  }

  private static func reason(_ error: any Error) -> String {
    (error as? RecordingError)?.reason ?? "\(error)"
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
