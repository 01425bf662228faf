// SPDX-License-Identifier: Apache-2.0
import AudioForkMedia
import AudioForkDialects
import AudioForkEngine
import AudioForkEngineTestKit
import AudioForkLink
import AudioForkRing
import AudioForkTestKit
import Testing

/// A fork's stream on real files, without a network: blocks are taken when the test says so, and time is a number.
private final class StreamFixture {
  /// Samples that a break may repeat where everything was sent as it came: two marks' distance more than the age.
  static let repeatedMax =
    Int((DeliveryWindow<Int>.age.count + 2 * DeliveryWindow<Int>.spacing.count) / millisecond) * 8

  let directory: ScratchFolder
  let call: TestCall
  let configuration: RenderConfiguration
  private(set) var stream: ForkStream
  /// Samples taken since the stream was made or rewound.
  var taken: [Int16] = []

  init(
    bufferSeconds: UInt32 = 10, fill: Bool = true, collectsMarkers: Bool = false, alignMilliseconds: Int = 160
  ) throws {
    directory = try ScratchFolder()
    call = try TestCall(in: directory, url: "ws://x/", bufferSeconds: bufferSeconds)
    configuration = RenderConfiguration(
      directions: .both, wireRateHertz: 8000, fill: fill, alignMilliseconds: alignMilliseconds)
    stream = try StreamFixture.open(directory, call, configuration, collectsMarkers: collectsMarkers)
  }

  private static func open(
    _ directory: ScratchFolder, _ call: TestCall, _ configuration: RenderConfiguration, collectsMarkers: Bool = false
  ) throws -> ForkStream {
    ForkStream(
      ring: RingGenerations(try RingReader(path: "\(directory.path)/\(call.id).ring")),
      cursor: try CursorFile(path: "\(directory.path)/\(call.id).cursor"), configuration: configuration,
      collectsMarkers: collectsMarkers)
  }

  /// As an engine that was killed and started again, perhaps as another release with another wait.
  func restart(alignMilliseconds: Int? = nil) throws {
    stream.close(isOver: false)
    let changed = RenderConfiguration(
      directions: .both, wireRateHertz: 8000, fill: configuration.fill,
      alignMilliseconds: alignMilliseconds ?? configuration.alignMilliseconds)
    stream = try StreamFixture.open(directory, call, changed)
    taken = []
  }

  /// Takes what is decidable at this moment, at most so many blocks.
  @discardableResult
  func take(at milliseconds: Int64, blocks: Int = .max) throws -> Int {
    var count = 0
    while count < blocks, try stream.nextBlock(now: at(milliseconds * millisecond)) != nil {
      taken += stream.samples
      count += 1
    }
    return count
  }

  /// Takes and "sends" in steps of 20 ms between two moments, with everything acknowledged.
  func deliver(from start: Int64, to end: Int64) throws {
    for moment in stride(from: start, to: end, by: 20) {
      let count = try take(at: moment)
      let now = moment * millisecond
      if count > 0 { stream.recordSent(now: at(now), offset: UInt64(taken.count * 2), audioBytes: count * 320) }
      _ = stream.takeNewGaps()
      if stream.wantsConfirmation(now: at(now)) { stream.confirm(now: at(now), acknowledged: nil) }
    }
  }

  /// How many samples of the expected stream were skipped at its beginning to give what was taken; nil: none fits.
  func offset(in expected: [Int16]) -> Int? {
    stride(from: 0, through: expected.count - taken.count, by: 160).first {
      expected[$0..<($0 + taken.count)].elementsEqual(taken)
    }
  }
}

