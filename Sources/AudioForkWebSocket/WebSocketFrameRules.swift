// SPDX-License-Identifier: Apache-2.0
package import NIOCore
package import NIOWebSocket

/// Why a peer's frames cannot be followed any more, and the code that the Close frame tells it.
package struct ProtocolViolation: Error, Equatable, Sendable {
  package let code: UInt16
  package let reason: String

  package init(code: UInt16, reason: String) {
    self.code = code
    self.reason = reason
  }
}

/// Close codes that this program sends or decides by (RFC 6455 section 7.4.1).
package enum CloseCode {
  package static let normal: UInt16 = 1000
  package static let goingAway: UInt16 = 1001
  package static let protocolError: UInt16 = 1002
  package static let invalidText: UInt16 = 1007
  package static let policyViolation: UInt16 = 1008
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
/// Without I/O: frames go in, at most one event comes out of each. Both roles use them: the engine for what servers
/// send, the receiver for what clients send. Feed nothing more after a violation.
package struct WebSocketFrameRules {
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
    /// The next bytes of a binary message, with `passesPieces`; the last ones if `endsMessage`.
    case piece(ByteBuffer, endsMessage: Bool)
    case ping(ByteBuffer)
    case pong(ByteBuffer)
    /// `code` is nil where the frame carries none (1005 in APIs).
    case close(code: UInt16?, reason: String)
    case violation(ProtocolViolation)
  }

  /// Longest message, all fragments together. Servers answer with transcripts and short clips, not with files.
  package static let messageBytesMax = 1 << 20

  private let sender: Sender
  private let passesPieces: Bool
  /// The kind of the message whose first fragments have come; nil between messages.
  private var fragmentsAreText: Bool?
  /// These fragments. Appended to in place: a second reference would make every fragment cost a copy of all.
  private var fragments = ByteBuffer()
  /// With `passesPieces`: bytes of the binary message that were passed on.
  private var passedBytes = 0
  /// Of a fragmented text: how far it is UTF-8.
  private var characters = UTF8Progress()

  /// Bytes of a message that has not come in full, as far as they are held here.
  package var partialBytes: Int { fragments.readableBytes }

  /// `passesPieces`: binary messages are passed on frame by frame, each as a `piece`, and not held until their end.
  package init(sender: Sender, passesPieces: Bool = false) {
    self.sender = sender
    self.passesPieces = passesPieces
  }

  package mutating func receive(_ frame: WebSocketFrame) -> Event {
    if let violation = WebSocketFrameRules.violation(in: FrameHeader(frame), from: sender) {
      return .violation(violation)
    }
    switch frame.opcode {
    case .text: return start(isText: true, frame)
    case .binary: return start(isText: false, frame)
    case .continuation: return continueMessage(frame)
    default: return control(frame.opcode, frame.unmaskedData)
    }
  }

  /// What is wrong with a frame whatever came before it, so that nobody has to wait for its payload.
  package static func violation(in header: FrameHeader, from sender: Sender) -> ProtocolViolation? {
    func protocolError(_ reason: String) -> ProtocolViolation {
      ProtocolViolation(code: CloseCode.protocolError, reason: reason)
    }
    if header.hasReservedBits { return protocolError("a frame with reserved bits and no extension") }
    switch header.opcode {
    case 0...2, 8...10: break
    default: return protocolError("a frame with unknown opcode \(header.opcode)")
    }
    switch (sender, header.isMasked) {
    case (.server, true): return protocolError("a masked frame from a server")
    case (.client, false): return protocolError("an unmasked frame from a client")
    case (.server, false), (.client, true): break
    }
    if header.isControl {
      guard header.isFinal else { return protocolError("a fragmented control frame") }
      guard header.length <= 125 else { return protocolError("a control frame of more than 125 bytes") }
    }
    guard header.isMinimal else { return protocolError("a length in more bytes than it needs") }
    guard header.length <= UInt64(Int64.max) else { return protocolError("a length of 64 bits") }
    guard header.length <= UInt64(WebSocketFrameRules.messageBytesMax) else { return tooBig }
    return nil
  }

  private func protocolError(_ reason: String) -> Event {
    .violation(ProtocolViolation(code: CloseCode.protocolError, reason: reason))
  }

  private mutating func start(isText: Bool, _ frame: WebSocketFrame) -> Event {
    guard fragmentsAreText == nil else { return protocolError("a new message inside a fragmented one") }
    if passesPieces, !isText { return pass(frame, behind: 0) }
    if frame.fin { return whole(frame.unmaskedData, isText: isText) }
    fragmentsAreText = isText
    characters = UTF8Progress()
    return append(frame, isText: isText) ?? .nothing
  }

  private mutating func continueMessage(_ frame: WebSocketFrame) -> Event {
    guard let isText = fragmentsAreText else { return protocolError("a continuation without a message") }
    if passesPieces, !isText { return pass(frame, behind: passedBytes) }
    if let violation = append(frame, isText: isText) { return violation }
    guard frame.fin else { return .nothing }
    defer {
      fragmentsAreText = nil
      fragments = ByteBuffer()
    }
    return whole(fragments, isText: isText)
  }

  private mutating func pass(_ frame: WebSocketFrame, behind count: Int) -> Event {
    let payload = frame.unmaskedData
    guard count + payload.readableBytes <= WebSocketFrameRules.messageBytesMax else {
      return .violation(WebSocketFrameRules.tooBig)
    }
    passedBytes = count + payload.readableBytes
    fragmentsAreText = frame.fin ? nil : false
    return .piece(payload, endsMessage: frame.fin)
  }

  private mutating func append(_ frame: WebSocketFrame, isText: Bool) -> Event? {
    var payload = frame.unmaskedData
    guard fragments.readableBytes + payload.readableBytes <= WebSocketFrameRules.messageBytesMax else {
      return .violation(WebSocketFrameRules.tooBig)
    }
    guard !isText || characters.take(payload.readableBytesView) else {
      return .violation(WebSocketFrameRules.invalidText)
    }
    fragments.writeBuffer(&payload)
    return nil
  }

  private func whole(_ message: ByteBuffer, isText: Bool) -> Event {
    guard isText else { return .binary(message) }
    guard let text = String(validating: message.readableBytesView, as: UTF8.self) else {
      return .violation(WebSocketFrameRules.invalidText)
    }
    return .text(text)
  }

  package static let tooBig = ProtocolViolation(
    code: CloseCode.messageTooBig, reason: "a message of more than \(messageBytesMax) bytes")
  private static let invalidText = ProtocolViolation(code: CloseCode.invalidText, reason: "text that is not UTF-8")

  private func control(_ opcode: WebSocketOpcode, _ payload: ByteBuffer) -> Event {
    switch opcode {
    case .ping: return .ping(payload)
    case .pong: return .pong(payload)
    default: return close(payload)
    }
  }

  private func close(_ payload: ByteBuffer) -> Event {
    var payload = payload
    if payload.readableBytes == 0 { return .close(code: nil, reason: "") }
    guard let code = payload.readInteger(as: UInt16.self) else { return protocolError("a Close frame of one byte") }
    guard CloseCode.mayTravel(code) else { return protocolError("a Close frame with code \(code)") }
    guard let reason = String(validating: payload.readableBytesView, as: UTF8.self) else {
      return .violation(ProtocolViolation(code: CloseCode.invalidText, reason: "a close reason that is not UTF-8"))
    }
    return .close(code: code, reason: reason)
  }
}

