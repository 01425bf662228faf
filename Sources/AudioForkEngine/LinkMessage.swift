// SPDX-License-Identifier: Apache-2.0
package import AudioForkCore
internal import AudioForkDialects
internal import AudioForkOptions
internal import AudioForkRing
internal import CAudioForkABI
package import NIOCore

/// The other side of the link sends what is no message. There is no way to find the next one: the link is over.
package struct LinkError: Error, Sendable, Equatable, CustomStringConvertible {
  package let description: String
}

/// What the module says (af_link.h).
package enum ModuleMessage: Equatable, Sendable {
  case hello(version: String, protocolVersion: UInt64)
  /// A row of the fork table.
  case fork(id: String, isClosed: Bool)
  case tableEnd
  case forget(id: String)
  /// A text message for the fork's server.
  case sendText(id: String, text: [UInt8])
  /// Of a later release: skipped.
  case unknown(type: UInt16)
}

/// Cuts the link's stream into messages.
package struct LinkDecoder: NIOSingleStepByteToMessageDecoder {
  package typealias InboundOut = ModuleMessage

  package init() {}

  package mutating func decode(buffer: inout ByteBuffer) throws -> ModuleMessage? {
    let start = buffer.readerIndex
    guard let length = buffer.getInteger(at: start, endianness: .little, as: UInt32.self) else { return nil }
    guard length >= 4, length <= UInt32(AF_LINK_MESSAGE_BYTES_MAX) else {
      throw LinkError(description: "a message of \(length) bytes; 4 to \(AF_LINK_MESSAGE_BYTES_MAX) are possible")
    }
    guard var message = buffer.getSlice(at: start + 4, length: Int(length)) else { return nil }
    buffer.moveReaderIndex(forwardBy: 4 + Int(length))
    let type = message.readInteger(endianness: .little, as: UInt16.self) ?? 0
    message.moveReaderIndex(forwardBy: 2)
    return try LinkDecoder.message(type, FieldReader(Array(message.readableBytesView)))
  }

  package mutating func decodeLast(buffer: inout ByteBuffer, seenEOF: Bool) throws -> ModuleMessage? {
    try decode(buffer: &buffer)
  }

  private static func message(_ type: UInt16, _ fields: FieldReader) throws(LinkError) -> ModuleMessage {
    guard fields.isWellFormed else { throw LinkError(description: "a message of type \(type) with broken fields") }
    switch UInt32(type) {
    case AF_LINK_HELLO.rawValue:
      return .hello(
        version: fields.text(UInt16(AF_FIELD_VERSION.rawValue)) ?? "",
        protocolVersion: fields.number(UInt16(AF_FIELD_PROTOCOL.rawValue)) ?? 0)
    case AF_LINK_FORK.rawValue:
      return .fork(
        id: try id(fields), isClosed: fields.text(UInt16(AF_FIELD_STATE.rawValue)) == "closed")
    case AF_LINK_TABLE_END.rawValue: return .tableEnd
    case AF_LINK_FORGET.rawValue: return .forget(id: try id(fields))
    case AF_LINK_SEND_TEXT.rawValue:
      return .sendText(id: try id(fields), text: fields.bytes(UInt16(AF_FIELD_TEXT.rawValue)) ?? [])
    default: return .unknown(type: type)
    }
  }

  /// An id becomes a part of file names: nothing but letters, digits and '-'.
  private static func id(_ fields: FieldReader) throws(LinkError) -> String {
    guard let bytes = fields.bytes(UInt16(AF_FIELD_ID.rawValue)), (1...64).contains(bytes.count),
      bytes.allSatisfy({ isLetterOrDigit($0) || $0 == UInt8(ascii: "-") })
    else { throw LinkError(description: "a message about a fork without a usable id") }
    return String(decoding: bytes, as: UTF8.self)
  }

  private static func isLetterOrDigit(_ byte: UInt8) -> Bool {
    switch byte {
    case 48...57, 65...90, 97...122: true
    default: false
    }
  }
}

