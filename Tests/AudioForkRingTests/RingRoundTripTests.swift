// SPDX-License-Identifier: Apache-2.0
import AudioForkMedia
import AudioForkLink
import AudioForkRing
import AudioForkRingTestKit
import AudioForkTap
import AudioForkTestKit
import CAudioForkABI
import Glibc
import Testing

@Suite("A ring, written and read")
struct RingRoundTripTests {
  @Test("Epoch and facts come back as they were given")
  func header() throws {
    let folder = try ScratchFolder()
    let tap = try TestTap(in: folder)
    let reader = try RingReader(path: tap.path)
    #expect(reader.epoch.monotonic.nanoseconds == TestTap.epoch)
    #expect(reader.epoch.wall.nanoseconds == TestTap.wall)
    var facts = RingFacts()
    facts.id = "f-0001"
    facts.settings.urls = [Array("ws://user:secret@example.org/x".utf8)]
    facts.settings.options = Array("D(both)".utf8)
    facts.channel = "PJSIP/alice-00000001"
    facts.uniqueID = "1700000000.1"
    facts.linkedID = "1700000000.0"
    facts.rateHertz = 16000
    facts.drainSeconds = 7
    #expect(reader.facts == facts)
  }

  @Test("Each ring has a secret of its own, which every reader of it sees")
  func secret() throws {
    let folder = try ScratchFolder()
    let taps = try (0..<3).map { try TestTap(in: folder, name: "\($0).ring") }
    let secrets = try taps.map { try RingReader(path: $0.path).secret }
    for (tap, secret) in zip(taps, secrets) {
      #expect(secret.0 != 0 && secret.1 != 0)
      #expect(try RingReader(path: tap.path).secret == secret)
      let dump = RingDump(try RingReader(path: tap.path), showsSamples: true)
      let shown = dump.heading(path: tap.path, parameters: []).joined()
      #expect(!shown.contains(String(secret.0, radix: 16)) && !shown.contains(String(secret.0)))
    }
    #expect(Set(secrets.map(\.0)).count == 3 && Set(secrets.map(\.1)).count == 3)
  }

  @Test("Facts that are missing or out of range have their defaults")
  func defaults() throws {
    let folder = try ScratchFolder()
    var fields = FieldWriter()
    fields.append(.id, [])
    fields.append(key: 999, [1, 2, 3])
    fields.append(.rate, number: 7999)
    fields.append(.drain, [1])
    fields.append(.align, number: 60_001)
    for (index, facts) in [[], fields.bytes].enumerated() {
      let tap = try TestTap(in: folder, name: "\(index).ring", facts: facts)
      #expect(try RingReader(path: tap.path).facts == RingFacts())
    }
  }

  @Test("The time that a direction waits for the other is kept, whatever an engine's own default is")
  func align() throws {
    let folder = try ScratchFolder()
    for milliseconds in [20, 160, 500] {
      var fields = FieldWriter()
      fields.append(.align, number: UInt64(milliseconds))
      let tap = try TestTap(in: folder, name: "\(milliseconds).ring", facts: fields.bytes)
      let reader = try RingReader(path: tap.path)
      #expect(reader.facts.alignMilliseconds == milliseconds)
      let heading = RingDump(reader).heading(path: tap.path, parameters: [])
      #expect(heading.contains("align    \(milliseconds) ms"))
    }
  }

  @Test("Facts of a megabyte fit, longer ones are refused and leave no file")
  func longFacts() throws {
    let folder = try ScratchFolder()
    var fields = FieldWriter()
    fields.append(.options, [UInt8](repeating: 65, count: Int(AF_RING_FACTS_BYTES_MAX) - 8))
    let tap = try TestTap(in: folder, name: "long.ring", facts: fields.bytes)
    #expect(try RingReader(path: tap.path).facts.settings.options.count == Int(AF_RING_FACTS_BYTES_MAX) - 8)
    #expect(throws: RingError.self) { try TestTap(in: folder, name: "longer.ring", facts: fields.bytes + [0]) }
    #expect(folder.names == ["long.ring"])
  }

