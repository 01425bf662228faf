// SPDX-License-Identifier: Apache-2.0
import AudioForkMedia
import AudioForkEngine
import AudioForkTestKit
import Testing

@Suite("Delivery log")
struct DeliveryLogTests {
  private let configuration = RenderConfiguration(directions: .both, wireRateHertz: 8000)

  private var start: Checkpoint { Renderer<NoConverter>(configuration).checkpoint }

  /// A place behind so many samples of both directions, all of them rendered.
  private func mark(_ frames: UInt64, overrunIn: UInt64 = 0) -> DeliveryLog.Mark {
    var checkpoint = start
    checkpoint.counters.position = Position(frames)
    checkpoint.counters.in.rendered = frames - overrunIn
    checkpoint.counters.in.overrun = overrunIn
    checkpoint.counters.out.rendered = frames
    return DeliveryLog.Mark(checkpoint: checkpoint, completedAt: at(Int64(frames) * 125_000))
  }

  private func gap(
    _ direction: Direction, _ range: Range<UInt64>, _ reason: Gap.Reason = .overrun, position: Position = 0
  ) -> Gap {
    Gap(
      direction: direction, start: range.lowerBound, count: UInt64(range.count), reason: reason, position: position)
  }

  // #expect takes no mutating call.
  private func confirm(_ log: inout DeliveryLog, _ position: Position) -> Bool { log.confirm(position: position) }

  @Test("What is sent is not confirmed before the server says so; a break goes back to what is")
  func confirms() {
    var log = DeliveryLog(start: start)
    #expect(!log.isResumed && log.confirmedPosition == 0)
    for frames: UInt64 in [160, 320, 480] { log.recordSent(mark(frames), now: 0, offset: frames * 2) }
    #expect(log.confirmedPosition == 0)
    #expect(confirm(&log, 400))
    #expect(log.confirmed == mark(320) && log.confirmedPosition == 320)
    #expect(!confirm(&log, 400))
    log.connectionLost()
    #expect(!confirm(&log, 480), "that connection is lost")
    let isMoved = log.resume(at: 480)
    #expect(isMoved && log.confirmed == mark(480))
    log.confirmAll(at: mark(800))
    #expect(log.confirmedPosition == 800)
  }

  @Test("A record brings the whole log to the next engine; one of another configuration only the totals")
  func record() {
    var log = DeliveryLog(start: start)
    log.totals = DeliveryLog.Totals(connections: 3, bytes: 1000, textsDropped: 2)
    _ = log.ponged.insert(1)
    log.gaps.note([gap(.in, 700..<900)])
    log.gaps.reportNoted()
    log.recordSent(mark(320), now: 0, offset: 1)
    log.skipUnconfirmed(to: mark(480))
    let decisions = [ClockDecision(sequence: 1, from: 0, to: 2), ClockDecision(sequence: 2, from: 2, to: 5)]
    let record = log.record(decisions)
    #expect(record.checkpoint == mark(480).checkpoint.withClockDecisions(decisions))
    let next = DeliveryLog(record, start: start)
    #expect(next.isResumed && next.confirmedPosition == 480 && next.totals == log.totals && next.ponged == log.ponged)
    #expect(next.confirmed.completedAt == mark(480).completedAt)
    #expect(next.record(decisions) == record)
    let rendered = mark(480).checkpoint.counters
    #expect(next.counters(rendered: rendered) == log.counters(rendered: rendered))

    let other = RenderConfiguration(directions: .in, wireRateHertz: 16_000)
    let begun = DeliveryLog(record, start: Renderer<NoConverter>(other).checkpoint)
    #expect(!begun.isResumed && begun.confirmedPosition == 0 && begun.totals == log.totals)
    #expect(begun.gaps.skipped == 0 && begun.gaps.count == log.gaps.count)
  }

