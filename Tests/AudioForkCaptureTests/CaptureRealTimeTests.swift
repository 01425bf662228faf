// SPDX-License-Identifier: Apache-2.0
import AudioForkMedia
import AudioForkLink
import AudioForkRing
import AudioForkTestKit
import CAsterisk
import Foundation
import Testing

@Suite("The capture module against a faked Asterisk", .serialized)
struct CaptureRealTimeTests {
  /// Types of messages as the module sends them.
  static let hello = LinkMessageKind.hello.rawValue
  static let fork = LinkMessageKind.fork.rawValue
  static let tableEnd = LinkMessageKind.tableEnd.rawValue
  static let forget = LinkMessageKind.forget.rawValue

  /// Loads the module and greets its engine.
  private func loaded(_ settings: String = "buffer=1") throws -> (FakedAsterisk, FakedEngine) {
    let asterisk = try #require(FakedAsterisk.load(settings))
    let engine = try #require(FakedEngine())
    #expect(engine.next()?.type == Self.hello)
    engine.sayReady()
    return (asterisk, engine)
  }

  @Test(
    """
    Loading registers two applications, a function, the CLI and five AMI actions; unloading takes them back and ends \
    the engine
    """
  )
  func loadAndUnload() throws {
    for _ in 0..<20 {
      let (asterisk, engine) = try loaded()
      #expect(fake_registrations() == 9)
      // An engine that goes as it is told, on a thread that has it to itself.
      nonisolated(unsafe) let leaving = engine
      Thread {
        _ = leaving.isClosed()
        leaving.die()
      }.start()
      #expect(asterisk.unload())
      #expect(fake_registrations() == 0)
    }
  }

  @Test("A load that fails half-way undoes itself, and the next one succeeds", arguments: 1...9)
  func failingRegistration(number: Int32) throws {
    fake_fail_registration(number)
    #expect(FakedAsterisk.load() == nil)
    #expect(fake_registrations() == 0)
    let (asterisk, engine) = try loaded()
    engine.die()
    #expect(asterisk.unload())
  }

  @Test("Another release of Asterisk is declined, another packaging of the same one is not")
  func releases() throws {
    fake_configuration(nil)
    for version in ["22.10.2", "16.28.0~dfsg-0+deb11u4", "22.10.10", "GIT-master-1234", ""] {
      fake_version(version)
      #expect(af_load() != 0, "\(version)")
    }
    #expect(FakedAsterisk.log.contains("it was built for Asterisk 22.10.1 and this is 16.28.0"))
    let (asterisk, engine) = try loaded()
    engine.die()
    #expect(asterisk.unload())
  }

