// SPDX-License-Identifier: Apache-2.0
import AudioForkEngine
import AudioForkEngineTestKit
import AudioForkLink
import AudioForkRing
import AudioForkTap
import AudioForkTestKit
import AudioForkWireTestKit
import CAudioForkABI
import Glibc
import Testing

/// `audiofork-engine` itself, spawned as the module spawns it.
@Suite("Engine process", .serialized)
struct EngineProcessRealTimeTests {
  /// An engine that is ready.
  private func spawn(_ directory: ScratchFolder, linkBufferBytes: CInt? = nil) async throws -> SpawnedEngine {
    let engine = try SpawnedEngine(directory, linkBufferBytes: linkBufferBytes)
    engine.send(ModuleWriter.hello())
    try await eventually("the engine is ready") { engine.has(.ready) }
    return engine
  }

  @Test("It says version and process, leads its own session and holds nothing that it inherited")
  func ready() async throws {
    let directory = try ScratchFolder()
    let engine = try await spawn(directory)
    #expect(engine.text(.ready, .version) == audioforkVersion)
    #expect(engine.messages.first?.fields.number(.processID) == UInt64(engine.process))
    let loops = engine.messages.first?.fields.number(.loops) ?? 0
    #expect((1...4).contains(loops))
    #expect(getsid(engine.process) == engine.process)
    // The link's end is closed again here, so the one at 9 would keep it open.
    engine.closeLink()
    try await eventually("it leaves without forks") { engine.exitStatus != nil }
    #expect(engine.exitStatus == 0)
    #expect(!directory.exists)
  }

  @Test("A configuration that names audiofork as the engine gets audiofork-engine, in the same process")
  func handedOver() async throws {
    let directory = try ScratchFolder()
    let engine = try SpawnedEngine(directory, program: "audiofork")
    engine.send(ModuleWriter.hello())
    try await eventually("the engine is ready") { engine.has(.ready) }
    #expect(engine.messages.first?.fields.number(.processID) == UInt64(engine.process))
    let name = String(decoding: engine.file("comm"), as: UTF8.self)
    #expect(name == "audiofork-engin\n") // The kernel keeps 15 bytes.
    engine.closeLink()
    try await eventually("it leaves without forks") { engine.exitStatus != nil }
    #expect(engine.exitStatus == 0)
    #expect(!directory.exists)
  }

  @Test("A codec library that cannot be loaded stops audiofork, and never an engine", arguments: [false, true])
  func brokenLibrary(isHandedOver: Bool) async throws {
    let directory = try ScratchFolder()
    let libraries = try ScratchFolder()
    let file = try #require(fopen(libraries.file("libsndfile.so.1"), "w"))
    fputs("no library", file)
    fclose(file)
    let engine = try SpawnedEngine(
      directory, program: isHandedOver ? "audiofork" : "audiofork-engine", libraries: libraries.path)
    engine.send(ModuleWriter.hello())
    try await eventually("it is ready or has ended") { engine.has(.ready) || engine.exitStatus != nil }
    // 127: the loader's.
    #expect(engine.exitStatus == (isHandedOver ? 127 : nil))
    engine.closeLink()
    try await eventually("it leaves") { engine.exitStatus != nil }
  }

