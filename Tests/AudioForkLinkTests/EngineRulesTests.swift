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

  @Test("A folder with a slash at its end covers what is in it, a file itself alone")
  func covers() {
    var rules = EngineRules()
    _ = rules.add(bytes("/srv/keys/"), .file)
    _ = rules.add(bytes("/one.pem"), .file)
    _ = rules.add(bytes("/spool"), .folder)
    for path in ["/srv/keys/a.pem", "/srv/keys/b/c.pem", "/one.pem"] {
      #expect(rules.covers(bytes(path), .file), "\(path)")
    }
    for path in ["/srv/keysa", "/one.pem.old", "/spool"] { #expect(!rules.covers(bytes(path), .file), "\(path)") }
    #expect(rules.covers(bytes("/spool"), .folder) && !rules.covers(bytes("/spool/a"), .folder))
  }

  @Test("A folder that the engine would not be given covers nothing but itself")
  func refusedFolders() {
    var rules = EngineRules()
    for folder in ["/etc/asterisk", "/var/spool/asterisk"] { rules.addPrivate(bytes(folder)) }
    let files = ["/etc/asterisk/keys/", "/etc/", "/srv/", "/", "/var/spool/", "/srv/x/../"]
    for folder in files { _ = rules.add(bytes(folder), .file) }
    for folder in files { #expect(!rules.covers(bytes(folder + "a.pem"), .file), "\(folder)") }
    let spools = ["/", "/var/", "/var/spool/", "/var/spool/asterisk/"]
    for folder in spools { _ = rules.add(bytes(folder), .folder) }
    for folder in spools { #expect(!rules.covers(bytes(folder + "a"), .folder), "\(folder)") }
    for folder in ["/calls/", "/var/spool/asterisk/audiofork/", "/var/spool/calls/"] {
      _ = rules.add(bytes(folder), .folder)
      #expect(rules.covers(bytes(folder + "a"), .folder), "\(folder)")
    }
  }

  @Test("A file's neighbor is covered where the folder is allowed, and a spool's is not")
  func neighbors() {
    var rules = EngineRules()
    rules.addPrivate(bytes("/etc/asterisk"))
    for path in ["/srv/tls/a.pem", "/etc/asterisk/a.pem", "/srv/a.pem"] { _ = rules.add(bytes(path), .file) }
    _ = rules.add(bytes("/data/calls/a"), .folder)
    #expect(rules.covers(bytes("/srv/tls/b.pem"), .file))
    for path in ["/srv/tls/x/b.pem", "/etc/asterisk/b.pem", "/srv/b.pem"] {
      #expect(!rules.covers(bytes(path), .file), "\(path)")
    }
    #expect(!rules.covers(bytes("/data/calls/b"), .folder))
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
