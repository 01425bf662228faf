// SPDX-License-Identifier: Apache-2.0
import AudioForkBytes
import AudioForkLink
import AudioForkSurface
import Testing

@Suite("A fork's settings on their way to the engine")
struct SettingFieldTests {
  private func bytes(_ text: String) -> Bytes { Array(text.utf8) }

  /// What the engine makes of the sources that the module has collected.
  private func options(of sources: ForkSources) throws -> ForkOptions {
    var fields = FieldWriter()
    SettingFields(sources.sources.map(\.text)).write(to: &fields)
    return try ForkSettings.resolve(SettingFields(FieldReader(fields.bytes)).texts)
  }

  private func line(_ key: String, _ value: String, to sources: inout ForkSources) throws {
    try sources.add(#require(ProfileKey.named(bytes(key))), bytes(value), isEvaluated: false, place: [])
  }

  @Test("Both processes have the same options; [general], profile and options override each other in this order")
  func precedence() throws {
    var sources = ForkSources()
    try line("buffer", "20", to: &sources)
    try line("drain", "30", to: &sources)
    try line("reconnect_attempts", "7", to: &sources)
    try sources.add(url: bytes("ws://user:secret@a.example/"))
    try line("drain", "40", to: &sources)
    try line("reconnect_attempts", "8", to: &sources)
    try line("header", "X-A: profile", to: &sources)
    try line("format", "ulaw", to: &sources)
    try line("url", "wss://b.example/", to: &sources)
    try sources.add(options: bytes("r(9)H(X-A: option&X-B: b)D(in)"))
    let options = try options(of: sources)
    #expect(options == sources.options)
    #expect(options.bufferSeconds == 20 && options.drainSeconds == 40 && options.reconnectAttempts == 9)
    #expect(options.endpoints.count == 2 && options.direction == .in)
    #expect(options.headers.map(\.value) == [bytes("option"), bytes("b")])
  }

  @Test("Evaluated options arrive one by one")
  func evaluated() throws {
    var sources = ForkSources()
    try sources.add(url: bytes("ws://a.example/"))
    try sources.add(options: bytes("H(X: ^{A}&Y: y)s(k=^{B}&l=%26)f(slin16)n")) { _ in bytes("v&w") }
    let options = try options(of: sources)
    #expect(options == sources.options)
    #expect(options.headers.map(\.value) == [bytes("v&w"), bytes("y")])
    #expect(options.parameters.map(\.value) == [bytes("v&w"), bytes("&")])
    #expect(options.format.rateHertz == 16_000 && !options.fill)
  }

  @Test("Keys and options of a later release are left out; an invalid value is an error")
  func otherRelease() throws {
    var fields = SettingFields()
    fields.urls = [bytes("ws://a.example/")]
    fields.lines = [bytes("later=1"), bytes("no sign"), bytes("buffer=30")]
    fields.evaluatedOptions = [bytes("?x"), [], bytes("r3")]
    let options = try ForkSettings.resolve(fields.texts)
    #expect(options.bufferSeconds == 30 && options.reconnectAttempts == 3)
    fields.lines = [bytes("buffer=0")]
    #expect(throws: OptionError.self) { try ForkSettings.resolve(fields.texts) }
  }
}
