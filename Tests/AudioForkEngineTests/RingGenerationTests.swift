// SPDX-License-Identifier: Apache-2.0
import AudioForkMedia
import AudioForkEngine
import AudioForkEngineTestKit
import AudioForkLink
import AudioForkRing
import AudioForkTestKit
import Glibc
import Testing

/// Generations that cannot be opened at the moment, and why.
private final class OpenFailures {
  var codes: [UInt32: RingError.Code] = [:]
}

/// A call whose ring is continued by further ones, read by a stream without a network.
private final class ContinuedCall {
  let directory: ScratchFolder
  let call: TestCall
  private let bufferSeconds: UInt32
  private let failures = OpenFailures()
  private(set) var stream: ForkStream
  /// Generations whose file the stream has removed.
  private var sent: UInt64 = 0

  init(bufferSeconds: UInt32) throws {
    self.bufferSeconds = bufferSeconds
    directory = try ScratchFolder()
    call = try TestCall(in: directory, url: "ws://x/", bufferSeconds: bufferSeconds)
    stream = try ContinuedCall.open(directory, call.id, failures)
  }

  private static func open(
    _ directory: ScratchFolder, _ id: String, told: UInt32 = 0, _ failures: OpenFailures
  ) throws -> ForkStream {
    let path = { (generation: UInt32) in directory.file(RingName.name(of: id, generation)) }
    let ring = try RingGenerations(
      told: told,
      open: { generation throws(RingError) in
        if let code = failures.codes[generation] { throw RingError(code, "not now") }
        return try RingReader(path: path(generation))
      },
      remove: { unlink(path($0)) })
    return ForkStream(
      ring: ring, cursor: try CursorFile(path: directory.file("\(id).cursor")),
      configuration: RenderConfiguration(directions: .both, wireRateHertz: 8000, fill: true))
  }

  func restart(told: UInt32) throws {
    stream.close(isOver: false)
    stream = try ContinuedCall.open(directory, call.id, told: told, failures)
  }

  /// Opening this generation fails from now on; nil: it works again.
  func failToOpen(_ generation: UInt32, _ code: RingError.Code?) { failures.codes[generation] = code }

  func continueRing() throws { try call.continueRing(bufferSeconds: bufferSeconds) }

  /// Takes at most so many blocks and records them as sent.
  func take(at milliseconds: Int64, blocks: Int) throws -> [Int16] {
    var taken: [Int16] = []
    let now = milliseconds * millisecond
    for _ in 0..<blocks {
      guard try stream.nextBlock(now: at(now)) != nil else { break }
      taken += stream.samples
      sent += 320
      stream.recordSent(now: at(now), offset: sent, audioBytes: 320, isBarrier: true)
    }
    return taken
  }

  var rings: [String] { directory.names.filter { $0.hasSuffix(".ring") } }
}

@Suite("Generations of a ring")
struct RingGenerationTests {
  @Test("Rings that continue each other render what one large ring does, over breaks and restarts", arguments: 0..<40)
  func sameAsOne(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    let one = try ContinuedCall(bufferSeconds: 60)
    let many = try ContinuedCall(bufferSeconds: 20)
    var generation: UInt32 = 0
    var moment: Int64 = 0
    for _ in 0..<60 {
      switch random.next() % 8 {
      case 0 where generation < 12 && many.rings.count < RingName.aliveMax:
        try many.continueRing()
        generation += 1
      case 1:
        one.stream.rewind()
        many.stream.rewind()
      case 2:
        try one.restart(told: 0)
        // The module may have told of this generation, or not yet.
        try many.restart(told: generation == 0 || random.next() % 2 == 0 ? generation : generation - 1)
      case 3:
        one.stream.confirm(now: at(moment * millisecond), acknowledged: nil)
        many.stream.confirm(now: at(moment * millisecond), acknowledged: nil)
      case 4:
        let pause = Int(random.next() % 10) * 20
        one.call.pause(milliseconds: pause)
        many.call.pause(milliseconds: pause)
        moment += Int64(pause)
      default:
        let frames = Int(random.next() % 12)
        one.call.speak(frames: frames)
        many.call.speak(frames: frames)
        moment += Int64(frames * 20)
      }
      let blocks = Int(random.next() % 20)
      #expect(try many.take(at: moment, blocks: blocks) == one.take(at: moment, blocks: blocks))
    }
    one.call.hangUp()
    many.call.hangUp()
    #expect(try many.take(at: moment + 1000, blocks: .max) == one.take(at: moment + 1000, blocks: .max))
    #expect(one.stream.isDrained && many.stream.isDrained)
    one.stream.confirmAll()
    many.stream.confirmAll()
    let counters = many.stream.counters(now: at((moment + 1000) * millisecond))
    #expect(counters == one.stream.counters(now: at((moment + 1000) * millisecond)))
    #expect(counters.lost == 0 && counters.undeliveredMilliseconds == 0)
    #expect(generation > 0, "seed \(seed) is no test")
  }

