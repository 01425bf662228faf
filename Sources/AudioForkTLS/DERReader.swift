// SPDX-License-Identifier: Apache-2.0

/// Steps through elements of DER (ITU-T X.690 sections 8 and 10.1): tag, length, content. Ends at the first element
/// that is not well formed, whatever the bytes are.
///
/// Certificates need no more than this: tags of one byte, and lengths of at most four. (swift-asn1 would bring
/// FoundationEssentials into the engine: docs/decisions/0002-dependencies.md.)
package struct DERReader {
  package struct Element: Equatable {
    package let tag: UInt8
    package let content: [UInt8]
    /// The elements that the content consists of.
    package var inside: DERReader { DERReader(content) }
  }

  private let bytes: [UInt8]
  private var position = 0

  package init(_ bytes: [UInt8]) { self.bytes = bytes }

  /// The elements inside the first one.
  package var firstInside: DERReader? {
    var copy = self
    return copy.next()?.inside
  }

  /// Returns the next element; nil at the end and at the first byte of an element that is not well formed.
  package mutating func next() -> Element? {
    guard bytes.count - position >= 2 else { return nil }
    let tag = bytes[position]
    // All five bits set: the tag has further bytes, as none in a certificate.
    guard tag & 0x1F != 0x1F else { return nil }
    var length = Int(bytes[position + 1])
    var start = position + 2
    if length & 0x80 != 0 {
      let count = length & 0x7F
      guard (1...4).contains(count), bytes.count - start >= count else { return nil }
      length = bytes[start..<(start + count)].reduce(0) { $0 << 8 | Int($1) }
      // The shortest form is the only one (X.690 section 10.1).
      guard length >= 0x80, count == 1 || length >> (8 * (count - 1)) != 0 else { return nil }
      start += count
    }
    guard bytes.count - start >= length else { return nil }
    position = start + length
    return Element(tag: tag, content: Array(bytes[start..<position]))
  }
}
