// SPDX-License-Identifier: Apache-2.0
import AudioForkCapture
import AudioForkLink
import CAsterisk
import Foundation
import Testing

/// Forks whose files the running engine may not open.
extension EngineRulesRealTimeTests {
  /// Folders on a disk: `own` is Asterisk's, `linked` leads into it, `plain` is not Asterisk's.
  private final class Folders {
    let path: String

    init() throws {
      path = NSTemporaryDirectory() + "audiofork-held-\(UInt64.random(in: 0...UInt64.max))"
      for folder in ["own/keys", "plain/keys"] { try make(folder) }
      try FileManager.default.createSymbolicLink(atPath: path + "/linked", withDestinationPath: path + "/own/keys")
      fake_private_folder(path + "/own")
    }

    deinit {
      fake_private_folder("/etc/asterisk")
      try? FileManager.default.removeItem(atPath: path)
    }

    func make(_ folder: String) throws {
      try FileManager.default.createDirectory(atPath: "\(path)/\(folder)", withIntermediateDirectories: true)
    }

    func write(_ file: String) { _ = FileManager.default.createFile(atPath: "\(path)/\(file)", contents: Data()) }
  }

  private static let row = LinkMessageKind.fork.rawValue

  /// What the module sends, up to the first message of this kind; an empty array at the end: it does not come in time.
  private func messages(
    _ engine: FakedEngine, until last: LinkMessageKind, within milliseconds: CInt = 2000
  ) -> [(type: UInt16, id: String, state: String)] {
    var messages: [(type: UInt16, id: String, state: String)] = []
    while let message = engine.next(within: milliseconds) {
      messages.append(message)
      if message.type == last.rawValue { return messages }
    }
    return []
  }

  private func fact(_ name: String, of id: String) -> String? {
    CaptureRealTimeTests.cli("audiofork show fork \(id)").split(separator: "\n").map(String.init)
      .first { $0.hasPrefix("\(name): ") }.map { String($0.dropFirst(name.count + 2)) }
  }

  @Test("A file is told itself where its folder leads into one of Asterisk's, or was made after the engine's start")
  func linkedFolders() throws {
    let folders = try Folders()
    let base = folders.path
    let module = try LoadedModule(
      """
      [linked]
      url=wss://a.example/
      ca_file=\(base)/linked/${CA}
      [plain]
      url=wss://a.example/
      ca_file=\(base)/plain/keys/${CA}
      [later]
      url=wss://a.example/
      ca_file=\(base)/later/keys/${CA}
      """)
    let channel = fake_channel("PJSIP/100-1", 8000)
    for file in ["own/keys/a.pem", "own/keys/b.pem", "plain/keys/a.pem", "plain/keys/b.pem"] { folders.write(file) }
    func start(_ file: String, _ profile: String) throws -> String {
      pbx_builtin_setvar_helper(channel, "CA", file)
      return try #require(module.start(channel, profile))
    }
    let before = restarts()
    var forks = [try start("a.pem", "plain"), try start("b.pem", "plain")]
    #expect(restarts() == before)
    forks.append(try start("a.pem", "linked"))
    #expect(restarts() == before + 1)
    var engine = try replaceEngine(module)
    let folderPaths = ["linked/", "plain/keys/", "later/keys/"].map { "\(base)/\($0)" }
    #expect(texts(told?.files) == folderPaths + ["\(base)/linked/a.pem"])
    // The second file there is not known with the first one.
    forks.append(try start("b.pem", "linked"))
    try folders.make("later/keys")
    folders.write("later/keys/a.pem")
    forks.append(try start("a.pem", "later"))
    for fork in forks.suffix(2) { #expect(fact("Reason", of: fork)?.hasPrefix("engine: a new one") == true) }
    engine.die()
    engine = try #require(FakedEngine())
    engine.sayReady()
    #expect(
      texts(told?.files) == folderPaths + ["linked/a.pem", "linked/b.pem", "later/keys/a.pem"].map { "\(base)/\($0)" })
    // The folder is there now.
    folders.write("later/keys/b.pem")
    forks.append(try start("b.pem", "later"))
    #expect(fact("Reason", of: forks[5]) == "")
    fake_hangup(channel)
    end(module, engine, forks)
  }

  @Test("A fork that needs the next engine is not told to this one, captures meanwhile, and can be stopped")
  func heldForks() throws {
    let module = try LoadedModule("buffer=2\n[a]\nurl=wss://a.example/\nca_file=${CA}")
    let channel = try #require(fake_channel("PJSIP/100-1", 8000))
    func start(_ file: String) throws -> String {
      pbx_builtin_setvar_helper(channel, "CA", file)
      return try #require(module.start(channel, "a"))
    }
    let began = ContinuousClock.now
    let first = try start("/own/1.pem")
    #expect(soon { fake_engine_terminations() > 0 })
    #expect(!messages(module.engine, until: .tableEnd).contains { $0.type == Self.row })
    #expect(module.engine.next(within: 100) == nil)
    module.engine.die()
    let engine = try #require(FakedEngine())
    engine.sayReady(knows: .newestOfModule)
    #expect(messages(engine, until: .tableEnd).filter { $0.type == Self.row }.map(\.id) == [first])

    // So soon after the first one they wait: not for 10 seconds, since the buffer is short, but until 3 have passed.
    let held = [try start("/own/2.pem"), try start("/own/3.pem"), try start("/own/2.pem")]
    let free = try start("/own/1.pem")
    #expect(messages(engine, until: .fork).map(\.id) == [free])
    #expect(fact("State", of: held[0]) == "starting")
    #expect(fact("Reason", of: held[0]) == "engine: a new one that may open the fork's files is about to start")
    fake_frame(channel, AST_AUDIOHOOK_DIRECTION_READ, [Int16](repeating: 1, count: 160), 160)
    #expect(fact("Captured", of: held[0]) == "160")
    #expect(CaptureRealTimeTests.cli("audiofork stop PJSIP/100-1 \(held[1])").hasPrefix("Ended 1 fork"))
    let rest = messages(engine, until: .restart, within: 6000)
    #expect((2.9...9).contains((ContinuousClock.now - began) / .seconds(1)))
    #expect(!rest.isEmpty && !rest.contains { $0.type == Self.row }, "\(rest)")
    fake_hangup(channel)
    engine.die()
    let next = try #require(FakedEngine())
    next.sayReady()
    let rows = messages(next, until: .tableEnd).filter { $0.type == Self.row }
    #expect(rows.map(\.id) == [first] + held + [free])
    #expect(rows.first { $0.id == held[1] }?.state == "closed")
    end(module, next, [first, free] + held)
  }