  @Test("An old ring stays until everything in it is confirmed, and is removed then")
  func release() throws {
    let call = try ContinuedCall(bufferSeconds: 10)
    call.call.speak(frames: 50)
    try call.continueRing()
    call.call.speak(frames: 50)
    _ = try call.take(at: 2000, blocks: 200)
    #expect(call.rings.count == 2)
    call.stream.rewind()
    #expect(try call.take(at: 2000, blocks: 200).count > 12_000)
    call.stream.confirm(now: at(2000 * millisecond), acknowledged: 0)
    #expect(call.rings.count == 2)
    call.stream.confirm(now: at(3000 * millisecond), acknowledged: nil)
    #expect(call.rings == ["af-test-1.1.ring"])
    try call.restart(told: 1)
    call.call.hangUp()
    _ = try call.take(at: 2020, blocks: 200)
    #expect(call.stream.isDrained)
    #expect(call.stream.counters(now: at(2020 * millisecond)).lost == 0)
  }

  @Test(
    "An engine that finds no name of the first ring goes on with the next one; the rest is one gap in each direction")
  func nameless() throws {
    let call = try ContinuedCall(bufferSeconds: 10)
    call.call.speak(frames: 100)
    _ = try call.take(at: 2000, blocks: 25)
    call.stream.confirm(now: at(4000 * millisecond), acknowledged: nil)
    #expect(unlink(call.directory.file("af-test-1.ring")) == 0)
    try call.continueRing()
    call.call.speak(frames: 50)
    try call.restart(told: 1)
    call.call.hangUp()
    _ = try call.take(at: 3000, blocks: 200)
    #expect(call.stream.isDrained)
    let gaps = call.stream.takeNewGaps()
    #expect(gaps.map(\.direction) == [.in, .out])
    for gap in gaps { #expect(gap.start + gap.count == 16_000 && gap.start >= 25 * 160) }
    call.stream.confirmAll()
    let counters = call.stream.counters(now: at(3000 * millisecond))
    #expect(counters.lost + counters.delivered == counters.captured && counters.captured == 48_000)
  }

  @Test("A ring that lost its name before it was opened is passed over")
  func passedOver() throws {
    let call = try ContinuedCall(bufferSeconds: 10)
    call.call.speak(frames: 50)
    try call.continueRing()
    call.call.speak(frames: 50)
    #expect(unlink(call.directory.file("af-test-1.1.ring")) == 0)
    try call.continueRing()
    call.call.speak(frames: 50)
    call.call.hangUp()
    _ = try call.take(at: 3000, blocks: 200)
    #expect(call.stream.isDrained)
    #expect(call.stream.takeNewGaps().map(\.count) == [8000, 8000])
  }

  @Test(
    "An orphaned fork waits for a ring that cannot be opened now, and delivers all of it",
    arguments: [RingError.Code.system, .notPermitted])
  func orphaned(code: RingError.Code) throws {
    let call = try ContinuedCall(bufferSeconds: 10)
    call.call.speak(frames: 50)
    var taken = try call.take(at: 1000, blocks: 200)
    try call.continueRing()
    call.call.speak(frames: 50)
    call.failToOpen(1, code)
    taken += try call.take(at: 2000, blocks: 200)
    call.stream.isOrphaned = true
    for moment in stride(from: 2020 as Int64, to: 8000, by: 20) {
      taken += try call.take(at: moment, blocks: 200)
    }
    #expect(!call.stream.isDrained)
    call.failToOpen(1, nil)
    taken += try call.take(at: 8000, blocks: 200)
    #expect(call.stream.isDrained)
    #expect(taken == call.call.expected)
    call.stream.confirmAll()
    let counters = call.stream.counters(now: at(8000 * millisecond))
    #expect(counters.captured == 32_000 && counters.lost == 0 && counters.undeliveredMilliseconds == 0)
  }

  @Test("An orphaned fork ends without a ring that has lost its name")
  func orphanedWithoutName() throws {
    let call = try ContinuedCall(bufferSeconds: 10)
    call.call.speak(frames: 50)
    _ = try call.take(at: 500, blocks: 20)
    try call.continueRing()
    #expect(unlink(call.directory.file("af-test-1.1.ring")) == 0)
    call.stream.isOrphaned = true
    _ = try call.take(at: 1020, blocks: 200)
    #expect(call.stream.isDrained)
  }

  @Test("A ring that cannot be opened now is not passed over, although a later one can be opened")
  func notPassedOver() throws {
    let call = try ContinuedCall(bufferSeconds: 10)
    call.call.speak(frames: 50)
    try call.continueRing()
    call.call.speak(frames: 50)
    try call.continueRing()
    call.call.speak(frames: 50)
    call.call.hangUp()
    call.failToOpen(1, .system)
    var taken: [Int16] = []
    for moment in stride(from: 3000 as Int64, to: 6000, by: 20) { taken += try call.take(at: moment, blocks: 200) }
    #expect(!call.stream.isDrained)
    #expect(taken.count <= 8000, "no time passes over what is captured")
    call.failToOpen(1, nil)
    for moment in stride(from: 6000 as Int64, to: 9000, by: 20) { taken += try call.take(at: moment, blocks: 200) }
    #expect(call.stream.isDrained)
    #expect(taken == call.call.expected)
    #expect(call.stream.takeNewGaps() == [])
  }

  @Test("A fork whose oldest ring another engine has just removed keeps its cursor, and is tried again")
  func oldestRemoved() throws {
    let directory = try ScratchFolder()
    let call = try TestCall(in: directory, url: "ws://x/")
    let files = ForkFiles(directory: directory.path, id: call.id)
    let ring = try files.openRing()
    try call.continueRing()
    let cursor = try #require(try files.openCursor())
    defer { cursor.close() }
    try files.checkRing(ring)
    #expect(unlink(directory.file("\(call.id).ring")) == 0)
    let removed = #expect(throws: ForkFailure.self) { try files.checkRing(ring) }
    #expect(removed?.kind == .inUse)
    #expect(!cursor.isNameless)
    #expect(try files.openRing().oldestGeneration == 1)
    #expect(unlink(directory.file("\(call.id).1.ring")) == 0)
    let ended = #expect(throws: ForkFailure.self) { try files.checkRing(ring) }
    #expect(ended?.kind == .missing)
    #expect(cursor.isNameless)
  }

  @Test("A ring without its magic is none, and names are read as they are written")
  func names() throws {
    #expect(RingName.name(of: "af-1", 0) == "af-1.ring")
    #expect(RingName.name(of: "af-1", 12) == "af-1.12.ring")
    for generation: UInt32 in [0, 1, 12, 99] {
      let parsed = try #require(RingName.parse(RingName.name(of: "af-1", generation)))
      #expect(parsed.id == "af-1" && parsed.generation == generation)
    }
    for name in [
      "af-1.00.ring", "af-1.0.ring", "af-1.100.ring", "af-1.-1.ring", "af-1.1.1.ring", "af-1.cursor", "ring",
    ] {
      #expect(RingName.parse(name) == nil, "\(name)")
    }
    let directory = try ScratchFolder()
    let call = try TestCall(in: directory, url: "ws://x/")
    try call.continueRing()
    // As a module leaves it that dies while it makes a ring.
    let file = open(directory.file("af-test-1.1.ring"), O_WRONLY)
    #expect(pwrite(file, [UInt8](repeating: 0, count: 8), 8, 0) == 8)
    close(file)
    #expect(throws: RingError.self) { try RingReader(path: directory.file("af-test-1.1.ring")) }
    let ring = try RingGenerations(
      told: 1,
      open: { generation throws(RingError) in
        try RingReader(path: directory.file(RingName.name(of: "af-test-1", generation)))
      }, remove: { _ in })
    #expect(ring.oldestGeneration == 0 && ring.newestGeneration == 0)
  }
}
