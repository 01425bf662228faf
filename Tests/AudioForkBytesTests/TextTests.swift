// SPDX-License-Identifier: Apache-2.0
import AudioForkBytes
import Testing

@Suite("Text as bytes")
struct TextTests {
  @Test(
    "Percent-encoding is undone where it is complete; anything else stays",
    arguments: [
      ("", ""), ("a%20b", "a b"), ("%41%5a%5A", "AZZ"), ("%", "%"), ("%4", "%4"), ("%4g", "%4g"), ("%%41", "%A"),
      ("%2541", "%41"), ("a+b", "a+b"),
    ])
  func percentDecoding(text: String, expected: String) {
    #expect(percentDecoded(Bytes(text.utf8)) == Bytes(expected.utf8))
  }

  @Test("Percent-encoding keeps the bytes that it is told to keep, and is undone by decoding, for every byte")
  func percentEncoding() {
    #expect(percentEncoded(0) == Bytes("%00".utf8))
    #expect(percentEncoded(0xAF) == Bytes("%AF".utf8))
    let all = Bytes(0...255)
    let encoded = percentEncoded(all) { $0.isDigit }
    #expect(encoded.count == 10 + 3 * 246)
    #expect(encoded.filter { $0 == UInt8(ascii: "%") }.count == 246)
    #expect(percentDecoded(encoded) == all)
  }

  @Test(
    "Base64 as in RFC 4648, section 10",
    arguments: [
      ("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE="),
      ("foobar", "Zm9vYmFy"),
    ])
  func base64Vectors(text: String, expected: String) {
    #expect(base64(Bytes(text.utf8)) == Bytes(expected.utf8))
  }

  @Test("Base64 uses the plus sign and the slash")
  func base64Alphabet() { #expect(base64([0xFB, 0xFF, 0xBF]) == Bytes("+/+/".utf8)) }

  @Test("Escaped text has no line end, control character or broken UTF-8, and keeps everything else")
  func escaping() {
    #expect(escaped(Bytes("a\\b\tc\r\nd\u{1B}\u{7F}".utf8)) == Bytes(#"a\\b\tc\r\nd\033\177"#.utf8))
    #expect(escaped(Bytes("häß€😀".utf8)) == Bytes("häß€😀".utf8))
    // A C1 control, a lone continuation byte, a surrogate, the long form of '/'.
    #expect(escaped([0xC2, 0x9B]) == Bytes(#"\302\233"#.utf8))
    #expect(escaped([0x80]) == Bytes(#"\200"#.utf8))
    #expect(escaped([0xED, 0xA0, 0x80]) == Bytes(#"\355\240\200"#.utf8))
    #expect(escaped([0xC0, 0xAF]) == Bytes(#"\300\257"#.utf8))
  }

  @Test("What a terminal must not see is one mark for each character")
  func printing() {
    #expect(printable(Bytes("a\nb\u{1B}[2Jc".utf8)) == Bytes("a?b?[2Jc".utf8))
    #expect(printable([0x61, 0xC2, 0x9B, 0x62]) == Bytes("a?b".utf8))
    #expect(printable([0xE2, 0x82], mark: UInt8(ascii: ".")) == Bytes("..".utf8))
    #expect(printable(Bytes("é€😀".utf8)) == Bytes("é€😀".utf8))
  }

  @Test("A cut ends at a character's border, at the limit or before it")
  func cutting() {
    #expect(cut(Bytes("abc".utf8), to: 3) == Bytes("abc".utf8))
    #expect(cut(Bytes("abc".utf8), to: 2) == Bytes("ab".utf8))
    let text = Bytes("a€😀".utf8)
    let ends = (0...8).map { cut(text, to: $0).count }
    #expect(ends == [0, 1, 1, 1, 4, 4, 4, 4, 8])
    #expect(cut(text, to: -1).isEmpty)
    // Continuation bytes alone have no beginning to keep.
    #expect(cut([0x80, 0x80, 0x80], to: 2).isEmpty)
  }

  @Test("White space goes from both ends, and none from the middle")
  func trimming() {
    #expect(trimmed(Bytes("\r\n\t a b \n".utf8)) == Bytes("a b".utf8))
    #expect(trimmed(Bytes(" \t".utf8)).isEmpty)
  }

  @Test("Parts between separators: as many as there are separators, and one more; none of an empty text")
  func splitting() {
    let parts = { (text: String) in
      AudioForkBytes.parts(of: Bytes(text.utf8), separatedBy: UInt8(ascii: ",")).map {
        String(decoding: $0, as: UTF8.self)
      }
    }
    #expect(parts("") == [])
    #expect(parts("a") == ["a"])
    #expect(parts(",a,,b,") == ["", "a", "", "b", ""])
  }
}