  @Test("An entry carries what capture knew, and its samples")
  func entry() throws {
    let folder = try ScratchFolder()
    let tap = try TestTap(in: folder)
    let reader = try RingReader(path: tap.path)
    var samples: [Int16] = []
    #expect(reader.read(0, into: &samples) == .notYet)
    tap.capture(.in, Array(1...160), at: 30 * millisecond)
    tap.capture(.out, [-5, 7, 9], rate: 44100, at: 31 * millisecond)
    tap.capture(.in, Array(161...320), at: 50 * millisecond)
    #expect(reader.published == 3)
    let first = CapturedEntry(
      sequence: 0, direction: .in, rateHertz: 8000, count: 160, runStart: StreamTime(nanoseconds: 10 * millisecond),
      runIndex: 0,
      arrival: StreamTime(nanoseconds: 30 * millisecond), captured: 0, startsRun: true)
    #expect(reader.read(0, into: &samples) == .entry(first))
    #expect(samples == Array(1...160))
    guard case .entry(let out) = reader.read(1, into: &samples) else { Issue.record("no entry"); return }
    #expect(out.direction == .out && out.rateHertz == 44100 && out.count == 3 && out.captured == 0)
    // The array is used again: what stands behind the entry's samples is from an earlier one.
    #expect(samples.prefix(3) == [-5, 7, 9] && samples.count == 160)
    guard case .entry(let next) = reader.read(2, into: &samples) else { Issue.record("no entry"); return }
    #expect(
      next.runIndex == 160 && next.captured == 160 && !next.startsRun && next.runStart.nanoseconds == 10 * millisecond)
    #expect(samples == Array(161...320))
    #expect(reader.read(3, into: &samples) == .notYet)
    #expect(reader.read(.max, into: &samples) == .notYet)
    #expect(reader.captured(.in) == 320 && reader.captured(.out) == 3)
    #expect(reader.ahead(.in) == 0 && reader.ahead(.out) == 0)
  }

  @Test("The end of capture is marked once, and nothing is captured behind it")
  func closing() throws {
    let folder = try ScratchFolder()
    let tap = try TestTap(in: folder)
    let reader = try RingReader(path: tap.path)
    tap.capture(.in, [1, 2], at: 20 * millisecond)
    #expect(reader.closedAt == nil)
    tap.close(at: 21 * millisecond)
    tap.close(at: 25 * millisecond)
    tap.capture(.in, [3], at: 30 * millisecond)
    #expect(reader.closedAt?.nanoseconds == 21 * millisecond)
    #expect(reader.published == 1 && reader.captured(.in) == 2)
  }

  @Test("A fork of one direction captures only that", arguments: [Direction.in, .out])
  func oneDirection(wanted: Direction) throws {
    let folder = try ScratchFolder()
    let tap = try TestTap(in: folder, directions: wanted == .in ? 1 : 2)
    let reader = try RingReader(path: tap.path)
    tap.capture(.in, [1, 2], at: 20 * millisecond)
    tap.capture(.out, [3, 4, 5], at: 20 * millisecond)
    #expect(reader.published == 1)
    #expect(reader.captured(wanted) == (wanted == .in ? 2 : 3))
  }

  @Test("Entries of an unknown kind and digits are skipped, not taken for audio")
  func otherKinds() throws {
    let folder = try ScratchFolder()
    let tap = try TestTap(in: folder)
    let reader = try RingReader(path: tap.path)
    tap.capture(.in, [1, 2], at: 20 * millisecond)
    var samples: [Int16] = []
    let kindOffset = Int(MemoryLayout<af_ring_entry>.offset(of: \.kind) ?? -1)
    for kind in [UInt8(AF_ENTRY_DTMF.rawValue), 77] {
      tap.tap.pointee.index[kindOffset] = kind
      #expect(reader.read(0, into: &samples) == .notAudio)
    }
  }

  @Test("A frame that is no audio is not captured")
  func noAudio() throws {
    let folder = try ScratchFolder()
    let tap = try TestTap(in: folder)
    let reader = try RingReader(path: tap.path)
    tap.capture(.in, [1], rate: 7999, at: 20 * millisecond)
    tap.capture(.in, [1], rate: 192_001, at: 20 * millisecond)
    tap.capture(.in, [Int16](repeating: 1, count: 80_001), at: 20 * millisecond)
    #expect(reader.published == 0)
    tap.capture(.in, [Int16](repeating: 1, count: 80_000), at: 11_000 * millisecond)
    #expect(reader.captured(.in) == 80_000)
  }

  @Test("A closed reader reads nothing more")
  func closedReader() throws {
    let folder = try ScratchFolder()
    let tap = try TestTap(in: folder)
    tap.capture(.in, [1], at: 20 * millisecond)
    let reader = try RingReader(path: tap.path)
    reader.close()
    reader.close()
    var samples: [Int16] = []
    #expect(reader.read(0, into: &samples) == .notYet)
    #expect(reader.published == 0 && reader.closedAt == nil && reader.captured(.in) == 0)
  }
}