@Suite("Fork stream")
struct ForkStreamTests {
  @Test("Without a connection nothing is taken; what was captured waits and comes at once")
  func waits() throws {
    let fixture = try StreamFixture()
    fixture.call.speak(frames: 100)
    #expect(fixture.stream.undeliveredMilliseconds(now: at(2000 * millisecond)) == 2000)
    #expect(try fixture.take(at: 2000) >= 98)
    fixture.call.hangUp()
    try fixture.take(at: 2020)
    #expect(fixture.taken == fixture.call.expected)
    #expect(fixture.stream.isDrained)
    // Taken is not delivered: that takes the server's side to say so.
    #expect(fixture.stream.counters(now: at(3000 * millisecond)).lagMilliseconds == 0)
    #expect(fixture.stream.undeliveredMilliseconds(now: at(3000 * millisecond)) >= 2000)
    fixture.stream.confirmAll()
    #expect(fixture.stream.undeliveredMilliseconds(now: at(3000 * millisecond)) == 0)
    #expect(fixture.stream.counters(now: at(3000 * millisecond)).confirmed == 16_000)
  }

  @Test("A fork without a cursor streams and rewinds like any other, and says that nothing is saved")
  func withoutCursor() throws {
    let fixture = try StreamFixture()
    let ring = try RingReader(path: "\(fixture.directory.path)/\(fixture.call.id).ring")
    let stream = ForkStream(ring: RingGenerations(ring), cursor: nil, configuration: fixture.configuration)
    fixture.call.speak(frames: 10)
    fixture.call.hangUp()
    for _ in 1...2 {
      var taken: [Int16] = []
      while try stream.nextBlock(now: at(200 * millisecond)) != nil { taken += stream.samples }
      #expect(taken == fixture.call.expected)
      stream.save()
      #expect(stream.cursorFailed)
      stream.rewind()
    }
  }

  @Test("Undelivered is what was captured behind the confirmed mark, as much as it was before a break")
  func undelivered() throws {
    let fixture = try StreamFixture()
    for moment in stride(from: 20 as Int64, through: 2000, by: 20) {
      fixture.call.speak(frames: 1)
      try fixture.deliver(from: moment, to: moment + 20)
    }
    let live = fixture.stream.counters(now: at(2000 * millisecond))
    #expect(live.undeliveredMilliseconds > 0)
    #expect(live.undeliveredMilliseconds <= UInt64(StreamFixture.repeatedMax / 8))
    #expect(live.confirmed < live.position)
    #expect(live.captured == 2 * 100 * 160)
    fixture.stream.rewind()
    let broken = fixture.stream.counters(now: at(2000 * millisecond))
    #expect(broken.undeliveredMilliseconds == live.undeliveredMilliseconds)
    #expect(broken.confirmed == live.confirmed)
  }

  @Test("After a break the stream goes on a little before where it was, with the same samples")
  func rewinds() throws {
    let fixture = try StreamFixture()
    for moment in stride(from: 20 as Int64, through: 3000, by: 20) {
      fixture.call.speak(frames: 1)
      try fixture.deliver(from: moment, to: moment + 20)
    }
    let reached = fixture.taken.count
    fixture.stream.rewind()
    fixture.taken = []
    fixture.call.speak(frames: 50)
    fixture.call.hangUp()
    try fixture.take(at: 4000)
    let offset = try #require(fixture.offset(in: fixture.call.expected))
    #expect(offset < reached, "what was just sent may be lost: it comes again")
    #expect(reached - offset <= StreamFixture.repeatedMax)
    #expect(offset > 0)
    #expect(offset + fixture.taken.count == fixture.call.expected.count)
  }

  @Test("A connection that broke before anything was confirmed is repeated from the start")
  func rewindsToStart() throws {
    let fixture = try StreamFixture()
    fixture.call.speak(frames: 10)
    try fixture.deliver(from: 0, to: 200)
    fixture.stream.rewind()
    fixture.taken = []
    fixture.call.hangUp()
    try fixture.take(at: 400)
    #expect(fixture.taken == fixture.call.expected)
  }