  @Test("An engine without other forks is not taken for a hanging one while forks are held")
  func heldAlone() throws {
    let module = try LoadedModule("buffer=8\n[a]\nurl=wss://a.example/\nca_file=${CA}")
    let channel = try #require(fake_channel("PJSIP/100-1", 8000))
    pbx_builtin_setvar_helper(channel, "CA", "/own/1.pem")
    let first = try #require(module.start(channel, "a"))
    let engine = try replaceEngine(module)
    engine.sayEnded(first)
    #expect(!messages(engine, until: .tableEnd).isEmpty)
    let kills = fake_engine_kills()
    pbx_builtin_setvar_helper(channel, "CA", "/own/2.pem")
    let held = try #require(module.start(channel, "a"))
    usleep(3_500_000)
    #expect(fake_engine_kills() == kills)
    #expect(fact("State", of: held) == "starting")
    fake_hangup(channel)
    engine.die()
    let next = try #require(FakedEngine())
    next.sayReady()
    #expect(messages(next, until: .tableEnd).contains { $0.id == held && $0.state == "closed" })
    end(module, next, [held])
  }

  @Test(
    "An engine that is not confined after all is told of forks that were held for the next one, and is not replaced",
    arguments: ["not confined: the kernel has no Landlock, or it is switched off", ""])
  func unconfined(confinement: String) throws {
    let module = try LoadedModule("[a]\nurl=wss://a.example/\nca_file=${CA}")
    let channel = try #require(fake_channel("PJSIP/100-1", 8000))
    func start(_ file: String) throws -> String {
      pbx_builtin_setvar_helper(channel, "CA", file)
      return try #require(module.start(channel, "a"))
    }
    // Within 3 seconds of one replacement there is no other.
    let first = try start("/own/1.pem")
    module.engine.die()
    let next = try #require(FakedEngine())
    let held = try start("/own/2.pem")
    #expect(fact("State", of: held) == "starting")
    let before = restarts()
    next.sayReady(knows: .newestOfModule, confinement: confinement)
    var rows: Set<String> = []
    #expect(
      soon {
        while let message = next.next(within: 10) {
          if message.type == Self.row { rows.insert(message.id) }
        }
        return rows == [first, held]
      })
    let third = try start("/own/3.pem")
    #expect(messages(next, until: .fork).last?.id == third)
    for _ in 0..<2 {
      usleep(1_600_000)
      next.send(FieldWriter(.heartbeat).message)
    }
    #expect(restarts() == before)
    fake_hangup(channel)
    end(module, next, [first, held, third])
  }

  @Test("Only an engine that has announced that it leaves makes the next one serve for longer")
  func leavingAge() throws {
    let module = try LoadedModule()
    var engine = try replaceEngine(module)
    #expect(told?.leavingAge == 10)
    for (announces, age) in [(true, 20), (false, 20), (true, 40)] {
      if announces { engine.send(FieldWriter(.leaving).message) }
      engine.die()
      engine = try #require(FakedEngine())
      engine.sayReady()
      #expect(told?.leavingAge == age)
    }
    // One of an earlier release says neither CONFINEMENT nor LEAVING.
    engine.die()
    engine = try #require(FakedEngine())
    engine.sayReady(confinement: "")
    engine.die()
    engine = try #require(FakedEngine())
    engine.sayReady()
    #expect(told?.leavingAge == 80)
    end(module, engine)
  }

  @Test("Paths of the configuration for which there is no room are counted in a warning, at load and at reload")
  func tooManyPaths() throws {
    let folders = try Folders()
    func settings(_ folder: String) -> String {
      (0..<1030).map { "[p\($0)]\nurl=wss://a.example/\nca_file=\(folders.path)/\(folder)/\($0).pem\n" }.joined()
    }
    func warnings() -> [Substring] {
      FakedAsterisk.log.split(separator: "\n").filter { $0.contains("names too many files and folders") }
    }
    let before = warnings().count
    let module = try LoadedModule(settings("own/keys"))
    #expect(warnings().count == before + 1)
    #expect(warnings().last?.contains("told of 1024 of each kind, and may not open 6 further ones.") == true)
    #expect(af_reload() == 0)
    #expect(warnings().count == before + 2)
    end(module, module.engine)
    // In a folder that the engine may read as a whole there is no need to tell it of each.
    let other = try LoadedModule(settings("plain/keys"))
    #expect(warnings().count == before + 2)
    end(other, other.engine)
  }
}
