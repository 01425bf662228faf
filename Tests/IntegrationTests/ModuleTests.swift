// SPDX-License-Identifier: Apache-2.0
import AsteriskTestKit
import AudioForkTestKit
import Foundation
import Testing

extension IntegrationTests {
  @Suite("The module comes and goes without a trace", .serialized)
  struct ModuleTests {
    static func dialplan(_ receiver: Receiver) -> String {
      """
      [test]
      exten => a,1,Answer()
       same => n,AudioFork(\(receiver.url("load")),D(both))
       same => n,Playback(${SOUNDS}/heard)
       same => n,Hangup()
      exten => hold,1,Answer()
       same => n,AudioFork(\(receiver.url("hold")),D(both))
       same => n,Wait(60)
      exten => b,1,Answer()
       same => n,Wait(60)
      """
    }

    /// What a process holds: threads, descriptors, resident kilobytes.
    struct Holdings: CustomStringConvertible {
      let threads: Int
      let descriptors: Int
      let residentKilobytes: Int
      var description: String { "\(threads) threads, \(descriptors) descriptors, \(residentKilobytes) kB" }

      init(of process: Int32) throws {
        let status = try String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8)
        func number(_ key: String) -> Int {
          let line = status.split(separator: "\n").first { $0.hasPrefix(key) } ?? ""
          return Int(line.filter(\.isNumber)) ?? -1
        }
        threads = number("Threads:")
        residentKilobytes = number("VmRSS:")
        descriptors = try FileManager.default.contentsOfDirectory(atPath: "/proc/\(process)/fd").count
      }
    }

    static func unloadWhenIdle(_ sandbox: Sandbox) async throws -> Bool {
      guard await becomesTrue(within: 10, { sandbox.runFiles().allSatisfy { !$0.contains(".") } }) else { return false }
      for _ in 0..<100 {
        if try await sandbox.forks().isEmpty, try await sandbox.channels().isEmpty { break }
        try await Task.sleep(for: .milliseconds(20))
      }
      return try await sandbox.cli("module unload app_audiofork.so").contains("Unloaded")
    }

    @Test(
      "A hundred loads and unloads with calls in between leave everything as it was", .tags(.slow),
      arguments: AsteriskRelease.tested)
    func loadsAndUnloads(release: AsteriskRelease) async throws {
      let signal = KnownSignal(seed: 21, seconds: 0.2)
      let receiver = try await Receiver()
      try await Sandbox.with(release, dialplan: Self.dialplan(receiver)) { sandbox in
        _ = try sandbox.sound("heard", signal.samples)
        try await sandbox.cli("dialplan set global SOUNDS \(sandbox.folder.path)")
        var calls = 0
        var before: Holdings?
        for cycle in 1...100 {
          if cycle % 5 == 0 {
            calls += 1
            try await sandbox.call("a", "b")
            #expect(await receiver.ended(calls, path: "load", within: 10))
          }
          #expect(try await Self.unloadWhenIdle(sandbox), "unload \(cycle) was refused")
          // It has been told to go or killed by then; on a busy machine it is still in the process list for a moment.
          #expect(await becomesTrue(within: 2) { sandbox.engines().isEmpty }, "an engine outlived unload \(cycle)")
          #expect(sandbox.runFiles().isEmpty, "unload \(cycle) left \(sandbox.runFiles())")
          // The first cycles warm Asterisk's own pools and caches up.
          if cycle == 20 { before = try Holdings(of: sandbox.processIdentifier) }
          if cycle < 100 {
            #expect(try await sandbox.cli("module load app_audiofork.so").contains("Loaded"))
            // An engine that is told to go while it starts is killed after two seconds, which would make this long.
            #expect(try await holds(within: 5) { try await sandbox.cli("audiofork show engine").contains("Version: ") })
          }
        }
        let start = try #require(before)
        let settled = await eventually(within: 5) { () -> Holdings? in
          let now = try? Holdings(of: sandbox.processIdentifier)
          return now.map { $0.threads <= start.threads && $0.descriptors <= start.descriptors } == true ? now : nil
        }
        let end = try settled ?? Holdings(of: sandbox.processIdentifier)
        // Asterisk's own pools shrink when they are idle; a thread of ours that stayed would make eighty by now.
        #expect(end.threads <= start.threads, "before: \(start); after: \(end)")
        #expect(end.descriptors == start.descriptors, "before: \(start); after: \(end)")
        #expect(end.residentKilobytes - start.residentKilobytes <= 2048, "before: \(start); after: \(end)")
        #expect(sandbox.logLines() == [])
      }
      await receiver.remove()
    }