  @Test("A new engine goes on from the cursor: nothing is missing, and only what was unconfirmed comes again")
  func restarts() throws {
    let fixture = try StreamFixture()
    var reached = 0
    for part in 0..<4 {
      let start = Int64(part) * 1000
      // The call goes on in real time while the engine delivers.
      for moment in stride(from: start, to: start + 1000, by: 20) {
        fixture.call.speak(frames: 1)
        try fixture.deliver(from: moment + 20, to: moment + 40)
      }
      let expected = fixture.call.expected
      let offset = try #require(fixture.offset(in: expected))
      #expect(offset <= reached)
      #expect(reached - offset <= StreamFixture.repeatedMax + 160)
      reached = offset + fixture.taken.count
      try fixture.restart()
    }
    fixture.call.hangUp()
    try fixture.take(at: 5000)
    let offset = try #require(fixture.offset(in: fixture.call.expected))
    #expect(offset <= reached)
    #expect(offset + fixture.taken.count == fixture.call.expected.count)
  }

  @Test("An engine with another wait continues with the wait with which the stream began", arguments: [60, 160])
  func otherWait(began: Int) throws {
    let fixture = try StreamFixture(alignMilliseconds: began)
    // Both speak, then in alone; after that nobody. What waits leaves after the wait and not before.
    fixture.call.speak(frames: 25)
    fixture.call.speak(.in, frames: 10)
    let due = Int64(700 + began)
    try fixture.deliver(from: 0, to: due)
    #expect(fixture.taken.count < 35 * 160)
    try fixture.deliver(from: due, to: due + 20)
    #expect(fixture.taken.count == 35 * 160)
    fixture.stream.confirmAll()
    try fixture.restart(alignMilliseconds: 220 - began)
    fixture.call.speak(frames: 25)
    fixture.call.speak(.in, frames: 10)
    try fixture.take(at: 1399 + Int64(began))
    #expect(fixture.taken.count < 35 * 160)
    try fixture.take(at: 1400 + Int64(began))
    #expect(fixture.taken.count == 35 * 160)
    #expect(fixture.stream.position == Position(70 * 160))
  }

  @Test("Fill that the clock decided and that was sent is the same after a restart, whatever came later")
  func clockDecisions() throws {
    let fixture = try StreamFixture()
    fixture.call.speak(frames: 25)
    // A second of audio's silence and two of patience: then the clock fills.
    try fixture.take(at: 6000)
    let before = fixture.taken
    #expect(before.count > 25 * 160)
    fixture.stream.recordSent(now: at(6000 * millisecond), offset: 1, audioBytes: 0)
    // Late audio arrives at its own time: it contradicts the fill, and both stand.
    fixture.call.speak(frames: 25)
    try fixture.restart()
    fixture.call.hangUp()
    try fixture.take(at: 6000)
    #expect(Array(fixture.taken.prefix(before.count)) == before)
  }

  @Test("Lapped audio is a gap, told once, even to the next engine")
  func gaps() throws {
    let fixture = try StreamFixture(bufferSeconds: 1)
    fixture.call.speak(frames: 10)
    try fixture.take(at: 200)
    // Delivered, so that no replay begins before it.
    fixture.stream.recordSent(now: at(200 * millisecond), offset: 0, audioBytes: 3200)
    fixture.stream.confirm(now: at(500 * millisecond), acknowledged: nil)
    fixture.call.speak(frames: 500)
    try fixture.take(at: 10_200)
    let gaps = fixture.stream.takeNewGaps()
    #expect(gaps.count == 2)
    #expect(Set(gaps.map(\.direction)) == [.in, .out])
    #expect(gaps.allSatisfy { $0.reason == .overrun && $0.count > 0 })
    #expect(fixture.stream.counters(now: 0).lost == gaps.reduce(0) { $0 + $1.count })
    fixture.stream.rewind()
    try fixture.take(at: 10_200)
    #expect(fixture.stream.takeNewGaps() == [])
    try fixture.restart()
    try fixture.take(at: 10_200)
    #expect(fixture.stream.takeNewGaps() == [])
  }

