// SPDX-License-Identifier: Apache-2.0
import AudioForkMedia
import AudioForkDialects
import AudioForkEngine
import AudioForkEngineTestKit
import AudioForkTestKit
import Testing

@Suite("Pending markers")
struct PendingMarkersTests {
  private let gap = Gap(direction: .in, start: 5, count: 7, reason: .overrun, position: 160)
  private let digit = CapturedDigit(direction: .out, digit: UInt8(ascii: "7"), milliseconds: 90)
  private let fill = StreamRange(.fill, .in, position: 160, frames: 80)
  private let mute = StreamRange(.muted, .out, position: 320, frames: 160)

  private func checkpoint(sequence: UInt64, position: Position) -> Checkpoint {
    let configuration = RenderConfiguration(directions: .both, wireRateHertz: 8000)
    var checkpoint = Renderer<NoConverter>(configuration).checkpoint
    checkpoint.sequence = sequence
    checkpoint.counters.position = position
    return checkpoint
  }

  @Test("Gaps and digits come in their order, once; without a dialect that has them nothing is collected")
  func collects() {
    var markers = PendingMarkers(isCollecting: true)
    markers.note([gap])
    markers.note(digit, sequence: 3, position: 480)
    let taken = markers.take()
    #expect(taken == [.gap(gap), .digit(.out, position: 480, digit: UInt8(ascii: "7"), milliseconds: 90)])
    let again = markers.take()
    #expect(again == [])
    var deaf = PendingMarkers(isCollecting: false)
    deaf.note([gap])
    deaf.note(digit, sequence: 3, position: 480)
    let none = deaf.take()
    #expect(none == [])
  }

  @Test("After a break digits are told from the confirmed entry on, and what waited belongs to the lost connection")
  func digits() {
    var markers = PendingMarkers(isCollecting: true)
    markers.note([gap])
    markers.resume(at: checkpoint(sequence: 10, position: 0))
    markers.note(digit, sequence: 9, position: 0)
    let before = markers.take()
    #expect(before == [])
    markers.note(digit, sequence: 10, position: 0)
    let taken = markers.take()
    #expect(taken.count == 1)
  }

  @Test("Ranges are due once a second; a mark where they were just told carries them for a replay, one behind does not")
  func ranges() {
    let rate = SampleRate(hertz: 8000)
    var markers = PendingMarkers(isCollecting: true)
    #expect(!markers.areRangesDue(at: 7999, rate: rate))
    #expect(markers.areRangesDue(at: 8000, rate: rate))
    #expect(markers.ranges(untaken: [fill], at: 8000) == [fill])
    let told = markers.take([fill, mute], at: 8000)
    #expect(told == [.fill(.in, position: 160, frames: 80), .mute(.out, position: 320, frames: 160)])
    #expect(!markers.areRangesDue(at: 15_999, rate: rate))
    #expect(markers.ranges(untaken: [], at: 8000) == [fill, mute])
    #expect(markers.ranges(untaken: [mute], at: 8160) == [mute], "a server that has later audio has been told")
    markers.connectionBegan(at: 8000)
    #expect(markers.ranges(untaken: [], at: 8000) == [])
    _ = markers.take([fill], at: 8000)
    markers.resume(at: checkpoint(sequence: 0, position: 4000))
    #expect(markers.ranges(untaken: [], at: 8000) == [])
    #expect(!markers.areRangesDue(at: 11_999, rate: rate))
    #expect(markers.areRangesDue(at: 12_000, rate: rate))
  }
}

@Suite("Spool trigger")
struct SpoolTriggerTests {
  private func time(_ milliseconds: Int64) -> StreamTime { at(milliseconds * millisecond) }

  @Test("Copying begins a third of the buffer after what is confirmed, and pauses below a sixth")
  func thresholds() {
    var trigger = SpoolTrigger(bufferSeconds: 6)
    func update(_ now: Int64, confirmedAt: Int64) -> Bool {
      trigger.update(now: time(now), confirmedAt: time(confirmedAt), isWaiting: true, isClosed: false)
    }
    #expect(!update(2000, confirmedAt: 0))
    #expect(update(2001, confirmedAt: 0))
    #expect(update(2001, confirmedAt: 1001), "between the two it stays as it is")
    #expect(!update(2001, confirmedAt: 1002))
    #expect(!update(4001, confirmedAt: 2001))
  }

  @Test("A silence is no outage, and a closed ring overwrites nothing")
  func nothingWaits() {
    var trigger = SpoolTrigger(bufferSeconds: 6)
    func update(_ now: Int64, isWaiting: Bool, isClosed: Bool = false) -> Bool {
      trigger.update(now: time(now), confirmedAt: time(0), isWaiting: isWaiting, isClosed: isClosed)
    }
    #expect(!update(60_000, isWaiting: false))
    #expect(!update(62_000, isWaiting: true))
    #expect(update(62_001, isWaiting: true))
    #expect(!update(62_002, isWaiting: true, isClosed: true))
  }
}