@Suite("Creating a ring")
struct RingCreationTests {
  @Test("A folder that does not exist is an error, and nothing is made")
  func missingFolder() throws {
    let folder = try ScratchFolder()
    let tap = UnsafeMutablePointer<af_tap>.allocate(capacity: 1)
    defer { tap.deallocate() }
    tap.initialize(to: af_tap())
    let failure = createRing(
      tap, path: Array(folder.file("no/such.ring").utf8CString), size: RingSize(seconds: 1, rate: 8000), facts: [],
      directions: 3, now: 0, wall: 0)
    #expect(failure == ENOENT)
    #expect(folder.names.isEmpty)
    #expect(tap.pointee.ring == nil)
  }

  @Test("A file that exists is not taken over")
  func exists() throws {
    let folder = try ScratchFolder()
    try folder.write([1, 2, 3], to: "fork.ring")
    #expect(throws: RingError.self) { try TestTap(in: folder) }
    #expect(try folder.read("fork.ring") == [1, 2, 3])
  }

  @Test("A ring that the file system has no room for is an error, and leaves no file")
  func noRoom() throws {
    let folder = try ScratchFolder()
    // Instead of a full file system: files of this process may not grow beyond 1 GiB for a moment.
    var before = rlimit()
    try #require(getrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &before) == 0)
    var lowered = before
    lowered.rlim_cur = 1 << 30
    let handler = signal(SIGXFSZ, SIG_IGN)
    try #require(setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &lowered) == 0)
    defer {
      setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &before)
      signal(SIGXFSZ, handler)
    }
    #expect(throws: RingError(.system, "createRing says \(EFBIG)")) {
      try TestTap(in: folder, size: RingSize(indexEntries: 64, areaBytes: UInt64(AF_RING_AREA_BYTES_MAX)))
    }
    #expect(folder.names.isEmpty)
  }

  @Test(
    "Sizes are powers of two within the layout's bounds", arguments: [0, 1, 3, 10, 3600, UInt32.max],
    [0, 8000, 44100, UInt32.max])
  func sizes(seconds: UInt32, rate: UInt32) {
    let size = RingSize(seconds: seconds, rate: rate)
    #expect(size.indexEntries.nonzeroBitCount == 1 && size.areaBytes.nonzeroBitCount == 1)
    #expect(size.indexEntries <= AF_RING_INDEX_ENTRIES_MAX && size.areaBytes <= AF_RING_AREA_BYTES_MAX)
    let hertz = UInt64(min(max(rate, 8000), 192_000))
    let wanted = UInt64(min(max(seconds, 1), 3600)) * hertz * 4
    #expect(size.areaBytes >= wanted || size.areaBytes == AF_RING_AREA_BYTES_MAX)
  }
}