  @Test("A gap that a replay finds longer at its beginning is told for the part that is new")
  func gapsGrowBackwards() throws {
    let fixture = try StreamFixture(bufferSeconds: 1)
    fixture.call.speak(frames: 40)
    try fixture.take(at: 800)
    fixture.call.speak(frames: 500)
    try fixture.take(at: 10_800)
    let first = fixture.stream.takeNewGaps()
    let told = first.reduce(0) { $0 + $1.count }
    #expect(fixture.stream.counters(now: 0).lost == told)
    // Nothing was confirmed: the replay begins at 0, and that is gone now too.
    fixture.stream.rewind()
    #expect(fixture.stream.counters(now: 0).lost == told, "what was told stays lost, wherever the replay is")
    #expect(fixture.stream.counters(now: 0).gaps == UInt64(first.count))
    try fixture.take(at: 10_800)
    let second = fixture.stream.takeNewGaps()
    #expect(Set(second.map(\.direction)) == [.in, .out])
    for gap in second {
      let before = try #require(first.first { $0.direction == gap.direction })
      #expect(gap.start == 0)
      #expect(gap.start + gap.count == before.start)
    }
    let all = told + second.reduce(0) { $0 + $1.count }
    #expect(fixture.stream.counters(now: 0).lost == all, "what is told adds up to what is counted")
    try fixture.restart()
    #expect(fixture.stream.counters(now: 0).lost == all)
    #expect(fixture.stream.counters(now: 0).gaps == UInt64(first.count + second.count))
    try fixture.take(at: 10_800)
    #expect(fixture.stream.takeNewGaps() == [])
    #expect(fixture.stream.counters(now: 0).lost == all)
  }

  @Test(
    "Events of gaps add up to the total, whenever connections break and however far the writer has gone",
    arguments: 0..<20)
  func gapsAddUp(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    let fixture = try StreamFixture(bufferSeconds: 1)
    var now: Int64 = 0
    var told: UInt64 = 0
    var previous: UInt64 = 0
    for _ in 0..<40 {
      let frames = Int.random(in: 1...90, using: &random)
      fixture.call.speak(frames: frames)
      now += Int64(frames) * 20
      let count = try fixture.take(at: now, blocks: Int.random(in: 0...150, using: &random))
      fixture.stream.recordSent(now: at(now * millisecond), offset: 0, audioBytes: count * 320)
      told += fixture.stream.takeNewGaps().reduce(0) { $0 + $1.count }
      if Bool.random(using: &random) { fixture.stream.confirm(now: at(now * millisecond), acknowledged: nil) }
      switch Int.random(in: 0..<5, using: &random) {
      case 0: fixture.stream.rewind()
      case 1: try fixture.restart()
      case 2:
        fixture.stream.skipUnconfirmed()
        told += fixture.stream.takeNewGaps().reduce(0) { $0 + $1.count }
      default: break
      }
      let lost = fixture.stream.counters(now: at(now * millisecond)).lost
      #expect(lost == told, "seed \(seed)")
      #expect(lost >= previous)
      previous = lost
    }
    fixture.call.hangUp()
    try fixture.take(at: now + 20)
    told += fixture.stream.takeNewGaps().reduce(0) { $0 + $1.count }
    #expect(told > 0)
    #expect(fixture.stream.isDrained)
    #expect(fixture.stream.counters(now: at(now * millisecond)).lost == told, "seed \(seed)")
  }

  @Test("When the writer is gone without a word, what it published is the end")
  func orphaned() throws {
    let fixture = try StreamFixture()
    fixture.call.speak(frames: 30)
    try fixture.take(at: 600)
    #expect(!fixture.stream.isDrained)
    fixture.stream.isOrphaned = true
    try fixture.take(at: 620)
    #expect(fixture.stream.isDrained)
    #expect(fixture.taken == fixture.call.expected)
    // A writer that lives on, against what we were told: nobody spins on it, and what it writes is not delivered.
    let expected = fixture.taken
    fixture.call.speak(frames: 1)
    fixture.stream.confirmAll()
    #expect(try fixture.take(at: 660) == 0)
    #expect(fixture.taken == expected)
    #expect(fixture.stream.undeliveredMilliseconds(now: at(660 * millisecond)) > 0)
  }

