// SPDX-License-Identifier: MIT
internal import AudioForkBytes

/// A message taken off the stream, its fields not yet read.
package struct LinkMessage: Sendable {
  /// A `LinkMessageKind`, or one of a later release.
  package let type: UInt16
  package let fields: FieldReader

  /// Nil for a kind of a later release.
  package var kind: LinkMessageKind? { LinkMessageKind(rawValue: type) }
}

/// Cuts a byte stream into messages, in either direction.
package struct LinkParser: Sendable {
  private var pending = Bytes()
  /// What is before it has been taken.
  private var start = 0

  package init() {}

  package mutating func append(_ bytes: some Collection<UInt8>) {
    if start > 0 {
      pending.removeFirst(min(start, pending.count))
      start = 0
    }
    pending.append(contentsOf: bytes)
  }

  /// The next whole message; nil while there is none. After an error the stream cannot be followed any more.
  package mutating func next() throws(LinkError) -> LinkMessage? {
    let available = pending.count &- start
    guard available >= 4 else { return nil }
    let length = LittleEndian.read32(pending, at: start)
    guard length >= 4, length <= LinkProtocol.messageBytesMax else { throw .length(length) }
    guard available &- 4 >= Int(length) else { return nil }
    let end = start &+ 4 &+ Int(length)
    let message = LinkMessage(
      type: LittleEndian.read16(pending, at: start &+ 4), fields: FieldReader(slice(pending, start &+ 8, end)))
    start = end
    return message
  }
}