extension FrameHeader {
  /// The header of a frame that has been read already.
  fileprivate init(_ frame: WebSocketFrame) {
    let reserved: UInt8 = (frame.rsv1 ? 0x40 : 0) | (frame.rsv2 ? 0x20 : 0) | (frame.rsv3 ? 0x10 : 0)
    let length = UInt64(frame.length)
    self.init(
      first: (frame.fin ? 0x80 : 0) | reserved | UInt8(webSocketOpcode: frame.opcode), isMasked: frame.maskKey != nil,
      length: length,
      extendedBytes: length < 126 ? 0 : length <= UInt64(UInt16.max) ? 2 : 8)
  }
}

/// How far a text that comes in pieces is UTF-8 (RFC 3629 section 4): what can become no character any more is noticed
/// at its first wrong byte.
struct UTF8Progress {
  /// Bytes that the character begun last still lacks, and what the next of them may be.
  private var missing = 0
  private var next: ClosedRange<UInt8> = 0x80...0xBF

  /// Takes the text's next bytes; false where it is none.
  mutating func take(_ bytes: some Sequence<UInt8>) -> Bool {
    for byte in bytes {
      if missing > 0 {
        guard next.contains(byte) else { return false }
        missing -= 1
        next = 0x80...0xBF
        continue
      }
      switch byte {
      case 0...0x7F: break
      case 0xC2...0xDF: missing = 1
      case 0xE0: (missing, next) = (2, 0xA0...0xBF)
      case 0xED: (missing, next) = (2, 0x80...0x9F)
      case 0xE1...0xEF: missing = 2
      case 0xF0: (missing, next) = (3, 0x90...0xBF)
      case 0xF1...0xF3: missing = 3
      case 0xF4: (missing, next) = (3, 0x80...0x8F)
      default: return false
      }
    }
    return true
  }
}
