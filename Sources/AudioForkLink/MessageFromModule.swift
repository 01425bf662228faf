// SPDX-License-Identifier: MIT
package import AudioForkBytes
internal import AudioForkSurface

/// A message of the capture module.
package enum MessageFromModule<Text: LinkText>: Sendable, Equatable {
  /// The first message; a table follows.
  case hello(version: Text, protocolVersion: UInt64)
  /// All engine-wide settings in force, "key=value": behind HELLO if there are any, and whenever they change.
  case settings([Bytes])
  /// A row of the fork table. What the fork is, is in its ring; `generation`: the one that is written at present.
  case fork(id: Text, isClosed: Bool, generation: UInt32 = 0)
  /// The whole table has been sent: a fork that was not in it is orphaned.
  case tableEnd
  /// The row is gone: the engine drops the fork and its files.
  case forget(id: Text)
  /// A text message for the fork's server, now or never.
  case sendText(id: Text, text: Bytes)
  /// The engine saves its cursors and leaves. A new one continues from them.
  case restart
  /// Asterisk is shutting down: the link will end, but maybe not soon.
  case stopping
  /// Of a later release: skipped.
  case unknown(type: UInt16)

  /// Reads a message that the engine has received.
  package init(_ message: LinkMessage) throws(LinkError) {
    let fields = message.fields
    guard fields.isWellFormed else { throw .fields(kind: message.type) }
    switch message.kind {
    case .hello:
      self = .hello(
        version: fields.text(.version) ?? Text(linkBytes: []), protocolVersion: fields.number(.protocolVersion) ?? 0)
    case .settings: self = .settings(fields.all(.setting))
    case .fork:
      self = .fork(
        id: try Self.id(fields), isClosed: fields.bytes(.state) == Bytes(text: "closed"),
        generation: UInt32(clamping: fields.number(.generation) ?? 0))
    case .tableEnd: self = .tableEnd
    case .forget: self = .forget(id: try Self.id(fields))
    case .sendText: self = .sendText(id: try Self.id(fields), text: fields.bytes(.text) ?? [])
    case .restart: self = .restart
    case .stopping: self = .stopping
    case .ready, .state, .ended, .log, .gap, .text, .heartbeat, .leaving, .transcript, nil:
      self = .unknown(type: message.type)
    }
  }

  /// An id becomes a part of file names: nothing but letters, digits and '-'.
  private static func id(_ fields: FieldReader) throws(LinkError) -> Text {
    guard let bytes = fields.bytes(.id), bytes.count >= 1, bytes.count <= 64, bytes.allSatisfy(isAllowedInID) else {
      throw .id
    }
    return Text(linkBytes: bytes)
  }

  private static func isAllowedInID(_ byte: UInt8) -> Bool {
    byte.isDigit || (byte.lowercased >= UInt8(ascii: "a") && byte.lowercased <= UInt8(ascii: "z"))
      || byte == UInt8(ascii: "-")
  }

  /// The message as it travels.
  package var encoded: Bytes {
    switch self {
    case .hello(let version, let protocolVersion):
      var fields = FieldWriter(.hello)
      fields.append(.version, text: version)
      fields.append(.protocolVersion, number: protocolVersion)
      return fields.message
    case .settings(let lines):
      var fields = FieldWriter(.settings)
      for line in lines { fields.append(.setting, line) }
      return fields.message
    case .fork(let id, let isClosed, let generation):
      var fields = FieldWriter(.fork)
      fields.append(.id, text: id)
      fields.append(.state, isClosed ? "closed" : "live")
      if generation > 0 { fields.append(.generation, number: UInt64(generation)) }
      return fields.message
    case .tableEnd: return FieldWriter(.tableEnd).message
    case .forget(let id):
      var fields = FieldWriter(.forget)
      fields.append(.id, text: id)
      return fields.message
    case .sendText(let id, let text):
      var fields = FieldWriter(.sendText)
      fields.append(.id, text: id)
      fields.append(.text, text)
      return fields.message
    case .restart: return FieldWriter(.restart).message
    case .stopping: return FieldWriter(.stopping).message
    case .unknown(let type): return FieldWriter(type: type).message
    }
  }
}
