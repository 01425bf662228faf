// SPDX-License-Identifier: Apache-2.0
import AudioForkLink
import AudioForkMedia
import AudioForkRing
import AudioForkSurface
import CAsterisk
import Foundation
import Testing

/// A fork of a loaded module whose ring may be continued.
private struct ContinuedFork {
  let module: LoadedModule
  let channel: OpaquePointer?
  let id: String

  init(_ settings: String, _ arguments: String = "ws://host/,D(both)") throws {
    module = try LoadedModule(settings)
    channel = fake_channel("PJSIP/100-1", 8000)
    id = try #require(module.start(channel, arguments))
  }

  /// Files of rings of the fork, without their folder.
  var rings: [String] {
    module.asterisk.forkFiles.filter { $0.contains("/\(id).") && $0.hasSuffix(".ring") }
      .map { String($0.split(separator: "/")[1]) }.sorted()
  }

  /// The engine's view of the fork's rings.
  func reader(told: UInt32 = 0) throws -> RingGenerations {
    let folder = module.asterisk.runDirectory
    let instance = try #require(try FileManager.default.contentsOfDirectory(atPath: folder).first)
    let path = { (generation: UInt32) in "\(folder)/\(instance)/\(RingName.name(of: id, generation))" }
    return try RingGenerations(
      told: told, open: { generation throws(RingError) in try RingReader(path: path(generation)) },
      remove: { unlink(path($0)) })
  }

  /// Frames of 20 ms in both directions, numbered by their first sample.
  func speak(_ frames: ClosedRange<Int>, rate: Int) {
    for number in frames {
      let samples = [Int16](repeating: Int16(number), count: rate / 50)
      fake_frame(channel, AST_AUDIOHOOK_DIRECTION_READ, samples, Int32(samples.count))
      fake_frame(channel, AST_AUDIOHOOK_DIRECTION_WRITE, samples, Int32(samples.count))
    }
  }

  /// What `audiofork show fork` says about the buffer, seconds.
  var buffer: String {
    let line = CaptureRealTimeTests.cli("audiofork show fork \(id)").split(separator: "\n")
      .first { $0.hasPrefix("Buffer:") }
    return line.map { $0.dropFirst(7).trimmingCharacters(in: .whitespaces) } ?? "no such line"
  }

  /// First samples of the entries of one direction, and how many samples are captured.
  static func frames(_ reader: RingGenerations, _ direction: Direction) -> (first: [Int16], count: UInt64) {
    var (sequence, first, count) = (UInt64(0), [Int16](), UInt64(0))
    var samples: [Int16] = []
    while true {
      switch reader.read(sequence, into: &samples) {
      case .entry(let entry):
        if entry.direction == direction {
          first.append(samples[0])
          count += UInt64(entry.count)
        }
        sequence += 1
      case .digit, .notAudio: sequence += 1
      case .lapped(let oldest): sequence = oldest
      case .notYet, .broken: return (first, count)
      }
    }
  }

  /// As `soon`, with an engine that gives signs of life.
  func soon(within seconds: Int, _ condition: () -> Bool) -> Bool {
    (0..<(seconds * 2)).contains { _ in
      module.engine.send(FieldWriter(.heartbeat).message)
      return (0..<50).contains { _ in
        if condition() { return true }
        usleep(10_000)
        return false
      }
    }
  }

  func end() { module.end([channel], [id]) }
}

extension CaptureRealTimeTests {
  private static func log(_ text: String) -> Int { FakedAsterisk.log.components(separatedBy: text).count - 1 }

