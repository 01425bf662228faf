// SPDX-License-Identifier: Apache-2.0
import AudioForkEngine
import AudioForkEngineTestKit
import AudioForkLink
import AudioForkSurface
import AudioForkTestKit
import AudioForkWireTestKit
import CAudioForkProcess
import Foundation
import Testing

/// `audiofork-engine` that confines itself, spawned as the module spawns it.
@Suite(
  "Confined engine", .serialized,
  .enabled(if: af_landlock_level() >= 3, "the kernel has no Landlock that limits truncate(2)"))
struct ConfinementRealTimeTests {
  /// Folders on a disk, and not in /dev/shm: the engine may write there.
  private final class Folders {
    let path: String
    /// As Asterisk's configuration is.
    var own: String { path + "/own" }
    /// Of no interest to the engine.
    var other: String { path + "/other" }
    var spool: String { path + "/spool" }

    init() throws {
      path = NSTemporaryDirectory() + "audiofork-confined-\(UInt64.random(in: 0...UInt64.max))"
      for folder in [own + "/keys", other, spool] {
        try FileManager.default.createDirectory(
          atPath: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
      }
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// Writes a file as editors do, by rename(2).
    @discardableResult
    func write(_ text: String, _ name: String) throws -> String {
      let file = "\(path)/\(name)"
      try Data(text.utf8).write(to: URL(fileURLWithPath: file + ".new"))
      try #require(rename(file + ".new", file) == 0)
      return file
    }
  }

  private let directory: ScratchFolder
  private let folders: Folders

  init() throws {
    directory = try ScratchFolder()
    folders = try Folders()
  }

  private func rules(files: [String] = [], spools: [String] = []) -> EngineRules {
    var rules = EngineRules()
    rules.runDirectory = Array(directory.path.utf8)
    rules.addPrivate(Array(folders.own.utf8))
    for path in files { _ = rules.add(Array(path.utf8), .file) }
    for path in spools { _ = rules.add(Array(path.utf8), .folder) }
    return rules
  }

  private func spawn(_ rules: EngineRules, etc: String? = nil) async throws -> SpawnedEngine {
    let engine = try SpawnedEngine(directory, rules: rules, etc: etc)
    engine.send(ModuleWriter.hello())
    try await eventually("it says what holds") { engine.logLines.contains { $0.contains("the AudioFork engine is ") } }
    return engine
  }

  private func leave(_ engine: SpawnedEngine) async throws {
    engine.closeLink()
    try await eventually("it leaves") { engine.exitStatus != nil }
  }

  /// The reason with which a fork ends that reads this ca_file.
  private func reason(_ engine: SpawnedEngine, ofReading file: String, _ id: String) async throws -> String {
    let call = try TestCall(
      in: directory, id: id, url: "wss://127.0.0.1:1/", options: "D(both)r(0)", settings: ["ca_file=\(file)"])
    engine.send(ModuleWriter.fork(id) + ModuleWriter.tableEnd())
    func ends() -> [LinkMessage] {
      engine.receive()
      return engine.messages.filter { $0.kind == .ended && $0.fields.text(.id, as: String.self) == id }
    }
    try await eventually("fork \(id) ends") { !ends().isEmpty }
    call.hangUp()
    return ends().first?.fields.text(.reason) ?? ""
  }

  /// The engine's process for look-ups; nil while it has none.
  private func nameProcess(_ engine: SpawnedEngine) -> pid_t? {
    let children = String(decoding: engine.file("task/\(engine.process)/children"), as: UTF8.self)
    return children.split(separator: " ").first.flatMap { pid_t($0) }
  }

  @Test("It says what holds, cannot gain privileges, filters system calls, and its process for look-ups ends with it")
  func says() async throws {
    let engine = try await spawn(rules())
    let line = try #require(engine.logLines.first)
    #expect(
      line.hasPrefix("the AudioFork engine is confined (Landlock \(af_landlock_level())): it writes only in /dev/shm;"))
    #expect(line.hasSuffix("starts no programs; opens no local sockets"))
    #expect(line == "the AudioFork engine is \(engine.text(.ready, .confinement) ?? "")")
    let status = String(decoding: engine.file("status"), as: UTF8.self)
    #expect(status.contains("NoNewPrivs:\t1") && status.contains("Seccomp:\t2"))
    let process = try #require(nameProcess(engine))
    func state() -> String? {
      try? String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8)
    }
    #expect(state()?.contains("Name:\taudiofork-names\n") == true)
    // Whoever looks for engines by their arguments finds the engine alone.
    let arguments = try Data(contentsOf: URL(fileURLWithPath: "/proc/\(process)/cmdline"))
    #expect(arguments.split(separator: 0).map { String(decoding: $0, as: UTF8.self) } == ["audiofork-names"])
    let open = try FileManager.default.contentsOfDirectory(atPath: "/proc/\(process)/fd").compactMap { Int($0) }
    #expect(open.allSatisfy { $0 <= 3 } && open.contains(3), "\(open)")
    // systemd tells all processes of the unit.
    kill(process, SIGTERM)
    try await leave(engine)
    #expect(engine.exitStatus == 0 && !directory.exists)
    try await eventually("the process for look-ups ends") { state().map { $0.contains("State:\tZ") } ?? true }
  }