/// Levels of a line for Asterisk's log (enum af_level).
package enum LogLevel: UInt64, Sendable {
  case debug = 0
  case verbose = 1
  case notice = 2
  case warning = 3
  case error = 4
}

/// A fork's totals, as STATE and ENDED carry them.
package struct ForkCounters: Sendable, Equatable {
  /// Sample frames sent at the wire rate, fill included.
  package var position: UInt64 = 0
  package var fill: UInt64 = 0
  /// Captured samples reported as gaps.
  package var lost: UInt64 = 0
  package var gaps: UInt64 = 0
  package var reconnects: UInt64 = 0
  /// Audio bytes written to sockets, repeats included.
  package var bytes: UInt64 = 0
  package var lagMilliseconds: UInt64 = 0
  /// Position up to which delivery is confirmed.
  package var confirmed: UInt64 = 0
  /// Captured samples, summed over the directions.
  package var captured: UInt64 = 0
  /// Captured samples in the confirmed part of the stream, summed over the directions. At the fork's end this and `lost`
  /// together are `captured`.
  package var delivered: UInt64 = 0
  /// Captured samples of each direction that the confirmed part of the stream has passed, gaps included.
  package var accountedIn: UInt64 = 0
  package var accountedOut: UInt64 = 0
  /// Captured audio that is not confirmed.
  package var undeliveredMilliseconds: UInt64 = 0
  /// By how much in is placed later than out, beyond their media times.
  package var skewMilliseconds: Int64 = 0
  /// Text messages of the server that were dropped.
  package var dropped: UInt64 = 0
  /// Audio that was not sent is being overwritten in the ring.
  package var isLosing = false
  /// What `confirmed` stands on; nil where there has been no connection.
  package var confirmation: ConfirmationLevel?

  /// False where the fork's ring could not be read: what was told before still holds.
  package private(set) var isKnown = true

  package init() {}

  /// Of a fork that could not be begun.
  package static var unknown: ForkCounters {
    var counters = ForkCounters()
    counters.isKnown = false
    return counters
  }
}

/// What the engine says (af_link.h).
package enum EngineMessage: Sendable, Equatable {
  case ready(version: String, pid: UInt64, loops: UInt64)
  /// `endpoint` is the URL in use, without secrets.
  case state(id: String, state: ForkStateName, reason: String, endpoint: String, ForkCounters)
  case ended(id: String, reason: String, ForkCounters)
  case log(LogLevel, id: String?, text: String)
  /// Captured samples that the stream lacks.
  case gap(id: String, Gap)
  /// Every event loop turns.
  case heartbeat
  /// A text message of the server: its beginning, its whole length, and how many were dropped before it.
  case text(id: String, text: [UInt8], length: UInt64, dropped: UInt64)

  /// The message as it travels.
  package func encode() -> ByteBuffer {
    switch self {
    case .ready(let version, let pid, let loops):
      var fields = FieldBytes(type: AF_LINK_READY)
      fields.append(AF_FIELD_VERSION, version)
      fields.append(AF_FIELD_PROTOCOL, number: UInt64(AF_LINK_VERSION))
      fields.append(AF_FIELD_PID, number: pid)
      fields.append(AF_FIELD_LOOPS, number: loops)
      return fields.message()
    case .state(let id, let state, let reason, let endpoint, let counters):
      var fields = FieldBytes(type: AF_LINK_STATE)
      fields.append(AF_FIELD_ID, id)
      fields.append(AF_FIELD_STATE, state.rawValue)
      if !reason.isEmpty { fields.append(AF_FIELD_REASON, reason) }
      fields.append(AF_FIELD_URL, endpoint)
      fields.append(counters)
      return fields.message()
    case .ended(let id, let reason, let counters):
      var fields = FieldBytes(type: AF_LINK_ENDED)
      fields.append(AF_FIELD_ID, id)
      fields.append(AF_FIELD_REASON, reason)
      fields.append(counters)
      return fields.message()
    case .log(let level, let id, let text):
      var fields = FieldBytes(type: AF_LINK_LOG)
      fields.append(AF_FIELD_LEVEL, number: level.rawValue)
      if let id { fields.append(AF_FIELD_ID, id) }
      fields.append(AF_FIELD_TEXT, text)
      return fields.message()
    case .gap(let id, let gap):
      var fields = FieldBytes(type: AF_LINK_GAP)
      fields.append(AF_FIELD_ID, id)
      fields.append(AF_FIELD_DIRECTION, gap.direction == .in ? "in" : "out")
      fields.append(AF_FIELD_START, number: gap.start)
      fields.append(AF_FIELD_COUNT, number: gap.count)
      fields.append(AF_FIELD_POSITION, number: gap.position.frames)
      fields.append(AF_FIELD_REASON, gap.reason.word)
      return fields.message()
    case .heartbeat: return FieldBytes(type: AF_LINK_HEARTBEAT).message()
    case .text(let id, let text, let length, let dropped):
      var fields = FieldBytes(type: AF_LINK_TEXT)
      fields.append(AF_FIELD_ID, id)
      fields.append(AF_FIELD_TEXT, bytes: text)
      fields.append(AF_FIELD_LENGTH, number: length)
      fields.append(AF_FIELD_DROPPED, number: dropped)
      return fields.message()
    }
  }
}

