// SPDX-License-Identifier: Apache-2.0
import AudioForkBytes
import AudioForkSurface
import Testing

private func bytes(_ text: String) -> Bytes { Bytes(text.utf8) }
private func string(_ bytes: Bytes) -> String { String(decoding: bytes, as: UTF8.self) }

@Suite("Traits of dialects")
struct DialectTraitsTests {
  @Test("Each dialect has one entry, and its name is taken in option w and in a profile")
  func names() throws {
    #expect(DialectTraits.all.map(\.dialect) == DialectName.allCases)
    #expect(DialectTraits.all.first?.dialect == ForkOptions().dialect, "the default comes first")
    for traits in DialectTraits.all {
      #expect(try ForkOptions.parse(bytes("w(\(traits.name))")).dialect == traits.dialect)
      var options = ForkOptions()
      try options.apply(#require(ProfileKey.named(bytes("dialect"))), bytes("\(traits.name)".uppercased()))
      #expect(options.dialect == traits.dialect && options.dialectTraits.dialect == traits.dialect)
      #expect(!traits.formats.isEmpty)
    }
    #expect(DialectTraits.named(bytes("twilio")) == nil)
  }

  @Test("Help and messages name every dialect")
  func texts() throws {
    let option = try #require(OptionDefinition.all.first { $0.letter == UInt8(ascii: "w") })
    #expect(string(option.form) == "w(raw|audiofork|vosk)")
    #expect(string(option.help).hasPrefix("Dialect: what is said on the wire. raw: binary messages of audio"))
    #expect(string(option.help).hasSuffix(". Default: raw."))
    let key = try #require(ProfileKey.named(bytes("dialect")))
    #expect(string(key.form) == "raw, audiofork or vosk")
    #expect(string(key.help) == "What is said on the wire, as option w. Default: raw.")
    for traits in DialectTraits.all { #expect(string(option.help).contains(" \(traits.name): \(traits.help).")) }
  }

  @Test("Digits are told by a dialect that can, unless a profile says no")
  func digits() throws {
    #expect(try !ForkOptions.parse(bytes("w(raw)")).tellsDigits)
    var options = try ForkOptions.parse(bytes("w(audiofork)"))
    #expect(options.tellsDigits)
    options.sendsDigits = false
    #expect(!options.tellsDigits)
  }

  @Test("A dialect refuses what only others take, and formats that its servers don't understand")
  func rules() throws {
    let raw = try #require(DialectTraits.named(bytes("raw")))
    let framed = try #require(DialectTraits.named(bytes("audiofork")))
    #expect(raw.takes(.firstText) && raw.takes(.linger) && !framed.takes(.lastText) && !framed.takes(.linger))
    #expect(raw.takes(.subprotocol) && !raw.takes(.acknowledge) && raw.takes(.buffer))
    #expect(!framed.takes(.subprotocol) && framed.takes(.acknowledge) && framed.takes(.buffer))
    var telephony = raw
    telephony.formats = WireFormat.all.filter { $0.encoding == .muLaw }
    for (format, isRefused) in [("ulaw", false), ("slin", true), ("alaw", true)] {
      let options = try ForkOptions.parse(bytes("f(\(format))"))
      #expect(OptionRule.format.isBroken(by: options, telephony) == isRefused, "\(format)")
      #expect(!OptionRule.format.isBroken(by: options, raw) && !OptionRule.format.isBroken(by: options, framed))
      #expect(string(OptionRule.format.reason(options, telephony)) == "dialect raw does not take format \(format)")
    }
    for (given, message) in [
      ("w(vosk)f(ulaw)", "dialect vosk does not take format ulaw; it takes slin, slin12, slin16"),
      ("w(vosk)D(stereo)", "dialect vosk has one channel, not the two of D(stereo); use two forks"),
    ] {
      let options = try ForkOptions.parse(bytes(given))
      let error = #expect(throws: OptionError.self) { try options.check() }
      #expect(error.map { string($0.message).hasPrefix(message) } == true, "\(given)")
    }
    try ForkOptions.parse(bytes("w(vosk)D(both)f(slin16)")).check()
    var chopped = raw
    chopped.messageRange = 20...200
    for (length, isRefused) in [(20, false), (200, false), (220, true)] {
      let options = try ForkOptions.parse(bytes("m(\(length))"))
      #expect(OptionRule.messageLength.isBroken(by: options, chopped) == isRefused, "\(length)")
      #expect(!OptionRule.messageLength.isBroken(by: options, raw))
    }
    #expect(
      string(OptionRule.messageLength.reason(try ForkOptions.parse(bytes("m(220)")), chopped))
        == "dialect raw takes messages of 20 to 200 ms, not of 220")
  }
}