  @Test("Files in Asterisk's folder and elsewhere are out of its reach, but for those that it is told of")
  func reads() async throws {
    let told = try folders.write("no certificate", "own/keys/told.pem")
    let secret = try folders.write("no certificate", "own/keys/secret.pem")
    let other = try folders.write("no certificate", "other/other.pem")
    let engine = try await spawn(rules(files: [told]))
    #expect(try await reason(engine, ofReading: told, "af-1").contains("holds no certificate in PEM form"))
    for (number, file) in [secret, other, "/etc/hostname"].enumerated() {
      let reason = try await reason(engine, ofReading: file, "af-1\(number)")
      #expect(reason.contains("\(file) cannot be read: Permission denied"), "\(reason)")
    }
    try await leave(engine)
    // Without rules, as with confine = no, it reads all of them.
    let another = try ScratchFolder()
    let free = try SpawnedEngine(another)
    free.send(ModuleWriter.hello())
    try await eventually("the engine is ready") { free.has(.ready) }
    #expect(nameProcess(free) == nil && free.logLines.isEmpty)
    free.closeLink()
    try await eventually("it leaves") { free.exitStatus != nil && !another.exists }
  }

  @Test("A file that is replaced is read again: beside others at once, in Asterisk's folder by the next engine")
  func replaced() async throws {
    let told = try folders.write("no certificate", "own/keys/told.pem")
    let beside = try folders.write("no certificate", "other/beside.pem")
    let rules = rules(files: [told, beside])
    let engine = try await spawn(rules)
    try folders.write("no certificate, but newer", "other/beside.pem")
    #expect(try await reason(engine, ofReading: beside, "af-1").contains("holds no certificate"))
    #expect(engine.exitStatus == nil)
    try folders.write("no certificate, but newer", "own/keys/told.pem")
    #expect(try await reason(engine, ofReading: told, "af-2").contains("cannot be read: Permission denied"))
    try await eventually(within: 15, "it leaves for the next one") { engine.exitStatus != nil }
    #expect(engine.logLines.contains { $0.contains("'\(told)' was replaced or made since it started") })
    let next = try await spawn(rules)
    #expect(try await reason(next, ofReading: told, "af-3").contains("holds no certificate"))
    try await leave(next)
  }

  @Test("It spools in the folder that it is told of, into another one not even where it may read")
  func spools() async throws {
    let file = try folders.write("", "other/file.pem")
    let server = try await TestServer.start()
    await server.stop()
    let engine = try await spawn(rules(files: [file], spools: [folders.spool]))
    var calls: [TestCall] = []
    for (id, folder) in [("af-good", folders.spool), ("af-bad", folders.other)] {
      calls.append(
        try TestCall(
          in: directory, id: id, url: "ws://127.0.0.1:\(server.port)/", options: "D(both)R(1)",
          settings: ["buffer=1", "spool=\(folder)"], bufferSeconds: 1))
      engine.send(ModuleWriter.fork(id))
    }
    engine.send(ModuleWriter.tableEnd())
    for second in 1...3 {
      for call in calls { try await call.speak(untilMilliseconds: Int64(second) * 1000) }
    }
    let spool = "\(folders.spool)/af-good.spool"
    try await eventually("one is spooled") { FileManager.default.fileExists(atPath: spool) }
    #expect(!FileManager.default.fileExists(atPath: "\(folders.other)/af-bad.spool"))
    let lines = engine.logLines
    #expect(lines.contains { $0.contains("\(folders.other)/af-bad.spool") }, "\(lines)")
    #expect(!lines.contains { $0.contains("af-good.spool") }, "\(lines)")
    engine.signal(SIGKILL)
    try await eventually("it is dead") { engine.exitStatus != nil }
  }

