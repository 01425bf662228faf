// SPDX-License-Identifier: Apache-2.0
import AudioForkBytes
import AudioForkLink
import AudioForkSurface
import Testing

@Suite("What an engine is told to confine itself to")
struct EngineRulesTests {
  private func bytes(_ text: String) -> Bytes { Bytes(text.utf8) }

  @Test("What the module writes is what the engine reads")
  func roundTrip() {
    var rules = EngineRules()
    rules.runDirectory = bytes("/dev/shm/audiofork-0")
    rules.addPrivate(bytes("/etc/asterisk"))
    _ = rules.add(bytes("/var/spool/calls"), .folder)
    _ = rules.add(bytes("/etc/asterisk/keys/a\nb.pem"), .file)
    #expect(EngineRules(rules.encoded) == rules)
    #expect(
      rules.encoded
        == bytes(
          "audiofork-rules 1\0r/dev/shm/audiofork-0\0p/etc/asterisk\0s/var/spool/calls\0f/etc/asterisk/keys/a\nb.pem\0")
    )
  }

  @Test("A path is new once, and only an absolute one is a path")
  func new() {
    var rules = EngineRules()
    let added = [("/a", PathUse.file), ("/a", .file), ("/a", .folder), ("", .file), ("a", .file), ("/a\0b", .file)]
      .map { path, use in rules.add(bytes(path), use) }
    #expect(added == [true, false, true, false, false, false])
    #expect(rules.files.count == 1)
  }

  @Test("The age at which an engine leaves travels where it is not the usual one")
  func leavingAge() {
    var rules = EngineRules()
    rules.leavingAge = 40
    #expect(rules.encoded == bytes("audiofork-rules 1\0r\0a40\0"))
    #expect(EngineRules(rules.encoded)?.leavingAge == 40)
    for text in ["a", "a9", "ax"] {
      #expect(EngineRules(bytes("audiofork-rules 1\0\(text)\0"))?.leavingAge == EngineRules.leavingAgeMin)
    }
  }

  @Test("Another file is refused, entries of a later release are left out, and there is an end to entries")
  func foreign() {
    #expect(EngineRules([]) == nil)
    #expect(EngineRules(bytes("audiofork-rules 2\0r/a\0")) == nil)
    let later = EngineRules(bytes("audiofork-rules 1\0z/what\0r/run\0\0f/file\0fno path"))
    #expect(later?.runDirectory == bytes("/run"))
    #expect(later?.files == [bytes("/file")])
    var rules = EngineRules()
    for number in 0...EngineRules.entriesMax { _ = rules.add(bytes("/\(number)"), .file) }
    #expect(rules.files.count == EngineRules.entriesMax)
  }
}