/// Builds a message's fields.
private struct FieldBytes {
  /// A text longer than this is cut: log lines and reasons are sentences.
  private static let textBytesMax = 8192
  private var buffer = ByteBuffer()

  init(type: af_link_type) {
    buffer.writeInteger(0, as: UInt32.self)
    buffer.writeInteger(UInt16(truncatingIfNeeded: type.rawValue), endianness: .little)
    buffer.writeInteger(0, as: UInt16.self)
  }

  mutating func append(_ key: af_field, _ text: String) {
    append(key, bytes: cut(Array(text.utf8), to: FieldBytes.textBytesMax))
  }

  mutating func append(_ key: af_field, bytes: [UInt8]) {
    begin(key, count: bytes.count)
    buffer.writeBytes(bytes)
  }

  mutating func append(_ key: af_field, number: UInt64) {
    begin(key, count: 8)
    buffer.writeInteger(number, endianness: .little)
  }

  mutating func append(_ counters: ForkCounters) {
    guard counters.isKnown else { return }
    append(AF_FIELD_POSITION, number: counters.position)
    append(AF_FIELD_FILL, number: counters.fill)
    append(AF_FIELD_LOST, number: counters.lost)
    append(AF_FIELD_GAPS, number: counters.gaps)
    append(AF_FIELD_RECONNECTS, number: counters.reconnects)
    append(AF_FIELD_BYTES, number: counters.bytes)
    append(AF_FIELD_LAG, number: counters.lagMilliseconds)
    append(AF_FIELD_CONFIRMED, number: counters.confirmed)
    append(AF_FIELD_CAPTURED, number: counters.captured)
    append(AF_FIELD_DELIVERED, number: counters.delivered)
    append(AF_FIELD_ACCOUNTED_IN, number: counters.accountedIn)
    append(AF_FIELD_ACCOUNTED_OUT, number: counters.accountedOut)
    append(AF_FIELD_UNDELIVERED, number: counters.undeliveredMilliseconds)
    append(AF_FIELD_SKEW, number: UInt64(bitPattern: counters.skewMilliseconds))
    append(AF_FIELD_DROPPED, number: counters.dropped)
    append(AF_FIELD_LOSING, number: counters.isLosing ? 1 : 0)
    if let confirmation = counters.confirmation { append(AF_FIELD_CONFIRMATION, confirmation.rawValue) }
  }

  func message() -> ByteBuffer {
    var whole = buffer
    whole.setInteger(
      UInt32(truncatingIfNeeded: whole.readableBytes - 4), at: whole.readerIndex, endianness: .little)
    return whole
  }

  private mutating func begin(_ key: af_field, count: Int) {
    buffer.writeInteger(UInt16(truncatingIfNeeded: key.rawValue), endianness: .little)
    buffer.writeInteger(0, as: UInt16.self)
    buffer.writeInteger(UInt32(truncatingIfNeeded: count), endianness: .little)
  }
}