  @Test("A fork's row, samples and end reach the engine, and nothing is left")
  func wholeLife() throws {
    let (asterisk, engine) = try loaded()
    let channel = fake_channel("PJSIP/100-1", 8000)
    #expect(af_exec_start(channel, "ws://bob:secret@host:9/x,D(in)i(FORK)") == 0)
    #expect(FakedAsterisk.variable(channel, "AUDIOFORKSTATUS") == "SUCCESS")
    let id = try #require(FakedAsterisk.variable(channel, "FORK"))
    #expect(engine.next()?.type == Self.tableEnd)
    let row = try #require(engine.next())
    #expect(row == (Self.fork, id, "live"))
    #expect(!FakedAsterisk.log.contains("secret"))

    let path = asterisk.runDirectory + "/" + (try #require(asterisk.forkFiles.first))
    let reader = try RingReader(path: path)
    #expect(reader.facts.settings.urls.first == Array("ws://bob:secret@host:9/x".utf8))
    #expect(reader.facts.channel == "PJSIP/100-1")
    let said = (0..<160).map { Int16($0 + 1) }
    fake_frame(channel, AST_AUDIOHOOK_DIRECTION_READ, said, 160)
    fake_frame(channel, AST_AUDIOHOOK_DIRECTION_WRITE, said, 160)
    var samples: [Int16] = []
    guard case .entry(let entry) = reader.read(0, into: &samples) else {
      Issue.record("no entry")
      return
    }
    #expect(Array(samples.prefix(entry.count)) == said)
    #expect(entry.direction == .in)
    #expect(reader.published == 1, "D(in) must not capture what the party hears")

    #expect(af_unload() != 0)
    #expect(FakedAsterisk.log.contains("1 fork is still live; end them with 'audiofork stop <channel>'"))
    fake_hangup(channel)
    #expect(reader.closedAt != nil)
    let last = try #require(engine.next())
    #expect(last == (Self.fork, id, "closed"))
    engine.sayEnded(id)
    #expect(soon { fake_module_references() == 0 })
    #expect(asterisk.forkFiles.isEmpty)
    engine.die()
    #expect(asterisk.unload())
  }

  @Test("A new engine within half a second of the old one's death, and it hears of every live fork")
  func engineDeath() throws {
    let (asterisk, first) = try loaded()
    var engine = first
    let channels = (0..<30).map { fake_channel("PJSIP/\($0)", 8000) }
    for channel in channels { _ = af_exec_start(channel, "ws://host/,i(FORK)") }
    let ids = Set(channels.compactMap { FakedAsterisk.variable($0, "FORK") })
    #expect(ids.count == 30)
    for _ in 0..<10 {
      engine.die()
      let clock = ContinuousClock()
      let died = clock.now
      let next = try #require(FakedEngine())
      engine = next
      #expect(clock.now - died < .milliseconds(500))
      #expect(engine.next()?.type == Self.hello)
      engine.sayReady()
      var announced = Set<String>()
      while let message = engine.next(), message.type == Self.fork { announced.insert(message.id) }
      #expect(announced == ids)
      #expect(engine.settingsCount == 1, "each engine hears what is allowed, also where nothing is set")
    }
    for channel in channels { fake_hangup(channel) }
    for id in ids { engine.sayEnded(id) }
    #expect(soon { fake_module_references() == 0 })
    engine.die()
    #expect(asterisk.unload())
  }

  @Test("Only an engine that dies before it was ready is waited for longer and longer, and is complained of once")
  func backoff() throws {
    let asterisk = try #require(FakedAsterisk.load())
    let clock = ContinuousClock()
    var waits: [Duration] = []
    for _ in 0..<5 {
      let engine = try #require(FakedEngine(within: 5000))
      let before = fake_engines_spawned()
      let died = clock.now
      engine.die()
      #expect(soon { fake_engines_spawned() > before })
      waits.append(clock.now - died)
    }
    #expect(waits.last ?? .zero > .milliseconds(250), "\(waits)")
    #expect(waits.first ?? .zero < .milliseconds(200), "\(waits)")
    #expect(FakedAsterisk.log.components(separatedBy: "ended before it was ready").count <= 3)
    #expect(asterisk.unload())
  }

  @Test("When the engine ends a fork in mid-call its hook leaves at the next frame")
  func endedByEngine() throws {
    let (asterisk, engine) = try loaded()
    let channel = fake_channel("PJSIP/100-1", 8000)
    _ = af_exec_start(channel, "ws://host/,i(FORK)")
    let id = try #require(FakedAsterisk.variable(channel, "FORK"))
    #expect(fake_hooks(channel) == 1)
    #expect(mappings.contains("\(id).ring"))
    _ = engine.next()
    engine.sayEnded(id)
    let silence = [Int16](repeating: 0, count: 160)
    #expect(
      soon {
        fake_frame(channel, AST_AUDIOHOOK_DIRECTION_READ, silence, 160)
        return fake_hooks(channel) == 0
      })
    // The control thread looks at its rows once a second while there are some.
    #expect(soon { asterisk.forkFiles.isEmpty })
    #expect(soon { fake_module_references() == 1 }, "the channel's datastore holds the last one")
    // The ring's memory goes at once, not with the channel.
    #expect(soon { !mappings.contains("\(id).ring") })
    #expect(af_unload() != 0)
    #expect(FakedAsterisk.log.contains("1 fork is over, but a channel that had one still lives"))
    fake_hangup(channel)
    #expect(soon { fake_module_references() == 0 })
    engine.die()
    #expect(asterisk.unload())
  }

  @Test("A ring, whose header holds passwords and tokens, is left out of Asterisk's core files")
  func coreFiles() throws {
    let (asterisk, engine) = try loaded()
    let channel = fake_channel("PJSIP/100-1", 8000)
    _ = af_exec_start(channel, "ws://host/,i(FORK)")
    let id = try #require(FakedAsterisk.variable(channel, "FORK"))
    // proc_pid_smaps(5): dd, "do not include area into core dump".
    let lines = processFile("/proc/self/smaps").split(separator: "\n")
    let ring = lines.firstIndex { $0.hasSuffix("\(id).ring") }
    let flags = ring.flatMap { lines[$0...].first { $0.hasPrefix("VmFlags:") } }
    #expect(flags?.split(separator: " ").contains("dd") == true, "\(flags ?? "not mapped"), \(lines.count) lines")
    fake_hangup(channel)
    engine.sayEnded(id)
    #expect(soon { fake_module_references() == 0 })
    engine.die()
    #expect(asterisk.unload())
  }

  /// What this process has mapped, as the system lists it.
  private var mappings: String { processFile("/proc/self/maps") }

  @Test(
    "A reload that names an engine that cannot be run, or a bad value, changes nothing; a good one says what it does")
  func reload() throws {
    let (asterisk, engine) = try loaded()
    let channel = fake_channel("PJSIP/100-1", 8000)
    let base = "run_dir=\(asterisk.runDirectory)\n"
    for (settings, line) in [
      (base + "engine=/nowhere/audiofork", "the engine /nowhere/audiofork cannot be run: No such file or directory"),
      (base + "engine=/bin/true\nbuffer=ten", "buffer = 'ten' is not accepted"),
    ] {
      fake_configuration(settings)
      #expect(af_reload() != 0)
      #expect(FakedAsterisk.log.contains(line))
      #expect(af_exec_start(channel, "ws://host/") == 0)
      #expect(FakedAsterisk.variable(channel, "AUDIOFORKSTATUS") == "SUCCESS")
    }
    fake_configuration("run_dir=/elsewhere\nengine=/bin/false")
    #expect(af_reload() == 0)
    #expect(FakedAsterisk.log.contains("run_dir takes effect when app_audiofork is loaded the next time"))
    #expect(FakedAsterisk.log.contains("engine takes effect when the next one is started"))
    fake_hangup(channel)
    while let message = engine.next(within: 300) {
      if message.state == "closed" { engine.sayEnded(message.id) }
    }
    #expect(soon { fake_module_references() == 0 })
    engine.die()
    #expect(asterisk.unload())
  }

