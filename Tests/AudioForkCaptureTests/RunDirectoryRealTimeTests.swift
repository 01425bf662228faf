// SPDX-License-Identifier: Apache-2.0
import CAsterisk
import Foundation
import Testing

extension CaptureRealTimeTests {
  /// A folder that stands for /dev/shm, where every user may write.
  private final class SharedMemory {
    let path = "/dev/shm/audiofork-shared-\(UInt32.random(in: 0...UInt32.max))"
    let usual = "audiofork-\(geteuid())"

    init() throws {
      try FileManager.default.createDirectory(
        atPath: path, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o1777])
      fake_shared_memory(path)
      fake_version("22.10.1")
      fake_configuration("engine=/bin/true")
    }

    deinit {
      fake_shared_memory("/dev/shm")
      try? FileManager.default.removeItem(atPath: path)
    }

    var names: [String] { ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).sorted() }

    /// The one folder that the module has made an instance's directory in.
    var used: String? {
      names.first { name in
        let instances = (try? FileManager.default.contentsOfDirectory(atPath: "\(path)/\(name)")) ?? []
        return instances.contains { $0.count == 12 }
      }
    }

    /// Loads and unloads the module; returns the name of the folder that it used.
    func load() -> String? {
      FakedEngine(within: 0)?.die()
      guard af_load() == 0 else { return nil }
      let name = used
      FakedEngine()?.die()
      #expect(soon { af_unload() == 0 })
      return name
    }
  }

  private static var warnings: Int {
    FakedAsterisk.log.components(separatedBy: " was not Asterisk's: remove that").count - 1
  }

  @Test("A user who takes the default run directory's name before us keeps no module from loading")
  func takenRunDirectory() throws {
    let shared = try SharedMemory()
    // A folder into which others may look, a link to one of ours, a file: any user can leave these behind.
    let ours = "\(shared.path)/ours"
    #expect(mkdir(ours, 0o700) == 0)
    let usual = "\(shared.path)/\(shared.usual)"
    let takings: [(String, () -> CInt, () -> CInt)] = [
      ("folder", { mkdir(usual, 0o777) }, { rmdir(usual) }),
      ("link", { symlink(ours, usual) }, { unlink(usual) }),
      ("file", { close(creat(usual, 0o600)) }, { unlink(usual) }),
    ]
    for (what, take, remove) in takings {
      #expect(take() == 0)
      let before = Self.warnings
      let used = try #require(shared.load(), "\(what): \(FakedAsterisk.log)")
      #expect(used.wholeMatch(of: try Regex("\(shared.usual)-[0-9a-f]{12}")) != nil, "\(what): \(used)")
      #expect(Self.warnings == before + 1)
      var found = stat()
      #expect(stat("\(shared.path)/\(used)", &found) == 0 && found.st_mode & 0o7777 == 0o700)
      // The next load finds it again, and with it what a dead Asterisk has left there, even when the name is free.
      #expect(shared.load() == used)
      #expect(remove() == 0)
      #expect(shared.load() == used)
      #expect(rmdir("\(shared.path)/\(used)") == 0)
    }
    #expect(try FileManager.default.contentsOfDirectory(atPath: ours) == [])
    #expect(shared.load() == shared.usual)
    #expect(shared.names == [shared.usual, "ours"])
  }

  @Test("A folder that another user has named like a substitute of ours is not used")
  func foreignSubstitute() throws {
    let shared = try SharedMemory()
    let usual = "\(shared.path)/\(shared.usual)"
    #expect(mkdir(usual, 0o755) == 0)
    for name in ["000000000000", "00000000000", "0000000000000", "x"] {
      #expect(mkdir("\(usual)-\(name)", name.count == 12 ? 0o755 : 0o700) == 0)
    }
    let used = try #require(shared.load())
    #expect(used.count == shared.usual.count + 13 && !used.hasSuffix("-000000000000"))
    #expect(shared.names.count == 6)
  }

  @Test("What run_dir names is used or refused, and nothing else is tried")
  func configuredRunDirectory() throws {
    let shared = try SharedMemory()
    let place = "\(shared.path)/mine"
    #expect(mkdir(place, 0o755) == 0)
    fake_configuration("engine=/bin/true\nrun_dir=\(place)")
    #expect(shared.load() == nil)
    #expect(FakedAsterisk.log.contains("\(place) is not a folder of Asterisk's user with mode 0700; remove it or"))
    #expect(shared.names == ["mine"])
  }
}
