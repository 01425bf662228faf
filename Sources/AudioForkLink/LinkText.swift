// SPDX-License-Identifier: MIT
package import AudioForkBytes

/// Text of a message: `Bytes` in the module, where String's operations need tables, and `String` in the engine.
package protocol LinkText: Equatable, Sendable {
  init(linkBytes: Bytes)
  var linkBytes: Bytes { get }
}

extension [UInt8]: LinkText {
  package init(linkBytes: Bytes) { self = linkBytes }
  package var linkBytes: Bytes { self }
}

extension String: LinkText {
  /// Bytes that are not UTF-8 become U+FFFD.
  package init(linkBytes: Bytes) { self = String(decoding: linkBytes, as: UTF8.self) }
  package var linkBytes: Bytes { Bytes(utf8) }
}

extension FieldReader {
  /// The first field with this key as text; nil if it is missing.
  package func text<Text: LinkText>(_ field: LinkField, as: Text.Type = Text.self) -> Text? {
    bytes(field).map { Text(linkBytes: $0) }
  }
}

extension FieldWriter {
  /// Appends text, cut to `LinkProtocol.textBytesMax`.
  mutating func append(_ field: LinkField, text: some LinkText) {
    append(field, cut(text.linkBytes, to: LinkProtocol.textBytesMax))
  }
}