  @Test("A run directory that is not on a tmpfs is declined")
  func diskDirectory() throws {
    let directory = "/tmp/af-faked-\(UInt32.random(in: 0...UInt32.max))"
    defer { try? FileManager.default.removeItem(atPath: directory) }
    fake_version("22.10.1")
    fake_configuration("engine=/bin/true\nrun_dir=\(directory)")
    #expect(af_load() != 0)
    #expect(FakedAsterisk.log.contains("\(directory) is not on a tmpfs"))
  }

  @Test("An engine that does not read cannot block AudioFork() or StopAudioFork()")
  func stoppedEngine() throws {
    let (asterisk, engine) = try loaded("buffer=1")
    let channel = fake_channel("PJSIP/100-1", 8000)
    let clock = ContinuousClock()
    // The link is full after the first few hundred. A busy machine delays some calls by milliseconds; waiting for the
    // engine would delay each call, or some of them for seconds.
    let durations = (0..<1500).map { _ in
      clock.measure {
        _ = af_exec_start(channel, "ws://host/")
        _ = af_exec_stop(channel, "")
      }
    }
    for part in [durations.prefix(500), durations.dropFirst(500).prefix(500), durations.suffix(500)] {
      #expect(part.sorted()[250] < .milliseconds(13))
      #expect(part.sorted()[490] < .milliseconds(200))
    }
    #expect(try #require(durations.max()) < .seconds(2))
    #expect(fake_hooks(channel) == 0)
    engine.die()
    let next = try #require(FakedEngine(within: 12_000))
    next.sayReady()
    var rows = 0
    while let message = next.next(within: 10_000) {
      if message.type == Self.fork {
        rows += 1
        #expect(message.state == "closed")
        next.sayEnded(message.id)
      }
      if message.type == Self.tableEnd { break }
    }
    #expect(rows == 1500)
    #expect(soon(within: 10) { fake_module_references() == 0 })
    #expect(asterisk.forkFiles.isEmpty)
    fake_hangup(channel)
    next.die()
    #expect(asterisk.unload())
  }

  @Test("Whatever the engine sends, the module lives and gets itself another engine")
  func hostileEngine() throws {
    let (asterisk, first) = try loaded()
    var engine = first
    let channel = fake_channel("PJSIP/100-1", 8000)
    _ = af_exec_start(channel, "ws://host/,i(FORK)")
    let id = try #require(FakedAsterisk.variable(channel, "FORK"))
    var generator = SystemRandomNumberGenerator()
    for round in 0..<60 {
      if round % 2 == 0 {
        engine.send(
          (0..<Int.random(in: 1...300, using: &generator)).map { _ in UInt8.random(in: 0...255, using: &generator) })
      } else {
        // Well framed, badly filled: every type, lengths that point behind the end.
        var message: [UInt8] = [
          UInt8.random(in: 0...80, using: &generator), 0, 0, 0, UInt8.random(in: 60...70, using: &generator), 0, 0, 0,
        ]
        message[0] = UInt8.random(in: 4...60, using: &generator)
        message += (0..<(Int(message[0]) - 4)).map { _ in UInt8.random(in: 0...30, using: &generator) }
        engine.send(message)
      }
      engine.die()
      let next = try #require(FakedEngine(within: 12_000))
      engine = next
      engine.sayReady()
    }
    fake_hangup(channel)
    engine.sayEnded(id)
    #expect(soon { fake_module_references() == 0 })
    engine.die()
    #expect(asterisk.unload())
  }

  @Test("A fork that cannot be had leaves its call alone")
  func failures() throws {
    let (asterisk, engine) = try loaded()
    let channel = fake_channel("PJSIP/100-1", 8000)
    for arguments in ["", "ws://host/,D(x)", "http://host/", "ws://host/,i("] {
      #expect(af_exec_start(channel, arguments) == 0)
      #expect(FakedAsterisk.variable(channel, "AUDIOFORKSTATUS") == "FAILED")
    }
    // The run directory goes away under us, and something else takes its name.
    try FileManager.default.removeItem(atPath: asterisk.runDirectory)
    #expect(FileManager.default.createFile(atPath: asterisk.runDirectory, contents: nil))
    #expect(af_exec_start(channel, "ws://host/") == 0)
    #expect(FakedAsterisk.variable(channel, "AUDIOFORKSTATUS") == "FAILED")
    #expect(FakedAsterisk.log.contains("the run directory was removed and cannot be made again: no folder for"))
    #expect(fake_hooks(channel) == 0)
    #expect(fake_module_references() == 0)
    fake_hangup(channel)
    engine.die()
    #expect(asterisk.unload())
  }
}
