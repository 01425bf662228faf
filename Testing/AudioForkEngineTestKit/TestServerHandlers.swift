// SPDX-License-Identifier: Apache-2.0
internal import NIOConcurrencyHelpers
internal import NIOCore
internal import NIOWebSocket

/// Answers whatever comes with fixed bytes.
final class AnswerHandler: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer
  private let text: String
  private var hasAnswered = false

  init(_ text: String) { self.text = text }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard !hasAnswered else { return }
    hasAnswered = true
    context.writeAndFlush(Self.wrapOutboundOut(ByteBuffer(string: text)), promise: nil)
  }
}

/// Answers requests for some paths with fixed bytes, and lets others through.
final class PathHandler: ChannelInboundHandler, RemovableChannelHandler {
  typealias InboundIn = ByteBuffer
  typealias InboundOut = ByteBuffer
  typealias OutboundOut = ByteBuffer
  private let answers: [String: String]
  private let log: NIOLockedValueBox<[TestServer.Connection]>
  private let index: Int
  private var text = ""

  init(_ answers: [String: String], _ log: NIOLockedValueBox<[TestServer.Connection]>, _ index: Int) {
    self.answers = answers
    self.log = log
    self.index = index
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    text += String(buffer: Self.unwrapInboundIn(data))
    guard text.contains("\r\n\r\n") else { return }
    let words = text.split(separator: " ")
    guard words.count > 1, let answer = answers[String(words[1])] else {
      context.fireChannelRead(Self.wrapInboundOut(ByteBuffer(string: text)))
      return context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
    }
    log.withLockedValue { $0[index].answered = text }
    context.writeAndFlush(Self.wrapOutboundOut(ByteBuffer(string: answer)), promise: nil)
  }
}

final class RecordingHandler: ChannelInboundHandler {
  typealias InboundIn = WebSocketFrame
  typealias OutboundOut = WebSocketFrame
  private let behavior: TestServer.Behavior
  /// Still to come.
  private var pause: TestServer.Pause?
  private let pingEvery: TimeAmount?
  private let answersPings: Bool
  private let log: NIOLockedValueBox<[TestServer.Connection]>
  private let index: Int
  private var pings: RepeatedTask?
  private var store: ForkStore?

  init(
    _ behavior: TestServer.Behavior, _ pause: TestServer.Pause?, _ pingEvery: TimeAmount?, _ answersPings: Bool,
    _ log: NIOLockedValueBox<[TestServer.Connection]>,
    _ index: Int
  ) {
    self.behavior = behavior
    self.pause = pause
    self.pingEvery = pingEvery
    self.answersPings = answersPings
    self.log = log
    self.index = index
    if case .fork(let store) = behavior { self.store = store }
  }

  /// The Close that this ping brings about; nil: none.
  private var closeCodeForPing: WebSocketErrorCode? {
    switch behavior {
    case .closeOnPing(let code): code
    case .closeAfterPings(let count, let code): log.withLockedValue { $0[index].pings.count > count } ? code : nil
    default: nil
    }
  }