  @Test(
    "With and without fill the last words before a silence are sent, while the call goes on", arguments: [true, false])
  func lastWords(fill: Bool) throws {
    let fixture = try StreamFixture(fill: fill)
    fixture.call.speak(frames: 50)
    fixture.call.speak(.in, frames: 7)
    try fixture.take(at: 1140)
    #expect(fixture.taken.count < 57 * 160)
    try fixture.take(at: 4000)
    let expected = TestCall.expected(frames: 50) + TestCall.expected(frames: 57, .in).dropFirst(50 * 160)
    #expect(Array(fixture.taken.prefix(expected.count)) == expected)
    #expect(fixture.taken.dropFirst(expected.count).allSatisfy { $0 == 0 })
    #expect(fill == (fixture.taken.count > expected.count))
  }

  @Test("Without fill a server that has more than was confirmed gets all that follows a loss, behind what it has")
  func resumesBehindALoss() throws {
    let fixture = try StreamFixture(bufferSeconds: 1, fill: false)
    fixture.call.speak(frames: 100)
    try fixture.take(at: 2000)
    fixture.stream.recordSent(now: at(2000 * millisecond), offset: 1, audioBytes: 0)
    _ = fixture.stream.takeNewGaps()
    let reached = fixture.stream.position
    #expect(reached > 0 && fixture.stream.confirmedPosition == 0)
    fixture.stream.rewind()
    // The server has all of it; what would be sent again to find that out is overwritten meanwhile.
    fixture.call.speak(frames: 600)
    fixture.stream.resume(at: Position(reached.frames - 1))
    fixture.taken = []
    let first = try #require(try fixture.stream.nextBlock(now: at(14_000 * millisecond)))
    #expect(reached - first.position == 1)
    fixture.taken = fixture.stream.samples
    try fixture.take(at: 14_000)
    fixture.call.hangUp()
    try fixture.take(at: 14_020)
    let end = try #require(fixture.stream.takeNewGaps().map { $0.start + $0.count }.max())
    #expect(fixture.taken == Array(fixture.call.expected.dropFirst(Int(end))))
  }

  @Test(
    "What a server says it has is not missing, to the block, although the ring has lost it", arguments: [61, 62, 63])
  func resumesAtAnyBlock(count: Int) throws {
    let fixture = try StreamFixture(bufferSeconds: 2)
    fixture.call.speak(frames: 100)
    // Sent within a moment, and acknowledged up to the first half second only.
    var blocks = 0
    while blocks < count, let block = try fixture.stream.nextBlock(now: at(2000 * millisecond)) {
      blocks += 1
      fixture.stream.recordSentBlock(now: at(2000 * millisecond), offset: 0, audioBytes: 320)
      if blocks == 25 { fixture.stream.confirm(position: block.position + UInt64(block.frameCount)) }
    }
    let reached = fixture.stream.position
    #expect(reached.frames == UInt64(count) * 160)
    fixture.stream.rewind()
    fixture.call.speak(frames: 600)
    fixture.stream.resume(at: reached)
    #expect(fixture.stream.confirmedPosition == reached)
    try fixture.take(at: 14_000)
    let gaps = fixture.stream.takeNewGaps()
    #expect(gaps.map(\.direction).contains(.in) && gaps.map(\.direction).contains(.out))
    #expect(gaps.allSatisfy { $0.reason == .overrun && $0.start >= reached.frames }, "\(gaps)")
    #expect(gaps.contains { $0.start == reached.frames }, "\(gaps)")
  }

