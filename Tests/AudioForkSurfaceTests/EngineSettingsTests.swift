// SPDX-License-Identifier: Apache-2.0
import AudioForkBytes
import AudioForkSurface
import Testing

@Suite("Engine-wide settings")
struct EngineSettingsTests {
  private static let port = GeneralKey(
    name: "test_port", kind: .engineWide(.number(0...65_535)), form: "a port", help: "A port.")
  private static let isOn = GeneralKey(name: "test_on", kind: .engineWide(.truth), form: "yes or no", help: "On.")
  private static let name = GeneralKey(
    name: "test_name", kind: .engineWide(.text(bytesMax: 4)), form: "a name", help: "Name.")
  private static let keys = [port, isOn, name]

  private func bytes(_ text: String) -> Bytes { Array(text.utf8) }

  @Test("Values are checked, the last line of a key counts, and all arrive in the engine")
  func roundTrip() {
    var settings = EngineSettings()
    #expect(settings.number(Self.port) == nil && settings.lines.isEmpty)
    let lines: [(GeneralKey, Bytes, isAccepted: Bool)] = [
      (Self.port, bytes("80"), true), (Self.port, bytes("9100"), true), (Self.port, bytes("65536"), false),
      (Self.port, bytes("x"), false), (Self.isOn, bytes("no"), true), (Self.isOn, bytes("perhaps"), false),
      (Self.name, bytes("a=b"), true), (Self.name, bytes("abcde"), false), (Self.name, [10], false),
    ]
    for (key, value, isAccepted) in lines {
      let wasAccepted = settings.set(key, value)
      #expect(wasAccepted == isAccepted, "\(key.name) = \(value)")
    }
    #expect(settings.lines == ["test_port=9100", "test_on=no", "test_name=a=b"].map(bytes))
    let inEngine = EngineSettings(lines: settings.lines, of: Self.keys)
    #expect(inEngine == settings)
    #expect(inEngine.number(Self.port) == 9100 && inEngine.truth(Self.isOn) == false)
    #expect(inEngine.text(Self.name) == bytes("a=b"))
  }

  @Test("An engine of another release leaves out what it does not know or accept")
  func otherRelease() {
    let lines = ["later=1", "test_port=99999", "test_on", "TEST_ON=yes", "engine=/bin/true"].map(bytes)
    let settings = EngineSettings(lines: lines, of: Self.keys + GeneralKey.all)
    #expect(settings.lines == [bytes("test_on=yes")])
  }

  @Test("A key that is the module's alone is none")
  func moduleKeys() {
    var settings = EngineSettings()
    for key in GeneralKey.all {
      guard case .engineWide = key.kind else {
        let isAccepted = settings.set(key, bytes("/bin/true"))
        #expect(!isAccepted, "\(key.name)")
        continue
      }
    }
  }
}
