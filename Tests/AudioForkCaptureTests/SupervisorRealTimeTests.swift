// SPDX-License-Identifier: Apache-2.0
import AudioForkCapture
import AudioForkLink
import AudioForkSurface
import CAsterisk
import Foundation
import Synchronization
import Testing

/// A CLI command on a thread of its own, since it waits for what the test does meanwhile.
private final class WaitingCommand: Sendable {
  private let kept = Mutex<String?>(nil)
  var answer: String? { kept.withLock { $0 } }

  init(_ line: String) {
    Thread { [self] in
      let answer = CaptureRealTimeTests.cli(line)
      kept.withLock { $0 = answer }
    }.start()
  }
}

/// How the module replaces, ends and misses its engine.
extension CaptureRealTimeTests {
  /// The types of the messages that come, up to the first one of kind `last`.
  private func types(_ engine: FakedEngine, until last: LinkMessageKind) -> [UInt16] {
    var types: [UInt16] = []
    while let message = engine.next(within: 2000) {
      types.append(message.type)
      if message.type == last.rawValue { break }
    }
    return types
  }

  private func restarted() -> WaitingCommand { WaitingCommand("audiofork engine restart") }

  @Test("An engine that knows RESTART is asked by message, an older one by SIGTERM; the CLI says that a new one serves")
  func restartRequest() throws {
    let asterisk = try #require(FakedAsterisk.load())
    var engine = try #require(FakedEngine())
    let before = fake_engine_terminations()
    for (knows, terminations) in [(LinkMessageKind.newestOfModule, 0), (nil, 1)] as [(LinkMessageKind?, Int32)] {
      engine.sayReady(process: 11, knows: knows)
      #expect(soon { Self.cli("audiofork show engine").contains("Process: 11\n") })
      let command = restarted()
      if knows != nil {
        #expect(types(engine, until: .restart).last == LinkMessageKind.restart.rawValue)
      } else {
        #expect(soon { fake_engine_terminations() == before + 1 })
      }
      #expect(fake_engine_terminations() == before + terminations)
      engine.die()
      engine = try #require(FakedEngine())
      usleep(100_000)
      #expect(command.answer == nil, "the new one is not ready yet")
      engine.sayReady(process: 12, knows: .newestOfModule)
      #expect(soon { command.answer != nil })
      #expect(
        command.answer?.hasSuffix("\nA new engine serves: process 12.\n") == true, "\(command.answer ?? "nothing")")
      #expect(soon { fake_module_references() == 0 }, "the command holds the module no more")
      engine.die()
      engine = try #require(FakedEngine())
    }
    #expect(FakedAsterisk.log.contains("has left as it was asked to"))
    engine.die()
    #expect(asterisk.unload())
  }

  @Test(
    "An engine that does not leave is killed after three seconds, and can be replaced again", arguments: [true, false])
  func restartOfHangingEngine(isReady: Bool) throws {
    let asterisk = try #require(FakedAsterisk.load())
    var engine = try #require(FakedEngine())
    for _ in 1...(isReady ? 2 : 1) {
      if isReady {
        engine.sayReady(process: 11, knows: .newestOfModule)
        #expect(soon { Self.cli("audiofork show engine").contains("Process: 11\n") })
      }
      let kills = fake_engine_kills()
      let began = ContinuousClock.now
      let command = restarted()
      let hanging = engine
      engine = try #require(FakedEngine(within: 5000))
      #expect((2.5...4.5).contains((ContinuousClock.now - began) / .seconds(1)))
      #expect(fake_engine_kills() == kills + 1)
      engine.sayReady(process: 12, knows: .newestOfModule)
      #expect(soon { command.answer?.hasSuffix("A new engine serves: process 12.\n") == true })
      hanging.die()
      engine.die()
      engine = try #require(FakedEngine())
    }
    #expect(FakedAsterisk.log.contains("was asked to leave and has not within 3 seconds; killed"))
    engine.die()
    #expect(asterisk.unload())
  }

  @Test("A restart without an engine, or with one that cannot be started, ends in one or in an error")
  func restartInVain() throws {
    let asterisk = try #require(FakedAsterisk.load())
    let first = try #require(FakedEngine())
    first.sayReady(knows: .newestOfModule)
    fake_fail_spawn(ENOENT)
    defer { fake_fail_spawn(0) }
    let command = restarted()
    #expect(types(first, until: .restart).last == LinkMessageKind.restart.rawValue)
    first.die()
    #expect(
      soon { command.answer?.contains("\nThere is no new engine: the engine /bin/true cannot be started: ") == true })
    // The waits between attempts grow; a restart does not wait.
    usleep(1_500_000)
    fake_fail_spawn(0)
    let began = ContinuousClock.now
    let second = restarted()
    let engine = try #require(FakedEngine())
    #expect(ContinuousClock.now - began < .milliseconds(500))
    engine.die()
    #expect(soon { second.answer?.contains("engine ended before it was ready") == true })
    let third = restarted()
    let last = try #require(FakedEngine())
    last.sayReady(process: 13)
    #expect(soon { third.answer?.hasSuffix("A new engine serves: process 13.\n") == true })
    last.die()
    #expect(asterisk.unload())
  }

  @Test("A restart that is asked for when an engine is about to be started is fulfilled by that engine")
  func restartWhileStarting() throws {
    let asterisk = try #require(FakedAsterisk.load())
    let first = try #require(FakedEngine())
    first.sayReady(knows: .newestOfModule)
    #expect(soon { Self.cli("audiofork show engine").contains("Process: ") })
    // Asterisk's exit, which the test calls off, delays the next engine by a second.
    fake_shutdown(2)
    defer { fake_shutdown(0) }
    let spawned = fake_engines_spawned()
    first.die()
    #expect(soon { FakedAsterisk.log.contains("Asterisk is shutting down, so no other one is started") })
    usleep(200_000)
    fake_shutdown(0)
    // The control thread waits for this lock in the turn in which it starts the engine.
    af_directory_lock()
    usleep(1_200_000)
    let command = restarted()
    // The command holds the module right before its request is recorded.
    #expect(soon { fake_module_references() > 0 })
    usleep(300_000)
    af_directory_unlock()
    let engine = try #require(FakedEngine())
    engine.sayReady(process: 21, knows: .newestOfModule)
    #expect(soon { command.answer?.hasSuffix("\nA new engine serves: process 21.\n") == true })
    #expect(fake_engines_spawned() == spawned + 1)
    #expect(engine.next(within: 200).map { $0.type != LinkMessageKind.restart.rawValue } != false)
    engine.die()
    #expect(asterisk.unload())
  }

  @Test("While Asterisk is shutting down the engine is told, and a new one is started for forks at work alone")
  func shutdown() throws {
    let asterisk = try #require(FakedAsterisk.load())
    var engine = try #require(FakedEngine())
    engine.sayReady(knows: .newestOfModule)
    let channel = try #require(fake_channel("PJSIP/100-1", 8000))
    let id = try startedFork(channel)
    defer { fake_shutdown(0) }
    fake_shutdown(1)
    #expect(types(engine, until: .stopping).last == LinkMessageKind.stopping.rawValue)
    engine.die()
    engine = try #require(FakedEngine())
    engine.sayReady(knows: .newestOfModule)
    #expect(types(engine, until: .stopping).contains(LinkMessageKind.fork.rawValue))
    fake_hangup(channel)
    engine.sayEnded(id)
    #expect(soon { fake_module_references() == 0 })
    let spawned = fake_engines_spawned()
    engine.die()
    #expect(soon { FakedAsterisk.log.contains("Asterisk is shutting down, so no other one is started") })
    usleep(1_300_000)
    #expect(fake_engines_spawned() == spawned)
    // A shutdown may be cancelled.
    fake_shutdown(0)
    engine = try #require(FakedEngine())
    engine.sayReady(knows: .newestOfModule)
    let other = try #require(fake_channel("PJSIP/100-2", 8000))
    let otherID = try startedFork(other)
    #expect(types(engine, until: .fork).contains(LinkMessageKind.fork.rawValue))
    fake_shutdown(2)
    let before = fake_engines_spawned()
    engine.die()
    usleep(300_000)
    #expect(fake_engines_spawned() == before, "Asterisk exits: what is left is for the next one")
    fake_shutdown(0)
    engine = try #require(FakedEngine())
    engine.sayReady()
    fake_hangup(other)
    engine.sayEnded(otherID)
    #expect(soon { fake_module_references() == 0 })
    engine.die()
    #expect(asterisk.unload())
  }

  @Test("Forks that were let go while the link was full are forgotten by the engine later")
  func forgotten() throws {
    let asterisk = try #require(FakedAsterisk.load())
    let engine = try #require(FakedEngine())
    engine.sayReady(knows: .newestOfModule)
    let channel = try #require(fake_channel("PJSIP/100-1", 8000))
    var live: Set<String> = []
    for _ in 0..<1800 {
      live.insert(try startedFork(channel))
      if live.count % 100 == 0 { engine.send(FieldWriter(.heartbeat).message) }
    }
    fake_hangup(channel)
    // Nothing has been read: the link is full of rows when the forks end.
    for (number, id) in live.enumerated() {
      if number % 100 == 0 { engine.send(FieldWriter(.heartbeat).message) }
      engine.sayEnded(id)
    }
    #expect(soon(within: 10) { fake_module_references() == 0 })
    var forgotten: Set<String> = []
    while let message = engine.next(within: 1000) {
      if message.type == Self.forget { forgotten.insert(message.id) }
    }
    #expect(live.count == 1800 && forgotten == live, "\(forgotten.count) of \(live.count)")
    engine.die()
    #expect(asterisk.unload())
  }

  @Test("Engines that were killed are waited for without holding anything up, and the lack of pidfds is said once")
  func killedEngines() throws {
    fake_fail_pidfd(ENOSYS)
    defer { fake_fail_pidfd(0) }
    let lines = { FakedAsterisk.log.components(separatedBy: "cannot get a pidfd (pidfd_open: ").count - 1 }
    let before = lines()
    let asterisk = try #require(FakedAsterisk.load())
    var engine = try #require(FakedEngine())
    engine.sayReady()
    fake_engines_live(20)
    engine.die()
    let began = ContinuousClock.now
    engine = try #require(FakedEngine())
    engine.sayReady()
    #expect(ContinuousClock.now - began < .milliseconds(300))
    // Looked for every 20 ms.
    #expect(soon { fake_engines_living() == 0 })
    #expect(lines() == before + 1)
    engine.die()
    #expect(asterisk.unload())
  }

  @Test("A run directory that systemd removes is told at load")
  func runtimeDirectory() throws {
    let lines = { FakedAsterisk.log.components(separatedBy: "which systemd removes when Asterisk stops").count - 1 }
    let before = lines()
    defer { unsetenv("RUNTIME_DIRECTORY") }
    for (folders, count) in [("/run/other:/dev/shm", 1), ("/run/other:/dev/sh", 1), ("", 1)] {
      setenv("RUNTIME_DIRECTORY", folders, 1)
      let asterisk = try #require(FakedAsterisk.load())
      try #require(FakedEngine()).die()
      #expect(asterisk.unload())
      #expect(lines() == before + count, "\(folders)")
    }
  }

  @Test("Rows whose engine is silent or missing say so, and their lag grows; one that speaks again ends it")
  func silentEngine() throws {
    let asterisk = try #require(FakedAsterisk.load("buffer=30"))
    let engine = try #require(FakedEngine())
    engine.sayReady()
    let channel = try #require(fake_channel("PJSIP/100-1", 8000))
    let id = try startedFork(channel)
    engine.sayState(id, "streaming")
    func fact(_ name: String) -> String {
      Self.cli("audiofork show fork \(id)").split(separator: "\n").map(String.init)
        .first { $0.hasPrefix("\(name): ") }.map { String($0.dropFirst(name.count + 2)) } ?? "none"
    }
    #expect(soon { fact("State") == "streaming" })
    let samples = [Int16](repeating: 1, count: 160)
    // The module kills this one after three seconds; none of them says anything about the fork.
    for round in 0..<45 {
      fake_frame(channel, AST_AUDIOHOOK_DIRECTION_READ, samples, 160)
      if round < 20 { #expect(fact("State") == "streaming" && fact("Lag") == "0") }
      usleep(100_000)
    }
    #expect(fact("State") == "no-engine")
    #expect(fact("Reason").hasPrefix("engine: no report for "))
    let lag = try #require(Int(fact("Lag")))
    #expect((4000...6000).contains(lag), "\(lag)")
    #expect(Int(fact("Undelivered")) ?? 0 >= lag && fact("Captured") == "\(45 * 160)")
    #expect(Self.cli("audiofork list").contains(" no-engine"))
    #expect(Self.cli("audiofork show forks").contains(" no-engine "))
    #expect(Self.blocks(Self.action("Action: AudioForks")).contains { $0["State"] == "no-engine" })
    #expect(Self.taken(fake_function(channel, "\(id),state", 100)) == "no-engine")

    engine.die()
    fake_fail_spawn(ENOENT)
    defer { fake_fail_spawn(0) }
    var next = try #require(FakedEngine())
    next.sayReady()
    #expect(soon { fact("State") == "streaming" }, "the new one has spoken")
    next.die()
    #expect(soon { fact("Reason") == "engine: cannot be started; see Asterisk's log, then 'audiofork engine restart'" })
    fake_fail_spawn(0)
    next = try #require(FakedEngine(within: 5000))
    next.sayReady()
    #expect(soon { fact("State") == "streaming" && fact("Lag") == "0" })
    fake_hangup(channel)
    next.sayEnded(id)
    #expect(soon { fake_module_references() == 0 })
    next.die()
    #expect(asterisk.unload())
  }
}
