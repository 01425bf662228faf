// SPDX-License-Identifier: Apache-2.0
package import NIOCore
package import NIOWebSocket

/// What a WebSocket client may send, frame by frame (RFC 6455 sections 5 to 7). No I/O and no time: one frame in, one
/// verdict out. Frame lengths and the shape of control frames are already checked by NIO's decoder, whose errors
/// become verdicts in `verdict(forDecoderError:)`.
package struct ClientFrameRules: Sendable {
  /// What a frame means for the connection.
  package enum Verdict: Equatable, Sendable {
    /// Bytes of a binary message, unmasked; the last bytes of it where `endsMessage`.
    case audio(ByteBuffer, endsMessage: Bool)
    /// A whole text message.
    case text(String)
    /// Part of a text message that goes on.
    case incomplete
    /// To be answered by a pong with the same payload.
    case ping(ByteBuffer)
    /// A pong; nobody asked, nothing to do (section 5.5.3).
    case pong
    /// The client closes; to be echoed. No code stands for an empty Close.
    case close(code: UInt16?, reason: String)
    /// The client broke a rule: close with this code and reason (section 7.4.1). Nothing is accepted after it.
    case violation(code: UInt16, reason: String)
    /// Something after a Close or a violation (section 5.5.1).
    case ignored
  }

  /// Most bytes of one frame and of one message. 20 ms of the fastest stereo stream are 15 KB; a server's message
  /// memory must end somewhere, and a client that sends a whole file in one message should hear why.
  package static let messageBytesMax = 1 << 20

  private enum Message {
    case none
    case binary(byteCount: Int)
    case text(ByteBuffer)
  }

  private var message = Message.none
  private var isOver = false

  /// Bytes of a text message that has not come in full.
  package var partialBytes: Int { if case .text(let text) = message { text.readableBytes } else { 0 } }

  /// Rules at the start of a connection, between messages.
  package init() {}

  /// Judges the next frame, still masked as it was received.
  package mutating func received(_ frame: WebSocketFrame) -> Verdict {
    guard !isOver else { return .ignored }
    guard !frame.rsv1, !frame.rsv2, !frame.rsv3 else {
      return violation(1002, "a reserved bit is set, and no extension was agreed")
    }
    guard frame.maskKey != nil else { return violation(1002, "a client's frames must be masked") }
    let payload = frame.unmaskedData
    switch frame.opcode {
    case .binary: return began(.binary(byteCount: 0), with: payload, fin: frame.fin)
    case .text: return began(.text(ByteBuffer()), with: payload, fin: frame.fin)
    case .continuation: return continued(with: payload, fin: frame.fin)
    case .ping: return .ping(payload)
    case .pong: return .pong
    case .connectionClose: return closed(payload)
    default: return violation(1002, "the opcode is unknown")
    }
  }

  /// The verdict on bytes that NIO's frame decoder refused. Nothing can be decoded after them.
  package mutating func verdict(forDecoderError error: any Error) -> Verdict {
    guard !isOver else { return .ignored }
    switch error as? NIOWebSocketError {
    case .invalidFrameLength: return tooLarge()
    case .fragmentedControlFrame: return violation(1002, "control frames must not be fragmented")
    case .multiByteControlFrameLength: return violation(1002, "a control frame carries at most 125 bytes")
    default: return violation(1002, "the frame cannot be decoded")
    }
  }

  private mutating func began(_ new: Message, with payload: ByteBuffer, fin: Bool) -> Verdict {
    guard case .none = message else {
      return violation(1002, "a message began before the last one was finished")
    }
    message = new
    return continued(with: payload, fin: fin)
  }

  private mutating func continued(with payload: ByteBuffer, fin: Bool) -> Verdict {
    switch message {
    case .none:
      return violation(1002, "a continuation frame without a message")
    case .binary(let byteCount):
      let total = byteCount + payload.readableBytes
      guard total <= ClientFrameRules.messageBytesMax else { return tooLarge() }
      message = fin ? .none : .binary(byteCount: total)
      return .audio(payload, endsMessage: fin)
    case .text(var text):
      guard text.readableBytes + payload.readableBytes <= ClientFrameRules.messageBytesMax else { return tooLarge() }
      message = .none  // The only reference to the buffer is now ours: appending copies nothing.
      text.writeImmutableBuffer(payload)
      guard fin else {
        message = .text(text)
        return .incomplete
      }
      guard let whole = String(validating: text.readableBytesView, as: UTF8.self) else {
        return violation(1007, "the text message is not valid UTF-8")
      }
      return .text(whole)
    }
  }

  private mutating func closed(_ payload: ByteBuffer) -> Verdict {
    var payload = payload
    guard payload.readableBytes > 0 else {
      isOver = true
      return .close(code: nil, reason: "")
    }
    guard let code = payload.readInteger(as: UInt16.self) else {
      return violation(1002, "the Close frame carries half a code")
    }
    switch code {
    case 1000...1003, 1007...1014, 3000...4999: break
    default: return violation(1002, "the close code is not one that may be sent")
    }
    guard let reason = String(validating: payload.readableBytesView, as: UTF8.self) else {
      return violation(1007, "the close reason is not valid UTF-8")
    }
    isOver = true
    return .close(code: code, reason: reason)
  }

  private mutating func tooLarge() -> Verdict {
    violation(1009, "a message may have at most 1048576 bytes")
  }

  private mutating func violation(_ code: UInt16, _ reason: String) -> Verdict {
    isOver = true
    return .violation(code: code, reason: reason)
  }
}