  @Test(
    "Names of a hosts file that is replaced by rename, and of a name server that resolv.conf names later, are found",
    .enabled(if: geteuid() == 0, "needs root"))
  func names() async throws {
    let etc = folders.path + "/etc"
    try FileManager.default.createDirectory(atPath: etc, withIntermediateDirectories: true)
    try folders.write("127.0.0.1 localhost\n", "etc/hosts")
    try folders.write("hosts: files dns\n", "etc/nsswitch.conf")
    try folders.write("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n", "etc/resolv.conf")
    let server = try await TestServer.start()
    let names = try FakeNameServer("127.86.53.1", answering: "asked.test")
    let engine = try await spawn(rules(), etc: etc)
    func connects(_ host: String, _ id: String) async throws {
      let call = try TestCall(
        in: directory, id: id, url: "ws://\(host):\(server.port)/", options: "D(both)R(1)", age: 200_000_000)
      call.speak(frames: 10)
      call.hangUp()
      let before = server.connections.count
      engine.send(ModuleWriter.fork(id, isClosed: true) + ModuleWriter.tableEnd())
      try await eventually("\(host) is found") { server.connections.count > before }
    }
    try await connects("localhost", "af-1")
    try folders.write("127.0.0.1 localhost renamed.test\n", "etc/hosts")
    try await connects("renamed.test", "af-2")
    try folders.write("nameserver 127.86.53.1\noptions timeout:1 attempts:1\n", "etc/resolv.conf")
    try await connects("asked.test", "af-3")
    #expect(names.questions > 0)
    try await leave(engine)
    await server.stop()
  }

  @Test("Without its process for look-ups it leaves, and the next engine has one")
  func nameProcessEnds() async throws {
    let engine = try await spawn(rules())
    let process = try #require(nameProcess(engine))
    kill(process, SIGKILL)
    try await eventually(within: 15, "it leaves for the next one") { engine.exitStatus != nil }
    #expect(engine.logLines.contains { $0.contains("its process for look-ups of names has ended") })
    #expect(engine.has(.leaving), "it says that it leaves by itself")
  }

  enum Cause: CaseIterable { case names, runDirectory, file }

  @Test(
    "After others that have left it serves for longer, at most 30 s without what all forks need, and warns",
    arguments: Cause.allCases)
  func waits(_ cause: Cause) async throws {
    let told = try folders.write("no certificate", "own/keys/told.pem")
    var rules = rules(files: [told])
    rules.leavingAge = 600
    // Asterisk's folder beside the run directory: the folder of both is not granted.
    if cause == .runDirectory { rules.addPrivate(Array("/dev/shm/audiofork-test-none".utf8)) }
    let engine = try await spawn(rules)
    let text: String
    switch cause {
    case .names:
      kill(try #require(nameProcess(engine)), SIGKILL)
      text = "its process for look-ups of names has ended."
    case .runDirectory:
      try FileManager.default.removeItem(atPath: directory.path)
      try FileManager.default.createDirectory(atPath: directory.path, withIntermediateDirectories: false)
      text = "'\(directory.path)' was replaced or made since it started, and it may not open the new one."
    case .file:
      try folders.write("no certificate, but newer", "own/keys/told.pem")
      text = "'\(told)' was replaced or made since it started, and it may not open the new one."
    }
    let age = cause == .file ? 600 : 30
    try await eventually(within: 10, "it warns") {
      engine.logLines.contains {
        $0.contains("cannot do all of its work: \(text)")
          && $0.contains("so this one does so \(age) seconds after its start")
      }
    }
    #expect(engine.exitStatus == nil)
    try await leave(engine)
  }

  @Test("It keeps a cursor, and removes cursor, ring and the instance's directory, as without rules")
  func ownFiles() async throws {
    let server = try await TestServer.start()
    let engine = try await spawn(rules())
    let call = try TestCall(in: directory, url: server.url)
    engine.send(ModuleWriter.fork(call.id) + ModuleWriter.tableEnd())
    try await call.speak(untilMilliseconds: 500)
    #expect(directory.names == ["af-test-1.cursor", "af-test-1.ring"])
    call.hangUp()
    try await eventually("the fork ends") { engine.has(.ended) }
    #expect(engine.text(.ended, .reason) == "done: all audio was delivered")
    #expect(server.connections.first?.carries(call.expected) == true)
    try await leave(engine)
    #expect(!directory.exists)
    await server.stop()
  }
}