  @Test("Fill that the server was not told before a break is told behind it")
  func fillUntoldIsTold() throws {
    let fixture = try StreamFixture(collectsMarkers: true)
    fixture.call.speak(.in, frames: 10)
    try fixture.take(at: 2000)
    fixture.stream.recordSentBlock(now: at(2000 * millisecond), offset: 0, audioBytes: 320)
    let reached = fixture.stream.position
    fixture.stream.confirm(position: reached)
    #expect(reached > 0 && fixture.stream.confirmedPosition == 0, "nothing is confirmed of which it was not told all")
    fixture.stream.rewind()
    fixture.stream.resume(at: reached)
    #expect(fixture.stream.confirmedPosition == reached)
    let told = fixture.stream.takeRanges(all: true)
    #expect(told == [.fill(.out, position: 0, frames: reached.frames)], "\(told)")
  }

  @Test("With replay = none a break loses what was not confirmed, says so once, and repeats nothing")
  func skipsUnconfirmed() throws {
    let fixture = try StreamFixture()
    for moment in stride(from: 20 as Int64, through: 2000, by: 20) {
      fixture.call.speak(frames: 1)
      try fixture.deliver(from: moment, to: moment + 20)
    }
    let sent = fixture.taken.count
    let before = fixture.stream.counters(now: at(2000 * millisecond))
    #expect(before.delivered < before.captured && before.lost == 0)
    fixture.stream.skipUnconfirmed()
    let gaps = fixture.stream.takeNewGaps()
    #expect(gaps.map(\.direction) == [.in, .out])
    for gap in gaps {
      #expect(gap.reason == .unconfirmed)
      #expect(gap.start == before.confirmed)
      #expect(gap.start + gap.count == UInt64(sent))
    }
    // Another break right behind it finds nothing more, and a killed engine's successor knows.
    fixture.stream.skipUnconfirmed()
    #expect(fixture.stream.takeNewGaps() == [])
    try fixture.restart()
    fixture.call.speak(frames: 50)
    fixture.call.hangUp()
    try fixture.take(at: 3100)
    #expect(fixture.taken == Array(fixture.call.expected.dropFirst(sent)), "what comes next is what was never sent")
    fixture.stream.confirmAll()
    let end = fixture.stream.counters(now: at(3100 * millisecond))
    #expect(end.lost == gaps.reduce(0) { $0 + $1.count })
    #expect(end.gaps == 2)
    #expect(end.delivered + end.lost == end.captured)
    #expect(fixture.stream.abandonRest() == [])
  }

