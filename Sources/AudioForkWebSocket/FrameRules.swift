// SPDX-License-Identifier: Apache-2.0
package import NIOCore
package import NIOWebSocket

/// Why a peer's frames cannot be followed any more, and the code that the Close frame tells it.
package struct FrameViolation: Error, Equatable, Sendable {
  package let code: UInt16
  package let reason: String

  package init(code: UInt16, reason: String) {
    self.code = code
    self.reason = reason
  }

  /// What NIO's frame decoder refused.
  package init(_ error: NIOWebSocketError) {
    switch error {
    case .invalidFrameLength:
      self.init(code: CloseCode.messageTooBig, reason: "a frame of more than \(FrameRules.messageBytesMax) bytes")
    case .fragmentedControlFrame:
      self.init(code: CloseCode.protocolError, reason: "a fragmented control frame")
    case .multiByteControlFrameLength:
      self.init(code: CloseCode.protocolError, reason: "a control frame of more than 125 bytes")
    }
  }
}

/// Close codes that this program sends or decides by (RFC 6455 section 7.4.1).
package enum CloseCode {
  package static let normal: UInt16 = 1000
  package static let goingAway: UInt16 = 1001
  package static let protocolError: UInt16 = 1002
  package static let invalidText: UInt16 = 1007
  package static let messageTooBig: UInt16 = 1009

  /// Whether a Close frame may carry it. 1004 to 1006 and 1015 never travel, the rest is unassigned.
  static func mayTravel(_ code: UInt16) -> Bool {
    switch code {
    case 1000...1003, 1007...1014, 3000...4999: true
    default: false
    }
  }
}

/// The rules of RFC 6455 for the frames that one peer sends: header bits, fragments, sizes, UTF-8, Close payloads.
///
/// Without I/O: frames go in, at most one event comes out of each. After a violation nothing more is to be fed.
package struct FrameRules {
  /// Who sends the frames: a client masks them, a server never does.
  package enum Sender: Sendable {
    case client
    case server
  }

  /// What a frame amounts to.
  package enum Event: Equatable {
    /// A fragment; the rest of its message follows.
    case nothing
    case text(String)
    case binary(ByteBuffer)
    case ping(ByteBuffer)
    case pong(ByteBuffer)
    /// `code` is nil where the frame carries none (1005 in APIs).
    case close(code: UInt16?, reason: String)
    case violation(FrameViolation)
  }

  /// Longest message, all fragments together. Servers answer with transcripts and short clips, not with files.
  package static let messageBytesMax = 1 << 20

  private let sender: Sender
  /// The kind of the message whose first fragments have come; nil between messages.
  private var fragmentsAreText: Bool?
  /// These fragments. Appended to in place: a second reference would make every fragment cost a copy of all.
  private var fragments = ByteBuffer()

  package init(sender: Sender) { self.sender = sender }

  package mutating func receive(_ frame: WebSocketFrame) -> Event {
    if frame.rsv1 || frame.rsv2 || frame.rsv3 { return broken("a frame with reserved bits and no extension") }
    switch (sender, frame.maskKey != nil) {
    case (.server, true): return broken("a masked frame from a server")
    case (.client, false): return broken("an unmasked frame from a client")
    case (.server, false), (.client, true): break
    }
    if frame.opcode.isControlOpcode {
      guard frame.fin else { return broken("a fragmented control frame") }
      guard frame.length <= 125 else { return broken("a control frame of more than 125 bytes") }
      return control(frame.opcode, frame.unmaskedData)
    }
    switch frame.opcode {
    case .text: return start(isText: true, frame)
    case .binary: return start(isText: false, frame)
    case .continuation: return goOn(frame)
    default: return broken("a frame with unknown opcode \(UInt8(webSocketOpcode: frame.opcode))")
    }
  }

  private func broken(_ reason: String) -> Event {
    .violation(FrameViolation(code: CloseCode.protocolError, reason: reason))
  }

  private mutating func start(isText: Bool, _ frame: WebSocketFrame) -> Event {
    guard fragmentsAreText == nil else { return broken("a new message inside a fragmented one") }
    if frame.fin { return whole(frame.unmaskedData, isText: isText) }
    fragmentsAreText = isText
    return append(frame) ?? .nothing
  }

  private mutating func goOn(_ frame: WebSocketFrame) -> Event {
    guard let isText = fragmentsAreText else { return broken("a continuation without a message") }
    if let violation = append(frame) { return violation }
    guard frame.fin else { return .nothing }
    defer {
      fragmentsAreText = nil
      fragments = ByteBuffer()
    }
    return whole(fragments, isText: isText)
  }

  private mutating func append(_ frame: WebSocketFrame) -> Event? {
    var payload = frame.unmaskedData
    guard fragments.readableBytes + payload.readableBytes <= FrameRules.messageBytesMax else { return tooBig }
    fragments.writeBuffer(&payload)
    return nil
  }

  private func whole(_ message: ByteBuffer, isText: Bool) -> Event {
    guard message.readableBytes <= FrameRules.messageBytesMax else { return tooBig }
    guard isText else { return .binary(message) }
    guard let text = String(validating: message.readableBytesView, as: UTF8.self) else {
      return .violation(FrameViolation(code: CloseCode.invalidText, reason: "text that is not UTF-8"))
    }
    return .text(text)
  }

  private var tooBig: Event {
    .violation(
      FrameViolation(
        code: CloseCode.messageTooBig, reason: "a message of more than \(FrameRules.messageBytesMax) bytes"))
  }

  private func control(_ opcode: WebSocketOpcode, _ payload: ByteBuffer) -> Event {
    switch opcode {
    case .ping: return .ping(payload)
    case .pong: return .pong(payload)
    case .connectionClose: return close(payload)
    default: return broken("a frame with unknown opcode \(UInt8(webSocketOpcode: opcode))")
    }
  }

  private func close(_ payload: ByteBuffer) -> Event {
    var payload = payload
    if payload.readableBytes == 0 { return .close(code: nil, reason: "") }
    guard let code = payload.readInteger(as: UInt16.self) else { return broken("a Close frame of one byte") }
    guard CloseCode.mayTravel(code) else { return broken("a Close frame with code \(code)") }
    guard let reason = String(validating: payload.readableBytesView, as: UTF8.self) else {
      return .violation(FrameViolation(code: CloseCode.invalidText, reason: "a close reason that is not UTF-8"))
    }
    return .close(code: code, reason: reason)
  }
}