  @Test(
    "A rate that rises gives the fork a larger ring at once, without a frame lost; the old one counts while it is read")
  func rateRises() throws {
    // 655 KB at 8 kHz, 2.2 MB at 48 kHz.
    let fork = try ContinuedFork("buffer=10\nbuffer_total=3")
    let reader = try fork.reader()
    #expect(fork.buffer == "16.3")
    fork.speak(1...50, rate: 8000)
    #expect(fork.rings == ["\(fork.id).ring"])
    fake_rate(fork.channel, 48000)
    fork.speak(51...60, rate: 48000)
    #expect(soon { fork.rings.contains("\(fork.id).1.ring") })
    #expect(soon { fork.buffer == "10.9" }, "\(fork.buffer)")
    fork.speak(61...99, rate: 48000)
    for direction in Direction.allCases {
      let (first, count) = ContinuedFork.frames(reader, direction)
      #expect(first == (1...99).map { Int16($0) })
      #expect(count == 50 * 160 + 49 * 960)
      #expect(reader.captured(direction) == count)
    }
    #expect(reader.oldestGeneration == 0 && reader.newestGeneration == 1)
    // 2.9 of 3.1 MB are taken as long as the engine has not confirmed what is in the old ring.
    let other = fake_channel("PJSIP/101-1", 8000)
    #expect(fork.module.start(other, "ws://host/") == nil)
    fork.module.engine.send(
      .state, fork.id, .text(.state, "streaming"), .counter(.accountedIn, 60 * 160), .counter(.accountedOut, 99_999))
    // The old ring had more than 50 and at most 60 of these frames of direction in.
    fork.module.engine.send(.state, fork.id, .text(.state, "streaming"), .counter(.accountedIn, 99_999))
    var second: String?
    #expect(
      soon(within: 4) {
        _ = af_exec_start(other, "ws://host/,i(SECOND)")
        second = FakedAsterisk.variable(other, "SECOND")
        return second != nil
      })
    fake_hangup(other)
    fork.module.engine.sayEnded(second ?? "")
    // A fall of the rate changes nothing but what the buffer holds.
    fake_rate(fork.channel, 8000)
    fork.speak(1...2, rate: 8000)
    #expect(fork.buffer == "20.4", "as many as the index has entries for")
    fork.end()
    #expect(fork.rings == [])
  }

  @Test("Where buffer_total leaves no room for a larger ring the old one stays, and Buffer tells its seconds")
  func noRoomForRate() throws {
    let fork = try ContinuedFork("buffer=10\nbuffer_total=2")
    fake_rate(fork.channel, 48000)
    fork.speak(1...20, rate: 48000)
    #expect(soon { Self.log("AudioFork \(fork.id) to ws://host/ keeps only 2.7 seconds, because the") == 1 })
    #expect(fork.buffer == "2.7")
    #expect(fork.rings == ["\(fork.id).ring"])
    #expect(FakedAsterisk.log.contains("all buffers may take 2 MB, and this one needs 2176 KB more"))
    fork.end()
  }

  @Test("A run directory that is removed is made again: forks go on in new rings there, and new ones start")
  func removedRunDirectory() throws {
    let fork = try ContinuedFork("buffer=1")
    fork.speak(1...10, rate: 8000)
    let reader = try fork.reader()
    let folder = fork.module.asterisk.runDirectory
    let instance = try #require(try FileManager.default.contentsOfDirectory(atPath: folder).first)
    let before = Self.log("was removed and has been made again")
    try FileManager.default.removeItem(atPath: folder)
    // At once, before the control thread has noticed.
    let other = fake_channel("PJSIP/101-1", 8000)
    let second = try #require(fork.module.start(other, "ws://host/"))
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == [instance])
    #expect(fork.soon(within: 5) { fork.rings == ["\(fork.id).1.ring"] })
    fork.speak(11...20, rate: 8000)
    #expect(ContinuedFork.frames(reader, .in).first == (1...20).map { Int16($0) })
    #expect(Self.log("was removed and has been made again") == before + 1)
    // And once more: an engine that is started then finds what is captured from there on.
    try FileManager.default.removeItem(atPath: folder)
    #expect(fork.soon(within: 5) { fork.rings == ["\(fork.id).2.ring"] })
    fork.module.engine.die()
    let engine = try #require(FakedEngine())
    engine.sayReady()
    fork.speak(21...30, rate: 8000)
    #expect(ContinuedFork.frames(try fork.reader(told: 2), .in).first == (21...30).map { Int16($0) })
    #expect(soon { FileManager.default.fileExists(atPath: "\(folder)/\(instance)/lock") })
    for channel in [fork.channel, other] { fake_hangup(channel) }
    for id in [fork.id, second] { engine.sayEnded(id) }
    #expect(soon { fake_module_references() == 0 })
    #expect(fork.module.asterisk.forkFiles == [])
    engine.die()
    #expect(fork.module.asterisk.unload())
  }

  @Test("A ring whose name alone is removed gets a successor; more than four at a time are not made")
  func removedRing() throws {
    let fork = try ContinuedFork("buffer=1")
    let folder = fork.module.asterisk.runDirectory
    for generation in 1...3 {
      for name in fork.module.asterisk.forkFiles { unlink("\(folder)/\(name)") }
      fork.speak(1...2, rate: 8000)
      #expect(fork.soon(within: 7) { fork.rings == ["\(fork.id).\(generation).ring"] })
    }
    for name in fork.module.asterisk.forkFiles { unlink("\(folder)/\(name)") }
    #expect(
      fork.soon(within: 7) { Self.log("AudioFork \(fork.id) to ws://host/ has lost its ring's file, and no") == 1 })
    #expect(fork.rings == [])
    fork.end()
  }

  @Test("A fork that has ended leaves a channel without audio at once, with its ring and its share of buffer_total")
  func endedWithoutAudio() throws {
    let fork = try ContinuedFork("buffer=15\nbuffer_total=1")
    #expect(fake_hooks(fork.channel) == 1)
    fork.module.engine.sayEnded(fork.id)
    #expect(soon { fake_hooks(fork.channel) == 0 && fork.rings == [] })
    #expect(soon { !Self.cli("audiofork list").contains(fork.id) })
    // The first one's 768 KB are free again.
    let other = fake_channel("PJSIP/101-1", 8000)
    var second: String?
    #expect(
      soon {
        second = fork.module.start(other, "ws://host/")
        return second != nil
      })
    // A frame that comes after all meets no hook.
    fork.speak(1...2, rate: 8000)
    #expect(fork.module.start(fork.channel, "ws://host/") == nil)
    fork.module.end([fork.channel, other], second.map { [$0] } ?? [])
  }

  @Test("Above 80 % of buffer_total the log says so, once; the default is half of what is free")
  func nearTotal() throws {
    let before = Self.log("take more than 80 % of buffer_total (2 MB)")
    var module = try LoadedModule("buffer=10\nbuffer_total=2")
    let channel = fake_channel("PJSIP/100-1", 8000)
    var ids: [String] = []
    for count in 1...3 {
      ids.append(try #require(module.start(channel, "ws://host/")))
      #expect(Self.log("take more than 80 % of buffer_total (2 MB)") == before + (count == 3 ? 1 : 0))
    }
    module.end([channel], ids)
    module = try LoadedModule("buffer=600")
    let rich = fake_channel("PJSIP/100-2", 192_000)
    var found = statfs()
    #expect(statfs("/dev/shm", &found) == 0)
    ids = []
    // Rings of 600 seconds at 192 kHz take 576 MB and would fill any /dev/shm of a test machine soon.
    let half = UInt64(found.f_bavail) * UInt64(found.f_bsize) / 2 / 1_048_576
    if half < 500 {
      #expect(module.start(rich, "ws://host/") == nil)
      #expect(FakedAsterisk.log.contains("buffer_total = \(half)") || FakedAsterisk.log.contains("at load), and this"))
    }
    module.end([rich], ids)
  }

  @Test("audiofork show engine counts the rings that are locked into memory")
  func lockedRings() throws {
    let fork = try ContinuedFork("buffer=1")
    var limit = rlimit()
    getrlimit(__rlimit_resource_t(__RLIMIT_MEMLOCK.rawValue), &limit)
    fork.module.engine.sayReady(process: getpid())
    #expect(soon { Self.cli("audiofork show engine").contains("Rings locked: ") })
    let isAllowed = geteuid() == 0 || limit.rlim_cur > 1_000_000
    #expect(Self.cli("audiofork show engine").contains("Rings locked: \(isAllowed ? 1 : 0) of 1\n"))
    fork.module.engine.sayEnded(fork.id)
    #expect(soon { Self.cli("audiofork show engine").contains("Rings locked: 0 of 0\n") })
    fork.module.end([fork.channel], [])
  }
}