    @Test(
      "Even module unload -h breaks nothing: the fork goes on, and the module can be loaded again",
      arguments: AsteriskRelease.tested)
    func hardUnload(release: AsteriskRelease) async throws {
      let receiver = try await Receiver()
      try await Sandbox.with(release, dialplan: Self.dialplan(receiver)) { sandbox in
        try await sandbox.call("hold", "b")
        #expect(await receiver.started(1, path: "hold", within: 5))
        for round in 1...2 {
          try await sandbox.cli("module unload -h app_audiofork.so")
          #expect(await sandbox.logShows("** Dangerous **"), "round \(round)")
          // Asterisk runs none of the module's commands now, but its hooks.
          let received = try receiver.recording(path: "hold").count
          #expect(await becomesTrue(within: 8) { (try? receiver.recording(path: "hold").count) ?? 0 > received + 8000 })
          #expect(receiver.events("ended").isEmpty)
          try await sandbox.cli("module load app_audiofork.so")
          #expect(await sandbox.logShows("its forks outlived the forced unload"))
          #expect(try await sandbox.forks().count == 1)
        }
        try await sandbox.cli("channel request hangup all")
        #expect(await receiver.ended(1, path: "hold", within: 5))
        #expect(try await Self.unloadWhenIdle(sandbox))
        #expect(sandbox.engines().isEmpty)
        // Gone from memory as well: what is loaded next may be another build.
        let maps = processFile("/proc/\(sandbox.processIdentifier)/maps")
        #expect(maps.contains("app_dial.so"))
        #expect(!maps.contains("app_audiofork.so"))
        #expect(try await sandbox.cli("module load app_audiofork.so").contains("Loaded"))
      }
      await receiver.remove()
    }

    @Test("Unloading is refused while a fork lives, and the fork goes on", arguments: AsteriskRelease.tested)
    func refusedUnload(release: AsteriskRelease) async throws {
      let receiver = try await Receiver()
      try await Sandbox.with(release, dialplan: Self.dialplan(receiver)) { sandbox in
        try await sandbox.call("hold", "b")
        #expect(await receiver.started(1, path: "hold", within: 5))
        #expect(try await sandbox.cli("module unload app_audiofork.so").contains("failed"))
        #expect(await sandbox.logShows("'app_audiofork.so' has use count"))
        // Even -f: the loader warns, asks the module, and the module says why not.
        #expect(try await sandbox.cli("module unload -f app_audiofork.so").contains("failed"))
        #expect(await sandbox.logShows("app_audiofork is not unloaded: 1 fork is still live"))
        #expect(try await sandbox.forks().count == 1)
        #expect(receiver.events("ended").isEmpty)
        try await sandbox.cli("channel request hangup all")
        #expect(await receiver.ended(1, path: "hold", within: 5))
        #expect(try await Self.unloadWhenIdle(sandbox))
        #expect(sandbox.engines().isEmpty)
      }
      await receiver.remove()
    }