  @Test("With replay = none what was overwritten is not told again as unconfirmed")
  func skipsBehindAnOverrun() throws {
    let fixture = try StreamFixture(bufferSeconds: 1)
    fixture.call.speak(frames: 600)
    try fixture.take(at: 12_000)
    fixture.stream.recordSent(now: at(12_000 * millisecond), offset: 1, audioBytes: 0)
    // The gaps have been found and nobody has fetched them.
    fixture.stream.skipUnconfirmed()
    let gaps = fixture.stream.takeNewGaps()
    #expect(Set(gaps.map(\.reason)) == [.overrun, .unconfirmed])
    for direction in Direction.allCases {
      let parts = gaps.filter { $0.direction == direction }.sorted { $0.start < $1.start }
      for (first, second) in zip(parts, parts.dropFirst()) { #expect(first.start + first.count <= second.start) }
    }
    fixture.call.hangUp()
    try fixture.take(at: 12_100)
    fixture.stream.confirmAll()
    let end = fixture.stream.counters(now: at(12_100 * millisecond))
    #expect(end.lost == gaps.reduce(0) { $0 + $1.count })
    #expect(end.delivered + end.lost == end.captured)
  }

  @Test("What an earlier release saved is read: then nothing is known of the outage, and of who accepted the fork")
  func earlierCursorRecords() throws {
    var record = CursorRecord()
    record.connections = 3
    record.textsDropped = 9
    let current = record.encode()
    // Version, six numbers, the count of words of `ponged`, of `accepted`, no outage, and two empty lists.
    #expect(current.count == 1 + 48 + 1 + 1 + 1 + 2)
    let numbers = Array(current[1..<49])
    func word(_ value: UInt8) -> [UInt8] { [value] + [UInt8](repeating: 0, count: 7) }
    record.ponged = EndpointSet(words: [5])
    #expect(CursorRecord(decoding: [6] + numbers + word(5) + [0, 0]) == record)
    record.ponged = EndpointSet(words: [5, 6])
    #expect(CursorRecord(decoding: [7] + numbers + [2] + word(5) + word(6) + [0, 0]) == record)
    #expect(record.accepted == nil && record.outage == nil)
    for version: UInt8 in [0, 5, 9] {
      #expect(CursorRecord(decoding: [version] + Array(current.dropFirst())) == nil)
    }
    // Version 8 before it had silences.
    let earlier = CursorRecord(decoding: [8] + numbers + [0, 0, 1] + word(9) + word(1) + [0, 0])
    #expect(earlier?.outage == SavedOutage(attempts: 9, began: 1) && earlier?.silences == [])
    for bits: UInt8 in [2, 4, 8, 9, 18, 20, 32, 33] {
      #expect(CursorRecord(decoding: [8] + numbers + [0, 0, bits] + word(1) + word(1) + [0, 0]) == nil, "\(bits)")
    }
  }

  @Test("A cursor record survives its encoding; anything else is refused without a trap")
  func cursorRecord() throws {
    let renderer = Renderer<NoConverter>(RenderConfiguration(directions: .both, wireRateHertz: 8000))
    var record = CursorRecord()
    record.checkpoint = renderer.checkpoint
    record.completedAt = 12
    record.connections = 3
    record.bytes = 1 << 40
    record.textsDropped = 9
    record.gaps = 4
    record.ponged = EndpointSet(words: [5])
    record.accepted = EndpointSet(words: [7, 1])
    record.outage = SavedOutage(attempts: 9, began: 1, emptyCloseAt: 2, connectedSince: 3)
    for gap in [5..<7, 8..<9] as [Range<UInt64>] { _ = record.reportedIn.report(gap) }
    for place in 0..<UInt64(ReportedGaps.rangesMax) { _ = record.reportedOut.report((place * 2)..<(place * 2 + 1)) }
    let bytes = record.encode()
    #expect(CursorRecord(decoding: bytes) == record)
    var empty = CursorRecord()
    empty.accepted = EndpointSet()
    #expect(CursorRecord(decoding: CursorRecord().encode()) == empty)
    for isDelivered in [true, false] {
      for outage in [nil, record.outage] {
        var ended = record
        ended.isDelivered = isDelivered
        ended.outage = outage
        #expect(CursorRecord(decoding: ended.encode()) == ended)
      }
    }
    for outage in [
      nil, SavedOutage(attempts: 0, began: -1), SavedOutage(attempts: 1, began: 2, emptyCloseAt: 3),
      SavedOutage(attempts: 1, began: 2, connectedSince: 3),
    ] {
      var other = record
      other.outage = outage
      for silences: [UInt8] in [[], [1], [0, 16]] {
        other.silences = silences
        #expect(CursorRecord(decoding: other.encode()) == other)
      }
    }
    let withoutCheckpoint = bytes.count - renderer.checkpoint.encode().count
    for count in 0..<bytes.count where count != withoutCheckpoint {
      #expect(CursorRecord(decoding: Array(bytes.prefix(count))) == nil)
    }
    var more = record
    more.skipped = 1
    #expect(CursorRecord(decoding: more.encode()) == nil, "more was skipped than was ever rendered")
    var random = SeededRandom(seed: 1)
    for _ in 0..<2000 {
      var broken = bytes
      for _ in 0..<3 {
        broken[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
      }
      _ = CursorRecord(decoding: broken)
    }
  }
}