  @Test("Audio that is not sent again is lost once, for the reason that was there first, and is no longer undelivered")
  func skips() {
    var log = DeliveryLog(start: start)
    log.confirmAll(at: mark(160))
    log.recordSent(mark(480, overrunIn: 80), now: 0, offset: 1)
    log.gaps.note([gap(.in, 200..<280, position: 200)])
    log.skipUnconfirmed(to: mark(480, overrunIn: 80))
    let gaps = log.gaps.take()
    #expect(
      gaps == [
        gap(.in, 200..<280, position: 200), gap(.in, 160..<200, .unconfirmed, position: 160),
        gap(.in, 280..<480, .unconfirmed, position: 160), gap(.out, 160..<480, .unconfirmed, position: 160),
      ])
    let counters = log.counters(rendered: mark(480, overrunIn: 80).checkpoint.counters)
    #expect(counters.lost == 640 && counters.gaps == 4)
    #expect(counters.delivered + counters.lost == 960)
    #expect(counters.accountedIn == 480 && counters.accountedOut == 480 && counters.confirmed == 480)
    log.skipUnconfirmed(to: mark(480, overrunIn: 80))
    #expect(log.gaps.take() == [])
  }

  @Test("At the fork's end all that was captured and is not confirmed is lost")
  func abandons() {
    var log = DeliveryLog(start: start)
    log.confirmAll(at: mark(160))
    log.abandon(capturedIn: 200, capturedOut: 160)
    #expect(log.gaps.take() == [gap(.in, 160..<200, .undelivered, position: 160)])
    let counters = log.counters(rendered: log.confirmed.checkpoint.counters)
    #expect(counters.delivered + counters.lost == 360)
    log.abandon(capturedIn: 200, capturedOut: 160)
    #expect(log.gaps.take() == [])
  }

  @Test("The first connection is no reconnect")
  func reconnects() {
    #expect(DeliveryLog.Totals().reconnects == 0)
    #expect(DeliveryLog.Totals(connections: 1).reconnects == 0)
    #expect(DeliveryLog.Totals(connections: 4).reconnects == 3)
  }
}

@Suite("Gap ledger")
struct GapLedgerTests {
  private func gap(_ range: Range<UInt64>, _ direction: Direction = .in) -> Gap {
    Gap(direction: direction, start: range.lowerBound, count: UInt64(range.count), reason: .overrun, position: 5)
  }

  // #expect takes no mutating call.
  private func report(_ ledger: inout GapLedger) -> Bool { ledger.reportNoted() }
  private func take(_ ledger: inout GapLedger) -> [Gap] { ledger.take() }

  @Test("A gap that is met again is reported for the part that is new, each part once")
  func parts() {
    var ledger = GapLedger()
    #expect(!report(&ledger))
    ledger.note([gap(10..<20), gap(10..<20, .out)])
    #expect(take(&ledger) == [], "a gap is reported before it is taken")
    #expect(report(&ledger))
    #expect(take(&ledger) == [gap(10..<20), gap(10..<20, .out)])
    #expect(take(&ledger) == [])
    ledger.note([gap(10..<20)])
    #expect(!report(&ledger) && take(&ledger) == [])
    ledger.note([gap(5..<25)])
    #expect(report(&ledger))
    #expect(take(&ledger) == [gap(5..<10), gap(20..<25)])
    #expect(ledger.count == 4)
    ledger.note([Gap(direction: .in, start: .max - 1, count: 5, reason: .ahead, position: 0)])
    #expect(!report(&ledger), "a count that wraps is no gap")
  }

  @Test("Lost is what the stream has passed, what was skipped, and what a replay has not come to again")
  func lost() {
    var ledger = GapLedger()
    ledger.note([gap(10..<20)])
    ledger.reportNoted()
    ledger.skip(gap(40..<45, .out))
    var rendered = RenderCounters()
    #expect(ledger.lost(rendered: rendered) == 10 + 5 + 5, "the skipped samples lie behind this place")
    rendered.in.rendered = 10
    rendered.in.overrun = 10
    rendered.out.rendered = 45
    #expect(ledger.lost(rendered: rendered) == 15)
    ledger.forget(before: rendered)
    #expect(ledger.reportedIn.ranges == [] && ledger.reportedOut.ranges == [])
    #expect(ledger.lost(rendered: rendered) == 15)
  }
}