  @Test("Killed by SIGSEGV it leaves no core file, whatever Asterisk's limit, even when the limit is raised again")
  func coreFiles() async throws {
    let directory = try ScratchFolder()
    var before = rlimit()
    getrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &before)
    // As Asterisk does with -g.
    var raised = rlimit(rlim_cur: before.rlim_max, rlim_max: before.rlim_max)
    setrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &raised)
    defer { setrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &before) }
    let isDumpedElsewhere = system("cd \(directory.path) && ulimit -c unlimited && kill -s SEGV $$") & 0x80 != 0
    for name in directory.names { unlink(directory.file(name)) }

    for raisesAgain in [false, true] {
      let engine = try await spawn(directory)
      let limits = String(decoding: engine.file("limits"), as: UTF8.self)
      #expect(limits.contains(#/Max core file size +0 +0 /#), "\(limits)")
      if raisesAgain {
        let raise = "prlimit --pid \(engine.process) --core=unlimited 2>/dev/null"
        guard isDumpedElsewhere, system(raise) == 0 else { return }
      }
      engine.signal(SIGSEGV)
      try await eventually("it is dead") { engine.exitStatus == 128 + SIGSEGV }
      #expect(!engine.hasDumpedCore, "limit raised again: \(raisesAgain)")
    }
  }

  @Test(
    "Another process of its user can read neither its environment nor its memory",
    .enabled(if: geteuid() == 0, "needs root"))
  func unreadable() async throws {
    let directory = try ScratchFolder()
    #expect(chown(directory.path, 65_534, 65_534) == 0)
    let engine = try SpawnedEngine(directory, user: 65_534)
    engine.send(ModuleWriter.hello())
    try await eventually("the engine is ready") { engine.has(.ready) }
    let reads = { (name: String, user: Int) in
      system("setpriv --reuid \(user) --clear-groups head -c 1 /proc/\(engine.process)/\(name) >/dev/null 2>&1") == 0
    }
    for name in ["environ", "maps"] { #expect(!reads(name, 65_534), "\(name)") }
    // What the module shows of it, and what ps shows.
    for name in ["stat", "statm", "cmdline"] { #expect(reads(name, 65_534), "\(name)") }
    #expect(reads("environ", 0))
  }

  @Test("Killed ten times in one call it misses nothing and repeats at most a second and a half each time")
  func killed() async throws {
    let directory = try ScratchFolder()
    let server = try await TestServer.start()
    let call = try TestCall(in: directory, url: server.url)
    for kill in 1...10 {
      let engine = try await spawn(directory)
      engine.send(ModuleWriter.fork(call.id) + ModuleWriter.tableEnd())
      try await call.speak(untilMilliseconds: Int64(kill) * 800 + Int64(kill * 37 % 200))
      engine.signal(SIGKILL)
      try await eventually("it is dead") { engine.exitStatus == 128 + SIGKILL }
    }
    let last = try await spawn(directory)
    last.send(ModuleWriter.fork(call.id) + ModuleWriter.tableEnd())
    try await call.speak(untilMilliseconds: 9000)
    call.hangUp()
    try await eventually("the fork ends") { last.has(.ended) }
    #expect(last.text(.ended, .reason) == "done: all audio was delivered")
    #expect(directory.names == [])
    let reception = Reception(server.connections, expected: call.expected)
    #expect(reception.isExact)
    #expect(reception.missing == 0)
    #expect(reception.repeats.count >= 8)
    #expect(reception.repeats.allSatisfy { $0 <= 12_000 }, "\(reception.repeats)")
    await server.stop()
  }

  @Test("RESTART ends it within a second, files left; the next one and the module's end deliver the rest")
  func restarted() async throws {
    let directory = try ScratchFolder()
    let server = try await TestServer.start()
    let call = try TestCall(in: directory, url: server.url)
    let first = try await spawn(directory)
    first.send(ModuleWriter.fork(call.id) + ModuleWriter.tableEnd())
    try await call.speak(untilMilliseconds: 800)
    let asked = af_now_ns()
    first.send(ModuleWriter.restart())
    try await eventually("it leaves") { first.exitStatus != nil }
    #expect(first.exitStatus == 0)
    #expect(af_now_ns() - asked < 1_000_000_000)
    #expect(directory.names == ["\(call.id).cursor", "\(call.id).ring"])

    let second = try await spawn(directory)
    second.send(ModuleWriter.fork(call.id) + ModuleWriter.tableEnd())
    try await call.speak(untilMilliseconds: 1600)
    let lock = open("\(directory.path)/lock", O_CREAT | O_RDWR | O_CLOEXEC, 0o600)
    flock(lock, LOCK_EX)
    // Asterisk is killed: the link goes, then the lock; no end of capture was marked.
    second.closeLink()
    try await Task.sleep(nanoseconds: 30_000_000)
    close(lock)
    try await eventually("it drains and leaves") { second.exitStatus != nil }
    #expect(second.exitStatus == 0)
    #expect(!directory.exists)
    let reception = Reception(server.connections, expected: call.expected)
    #expect(reception.isExact)
    #expect(reception.missing == 0)
    await server.stop()
  }

  @Test("SIGTERM while the module lives: it serves for two seconds more, and leaves; files are left")
  func terminatedAlone() async throws {
    let directory = try ScratchFolder()
    let server = try await TestServer.start()
    let call = try TestCall(in: directory, url: server.url)
    let engine = try await spawn(directory)
    engine.send(ModuleWriter.fork(call.id) + ModuleWriter.tableEnd())
    let asked = af_now_ns()
    engine.signal(SIGTERM)
    try await call.speak(untilMilliseconds: 1600)
    engine.signal(SIGTERM)
    #expect(server.connections.first?.closeCode == nil && engine.exitStatus == nil)
    try await eventually("it leaves") { engine.exitStatus != nil }
    #expect(engine.exitStatus == 0)
    #expect((2_000_000_000...3_500_000_000).contains(af_now_ns() - asked))
    engine.receive()
    #expect(!engine.has(.ended))
    #expect(directory.names == ["\(call.id).cursor", "\(call.id).ring"])
    await server.stop()
  }

  @Test(
    "SIGTERM for Asterisk and engine at once, and again to what is left: all that was captured is delivered",
    arguments: [false, true])
  func terminatedWithAsterisk(isSlow: Bool) async throws {
    let directory = try ScratchFolder()
    let server = try await TestServer.start()
    // The server comes when Asterisk has ended.
    let call = try TestCall(in: directory, url: server.url, drainSeconds: 10)
    let port = server.port
    await server.stop()
    let engine = try await spawn(directory)
    engine.send(ModuleWriter.fork(call.id) + ModuleWriter.tableEnd())
    try await call.speak(untilMilliseconds: 800)
    engine.signal(SIGTERM)
    // As systemd does it: Asterisk has its channels hang up, for longer than two seconds at times.
    if isSlow { engine.send(ModuleWriter.stopping()) }
    try await call.speak(untilMilliseconds: isSlow ? 4000 : 1600)
    #expect(engine.exitStatus == nil)
    engine.closeLink()
    try await Task.sleep(for: .milliseconds(100))
    for _ in 1...2 { engine.signal(SIGTERM) }
    try await Task.sleep(for: .milliseconds(500))
    #expect(engine.exitStatus == nil)
    let back = try await TestServer.start(port: port)
    try await eventually("it drains and leaves") { engine.exitStatus != nil }
    #expect(engine.exitStatus == 0)
    #expect(!directory.exists)
    let reception = Reception(back.connections, expected: call.expected)
    #expect(reception.isExact)
    #expect(reception.missing == 0)
    await back.stop()
  }

  @Test("RESTART ends it within a second whatever the servers do, and while a fork waits for a cursor that is held")
  func restartedAmongBadServers() async throws {
    let directory = try ScratchFolder()
    let stalled = try await TestServer.start(.stall, receiveBufferBytes: 4096)
    let silent = try await TestServer.start(.silent)
    let deaf = try await TestServer.start(.ignoreClose)
    let calls = try [
      ("stalled", stalled.url), ("silent", silent.url), ("deaf", deaf.url), ("refused", "ws://127.0.0.1:1/"),
      ("held", deaf.url),
    ].map { try TestCall(in: directory, id: $0.0, url: $0.1, age: 8000 * millisecond) }
    for call in calls { call.speak(frames: 400) }
    let holder = try CursorFile(path: "\(directory.path)/held.cursor")
    defer { holder.close() }
    let engine = try await spawn(directory)
    for call in calls { engine.send(ModuleWriter.fork(call.id)) }
    engine.send(ModuleWriter.tableEnd())
    try await eventually("two get audio") {
      deaf.connections.first?.audio.isEmpty == false && stalled.connections.count == 1
    }
    calls[2].hangUp()
    try await eventually("its Close waits for an answer") { deaf.connections.first?.closeCode == 1000 }
    let asked = af_now_ns()
    engine.send(ModuleWriter.restart())
    try await eventually("it leaves") { engine.exitStatus != nil }
    #expect(engine.exitStatus == 0)
    #expect(af_now_ns() - asked < 1_500_000_000, "a second, and half of one for a busy machine")
    engine.receive()
    #expect(!engine.has(.ended), "the forks go on in the next engine")
    #expect(directory.names == calls.flatMap { ["\($0.id).cursor", "\($0.id).ring"] }.sorted())
    for server in [stalled, silent, deaf] { await server.stop() }
  }

  @Test(
    "When the module is gone, servers that never acknowledge are given their drain and no more, and the end says so")
  func drainedAmongBadServers() async throws {
    let directory = try ScratchFolder()
    let stalled = try await TestServer.start(.stall, receiveBufferBytes: 4096)
    let silent = try await TestServer.start(.silent)
    let deaf = try await TestServer.start(.ignoreClose)
    let calls = try [("stalled", stalled.url), ("silent", silent.url), ("deaf", deaf.url)].map {
      try TestCall(in: directory, id: $0.0, url: $0.1, drainSeconds: 2, age: 10_000 * millisecond, bufferSeconds: 20)
    }
    for call in calls { call.speak(frames: 500) }
    let engine = try await spawn(directory)
    for call in calls { engine.send(ModuleWriter.fork(call.id)) }
    engine.send(ModuleWriter.tableEnd())
    try await eventually("all are connected") { [stalled, silent, deaf].allSatisfy { $0.connections.count == 1 } }
    let asked = af_now_ns()
    engine.shutdownLink()
    try await eventually("it closes its end") { !engine.receive() }
    // Two seconds of drain, one and a half for the answer to a Close, the rest for a busy machine.
    #expect(af_now_ns() - asked < 6_000_000_000)
    try await eventually("it leaves") { engine.exitStatus != nil }
    #expect(engine.exitStatus == 0)
    var reasons: [String: String] = [:]
    for message in engine.messages where message.kind == .ended {
      let words: [[UInt8]] = [LinkField.id, .reason].map { message.fields.bytes($0) ?? [] }
      reasons[String(decoding: words[0], as: UTF8.self)] = String(decoding: words[1], as: UTF8.self)
    }
    #expect(reasons.count == 3)
    #expect(reasons["stalled"]?.contains(#/^drain: [1-9][0-9]* ms undelivered/#) == true, "\(reasons)")
    #expect(reasons["silent"]?.contains(#/^drain: [1-9][0-9]{3,} ms undelivered/#) == true, "\(reasons)")
    #expect(reasons["deaf"] == "done: all audio was delivered")
    #expect(deaf.connections.first?.carries(calls[2].expected) == true)
    #expect(!directory.exists)
    for server in [stalled, silent, deaf] { await server.stop() }
  }

  @Test("A module that unloads and is slow to read still hears of every fork's end")
  func slowModule() async throws {
    let directory = try ScratchFolder()
    let engine = try await spawn(directory, linkBufferBytes: 4608)
    let ids = (0..<60).map { "af-\($0)" }
    // Their rings are missing: each ends at once, with a line and a reason.
    for id in ids { engine.send(ModuleWriter.fork(id)) }
    engine.shutdownLink()
    try await Task.sleep(nanoseconds: 500_000_000)
    try await eventually("it closes its end") { !engine.receive() }
    #expect(engine.messages.filter { $0.kind == .ended }.count == ids.count)
    try await eventually("it leaves") { engine.exitStatus != nil }
    #expect(engine.exitStatus == 0)
  }

  @Test("What the link had not taken when the engine was told to stop is left to the next one, files and all")
  func untaken() async throws {
    let directory = try ScratchFolder()
    let engine = try await spawn(directory, linkBufferBytes: 4608)
    // Nobody listens, and one attempt is all: each ends at once.
    let calls = try (0..<60).map {
      try TestCall(in: directory, id: "af-\($0)", url: "ws://127.0.0.1:1/", options: "D(both)r(0)", bufferSeconds: 1)
    }
    for call in calls { engine.send(ModuleWriter.fork(call.id)) }
    engine.send(ModuleWriter.tableEnd())
    try await Task.sleep(nanoseconds: 1_000_000_000)
    engine.send(ModuleWriter.restart())
    try await eventually("it leaves") { engine.exitStatus != nil }
    #expect(engine.exitStatus == 0)
    engine.receive()
    let ended = engine.messages.filter { $0.kind == .ended }
      .compactMap { $0.fields.text(.id, as: String.self) }
    #expect(ended.count < calls.count, "the link took everything: nothing was tried here")
    let rings = directory.names.filter { $0.hasSuffix(".ring") }.map { String($0.dropLast(5)) }
    // What was in the midst of being written when it left counts as untaken too.
    #expect(Set(rings).union(ended) == Set(calls.map(\.id)))
    #expect(Set(rings).intersection(ended).count <= 1)
  }

  @Test("A module that unloads is answered at once, and keeps its locked directory")
  func unloaded() async throws {
    let directory = try ScratchFolder()
    let lock = open("\(directory.path)/lock", O_CREAT | O_RDWR | O_CLOEXEC, 0o600)
    flock(lock, LOCK_EX)
    let engine = try await spawn(directory)
    engine.shutdownLink()
    let asked = af_now_ns()
    try await eventually("it closes its end") { !engine.receive() }
    #expect(af_now_ns() - asked < 500_000_000)
    try await eventually("it leaves") { engine.exitStatus != nil }
    #expect(engine.exitStatus == 0)
    #expect(directory.names == ["lock"])
    close(lock)
  }

  @Test(
    "A module that unloads while the engine starts is answered at once too, and its fork is ended",
    arguments: [0, 1, 2, 3, 5, 8] as [UInt64])
  func unloadedAtOnce(milliseconds: UInt64) async throws {
    let directory = try ScratchFolder()
    let engine = try SpawnedEngine(directory)
    // Its ring is missing, so that it ends as soon as the engine knows it.
    engine.send(ModuleWriter.hello() + ModuleWriter.fork("af-1") + ModuleWriter.tableEnd())
    try await Task.sleep(nanoseconds: milliseconds * 1_000_000)
    engine.shutdownLink()
    let asked = af_now_ns()
    try await eventually("it closes its end") { !engine.receive() }
    #expect(af_now_ns() - asked < 800_000_000)
    #expect(engine.has(.ready) && engine.has(.ended))
    try await eventually("it leaves") { engine.exitStatus != nil }
    #expect(engine.exitStatus == 0)
  }

  @Test("Nonsense on the link is logged and ends it with a failure, so that the module starts another")
  func brokenLink() async throws {
    let directory = try ScratchFolder()
    let engine = try await spawn(directory)
    engine.send([0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0])
    try await eventually("it leaves") { engine.exitStatus != nil }
    #expect(engine.exitStatus == 1)
    #expect(engine.has(.log))
    #expect(engine.text(.log, .text)?.contains("the link carried a message of 4294967295 bytes") == true)
    #expect(directory.exists)
  }

  @Test("A fork for which the engine has no descriptor waits for one, and its audio with it")
  func noDescriptors() async throws {
    let directory = try ScratchFolder()
    let server = try await TestServer.start()
    let engine = try await spawn(directory)
    // Whatever is open stays open; nothing more can be opened.
    try #require(system("prlimit --pid \(engine.process) --nofile=3:4096") == 0)
    let call = try TestCall(in: directory, url: server.url)
    engine.send(ModuleWriter.fork(call.id) + ModuleWriter.tableEnd())
    try await call.speak(untilMilliseconds: 1200)
    try await eventually("it says so") { engine.has(.log) }
    #expect(engine.text(.log, .text)?.hasSuffix("it is tried again") == true)
    #expect(!engine.has(.ended))
    try #require(system("prlimit --pid \(engine.process) --nofile=1024:4096") == 0)
    try await call.speak(untilMilliseconds: 1500)
    call.hangUp()
    try await eventually("the fork ends") { engine.has(.ended) }
    #expect(engine.text(.ended, .reason) == "done: all audio was delivered")
    #expect(server.connections.first?.carries(call.expected) == true)
    #expect(engine.messages.filter { $0.kind == .log }.count == 1)
    engine.closeLink()
    try await eventually("it leaves") { engine.exitStatus != nil }
    await server.stop()
  }
}