    @Test("A module for another release declines to load", arguments: AsteriskRelease.tested)
    func otherRelease(release: AsteriskRelease) async throws {
      try await Sandbox.with(release, dialplan: "[test]\n", loadsModule: false) { sandbox in
        let other: AsteriskRelease = release == .asterisk22 ? .asterisk16 : .asterisk22
        let place = sandbox.folder.appending(path: "modules/app_audiofork.so")
        try FileManager.default.removeItem(at: place)
        try FileManager.default.copyItem(atPath: Checkout.module(other), toPath: place.path)
        _ = try await sandbox.cli("module load app_audiofork.so")
        #expect(await sandbox.logShows("it was built for Asterisk \(other.rawValue)."))
        #expect(sandbox.log.contains("build it again with this Asterisk's headers (make ASTERISK_INCLUDE=DIR)"))
        #expect(try await sandbox.cli("core show application AudioFork").contains("not registered"))
        #expect(sandbox.engines().isEmpty)
      }
    }

    @Test("A load that cannot succeed leaves nothing, and the next one works", arguments: AsteriskRelease.tested)
    func failedLoad(release: AsteriskRelease) async throws {
      try await Sandbox.with(release, dialplan: "[test]\n", loadsModule: false) { sandbox in
        let configuration = sandbox.folder.appending(path: "etc/audiofork.conf")
        let good = try String(contentsOf: configuration, encoding: .utf8)
        for (bad, message) in [
          ("run_dir = /proc/nowhere", "cannot make the run directory /proc/nowhere"),
          ("run_dir = relative", "audiofork.conf, [general]: run_dir = 'relative' is not accepted"),
          ("run_dir = /dev/null", "the run directory /dev/null is not a folder of Asterisk's user with mode 0700"),
          ("buffer = soon", "buffer = 'soon' is not accepted; it takes a whole number of seconds from 1 to 600"),
          ("buffer = 601", "buffer = '601' is not accepted"),
          ("engine = audiofork", "engine = 'audiofork' is not accepted; it takes an absolute path"),
        ] {
          try "[general]\n\(bad)\n".write(to: configuration, atomically: true, encoding: .utf8)
          #expect(try await sandbox.cli("module load app_audiofork.so").contains("nable to load"), "\(bad)")
          #expect(await sandbox.logShows(message), "\(bad)")
          #expect(sandbox.engines().isEmpty)
        }
        try good.write(to: configuration, atomically: true, encoding: .utf8)
        #expect(try await sandbox.cli("module load app_audiofork.so").contains("Loaded"))
        #expect(await becomesTrue(within: 3) { sandbox.engines().count == 1 })
        // A reload takes a good file and refuses a bad one.
        try (good + "buffer = 0\n").write(to: configuration, atomically: true, encoding: .utf8)
        try await sandbox.cli("module reload app_audiofork.so")
        #expect(await sandbox.logShows("the settings from before stay in force"))
      }
    }

    @Test("The engine is Asterisk's child, with default signals and its own session", arguments: AsteriskRelease.tested)
    func engineProcess(release: AsteriskRelease) async throws {
      try await Sandbox.with(release, dialplan: "[test]\n") { sandbox in
        #expect(await sandbox.logShows("AudioFork engine"))
        let engine = try #require(sandbox.engines().first)
        #expect(sandbox.engines().count == 1)
        let status = try String(contentsOfFile: "/proc/\(engine)/status", encoding: .utf8)
        #expect(status.contains("PPid:\t\(sandbox.processIdentifier)\n"))
        #expect(status.contains("NoNewPrivs:\t1\n"))
        #expect(status.contains("SigBlk:\t0000000000000000\n"))
        #expect(getsid(engine) == engine)
        // Nothing of Asterisk's: no socket, log or sound file but the link.
        let descriptors = try FileManager.default.contentsOfDirectory(atPath: "/proc/\(engine)/fd")
        let targets = descriptors.compactMap {
          try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(engine)/fd/\($0)")
        }
        #expect(targets.filter { $0.contains(sandbox.folder.path) }.isEmpty)
        #expect(try await Self.unloadWhenIdle(sandbox))
        #expect(await becomesTrue(within: 2) { kill(engine, 0) != 0 })
      }
    }
  }
}