  func handlerAdded(context: ChannelHandlerContext) {
    if case .talk(let texts) = behavior {
      for text in texts {
        context.write(
          Self.wrapOutboundOut(WebSocketFrame(fin: true, opcode: .text, data: ByteBuffer(string: text))), promise: nil)
      }
      context.flush()
    }
    guard let pingEvery else { return }
    let channel = context.channel
    var number: UInt8 = 0
    let next = { () -> UInt8 in
      number &+= 1
      return number
    }
    let counter = NIOLoopBound(next, eventLoop: context.eventLoop)
    pings = context.eventLoop.scheduleRepeatedTask(initialDelay: pingEvery, delay: pingEvery) { _ in
      let frame = WebSocketFrame(fin: true, opcode: .ping, data: ByteBuffer(bytes: [counter.value()]))
      channel.writeAndFlush(frame, promise: nil)
    }
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    let frame = Self.unwrapInboundIn(data)
    let payload = Array(frame.unmaskedData.readableBytesView)
    var total = 0
    log.withLockedValue { log in
      switch frame.opcode {
      case .binary:
        log[index].audio += payload
        log[index].messageSizes.append(payload.count)
      case .pong: log[index].pongs.append(payload)
      case .ping: log[index].pings.append(payload)
      case .text: log[index].texts.append(String(decoding: payload, as: UTF8.self))
      case .connectionClose where payload.count >= 2:
        log[index].closeCode = UInt16(payload[0]) << 8 | UInt16(payload[1])
      default: break
      }
      total = log[index].audio.count
    }
    if let pause, total >= pause.afterBytes {
      self.pause = nil
      stopReading(context.channel, for: pause.time)
    }
    if case .forks(let stores) = behavior, store == nil, frame.opcode == .text {
      store = stores.store(startedBy: String(decoding: payload, as: UTF8.self))
    }
    if let store {
      for answer in store.received(frame.opcode, payload) {
        context.writeAndFlush(
          Self.wrapOutboundOut(WebSocketFrame(fin: true, opcode: .text, data: ByteBuffer(string: answer))), promise: nil
        )
      }
    }
    if case .converse(let connections) = behavior, frame.opcode == .text {
      let answers = connections[min(index, connections.count - 1)][String(decoding: payload, as: UTF8.self)] ?? []
      for answer in answers { context.write(Self.wrapOutboundOut(answer.frame), promise: nil) }
      context.flush()
    }
    if case .closeOnText(let code) = behavior, frame.opcode == .text {
      var payload = ByteBuffer()
      if let code { payload.write(webSocketErrorCode: code) }
      context.writeAndFlush(
        Self.wrapOutboundOut(WebSocketFrame(fin: true, opcode: .connectionClose, data: payload)), promise: nil)
    }
    if frame.opcode == .ping, let code = closeCodeForPing {
      var payload = ByteBuffer()
      payload.write(webSocketErrorCode: code)
      context.writeAndFlush(
        Self.wrapOutboundOut(WebSocketFrame(fin: true, opcode: .connectionClose, data: payload)), promise: nil)
    } else if frame.opcode == .ping, case .pongLate(let delay) = behavior,
      log.withLockedValue({ $0[index].pings.count > 1 })
    {
      let channel = context.channel
      context.eventLoop.scheduleTask(in: delay) {
        channel.writeAndFlush(WebSocketFrame(fin: true, opcode: .pong, data: ByteBuffer(bytes: payload)), promise: nil)
      }
    } else if frame.opcode == .ping, case .pongOnce = behavior, log.withLockedValue({ $0[index].pings.count > 1 }) {
      return
    } else if frame.opcode == .ping, answersPings {
      context.writeAndFlush(
        Self.wrapOutboundOut(WebSocketFrame(fin: true, opcode: .pong, data: ByteBuffer(bytes: payload))), promise: nil)
    }
    if frame.opcode == .connectionClose, case .ignoreClose = behavior { return }
    if frame.opcode == .connectionClose, case .dropOnClose = behavior { return SocketCloser.close(context.channel) }
    if frame.opcode == .connectionClose {
      let answer = WebSocketFrame(fin: true, opcode: .connectionClose, data: ByteBuffer(bytes: payload.prefix(2)))
      let channel = context.channel
      context.writeAndFlush(Self.wrapOutboundOut(answer)).whenComplete { _ in channel.close(promise: nil) }
    }
    if case .closeAfter(let bytes, let code) = behavior, total >= bytes {
      var payload = ByteBuffer()
      payload.write(webSocketErrorCode: code)
      context.writeAndFlush(
        Self.wrapOutboundOut(WebSocketFrame(fin: true, opcode: .connectionClose, data: payload)), promise: nil)
    }
  }

  private func stopReading(_ channel: any Channel, for time: TimeAmount) {
    try? channel.syncOptions?.setOption(.autoRead, value: false)
    channel.eventLoop.scheduleTask(in: time) {
      channel.setOption(.autoRead, value: true).whenComplete { _ in channel.read() }
    }
  }

  func channelInactive(context: ChannelHandlerContext) {
    pings?.cancel()
    log.withLockedValue { $0[index].isOver = true }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    log.withLockedValue { $0[index].errors.append("\(error)") }
    context.close(promise: nil)
  }
}

extension TestServer.Answer {
  /// The answer as a frame.
  var frame: WebSocketFrame {
    switch self {
    case .text(let text): return WebSocketFrame(fin: true, opcode: .text, data: ByteBuffer(string: text))
    case .binary(let bytes): return WebSocketFrame(fin: true, opcode: .binary, data: ByteBuffer(bytes: bytes))
    case .close(let code, let reason):
      var payload = ByteBuffer()
      if let code {
        payload.writeInteger(code)
        payload.writeString(reason)
      }
      return WebSocketFrame(fin: true, opcode: .connectionClose, data: payload)
    }
  }
}

/// Below TLS: closes the socket without asking TLS.
final class SocketCloser: ChannelOutboundHandler {
  typealias OutboundIn = ByteBuffer
  private var context: ChannelHandlerContext?

  func handlerAdded(context: ChannelHandlerContext) { self.context = context }
  func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

  static func close(_ channel: any Channel) {
    channel.eventLoop.execute {
      let closer = try? channel.pipeline.syncOperations.handler(type: SocketCloser.self)
      closer?.context?.close(promise: nil)
    }
  }
}
