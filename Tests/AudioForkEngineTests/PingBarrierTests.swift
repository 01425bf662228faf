// SPDX-License-Identifier: Apache-2.0
import AudioForkMedia
import AudioForkEngine
import AudioForkTestKit
import Testing

@Suite("Ping barrier")
struct PingBarrierTests {
  private let interval = PingBarrier.shortInterval.count

  /// A barrier with a ping for `position` out since time 0.
  private func asked(_ position: Position = 8000) -> PingBarrier {
    var barrier = PingBarrier(expecting: .unknown, now: 0)
    barrier.recordSent(position: position, now: 0)
    return barrier
  }

  @Test("A pong that carries the position confirms it; one ping is out at a time, and the next comes in its time")
  func answered() {
    var barrier = PingBarrier(expecting: .unknown, now: 0)
    #expect(barrier.isDue(position: 160, now: 0, unconfirmed: true, isUrgent: false), "the first at once")
    barrier.recordSent(position: 160, now: 0)
    #expect(!barrier.isDue(position: 8000, now: at(10 * interval), unconfirmed: true, isUrgent: true))
    #expect(!barrier.isAnswering)
    #expect(barrier.pongReceived(PingBarrier.payload(160)) == 160)
    #expect(barrier.isAnswering)
    #expect(!barrier.isDue(position: 320, now: at(interval - 1), unconfirmed: true, isUrgent: false))
    #expect(
      barrier.isDue(position: 320, now: at(interval - 1), unconfirmed: true, isUrgent: true), "delivery waits for it")
    #expect(barrier.isDue(position: 320, now: at(interval), unconfirmed: true, isUrgent: false))
  }

  @Test("Nothing in flight: a ping now and then, for the proxies on the way")
  func idle() {
    var barrier = asked()
    _ = barrier.pongReceived(PingBarrier.payload(8000))
    let idle = PingBarrier.idleInterval.count
    #expect(!barrier.isDue(position: 8000, now: at(idle - 1), unconfirmed: false, isUrgent: false))
    #expect(barrier.isDue(position: 8000, now: at(idle), unconfirmed: false, isUrgent: false))
    #expect(!barrier.isDue(position: 8000, now: at(interval), unconfirmed: true, isUrgent: true), "this was answered")
  }

  @Test("Pongs that nobody asked for, of other lengths, or ahead of what was sent, confirm nothing")
  func foreignPongs() {
    var barrier = asked(8000)
    #expect(barrier.pongReceived([]) == nil)
    #expect(barrier.pongReceived([1, 2, 3, 4, 5, 6, 7]) == nil)
    #expect(barrier.pongReceived(PingBarrier.payload(1) + [0]) == nil)
    #expect(barrier.pongReceived(PingBarrier.payload(8001)) == nil)
    #expect(barrier.pongReceived([UInt8](repeating: 255, count: 8)) == nil)
    #expect(!barrier.isAnswering)
    #expect(barrier.pongReceived(PingBarrier.payload(4000)) == 4000, "an earlier one proves what it says")
    #expect(barrier.pongReceived(PingBarrier.payload(8000)) == 8000)
    #expect(barrier.pongReceived(PingBarrier.payload(8000)) == nil, "twice the same")
  }

  @Test("The payload is 8 bytes, most significant first")
  func payload() {
    #expect(PingBarrier.payload(0x0102_0304_0506_0708) == [1, 2, 3, 4, 5, 6, 7, 8])
    #expect(PingBarrier.payload(Position(.max)).count == 8)
  }

  @Test("A server that never ponged is never dead by that; one that did is, when it says nothing at all")
  func dead() {
    let long = PingBarrier.deadAfter.count
    var barrier = asked()
    #expect(!barrier.isDead(now: at(10 * long), acknowledges: false, waitingSince: 0))
    #expect(
      barrier.isDead(now: at(10 * long), acknowledges: true, waitingSince: 0),
      "it acknowledges, and has stopped doing so")
    #expect(!barrier.isDead(now: at(long - 1), acknowledges: true, waitingSince: 0))
    _ = barrier.pongReceived(PingBarrier.payload(8000))
    #expect(!barrier.isDead(now: at(10 * long), acknowledges: false, waitingSince: 0), "nothing is out")
    barrier.recordSent(position: 16_000, now: at(long))
    #expect(!barrier.isDead(now: at(2 * long - 1), acknowledges: false, waitingSince: 0))
    #expect(barrier.isDead(now: at(2 * long), acknowledges: false, waitingSince: 0))
    barrier.framesReceived(7, now: at(2 * long - 1))
    #expect(
      !barrier.isDead(now: at(3 * long - 2), acknowledges: false, waitingSince: 0),
      "a late pong of one who speaks is back-pressure")
    barrier.framesReceived(7, now: at(3 * long - 2))
    #expect(barrier.isDead(now: at(3 * long - 1), acknowledges: false, waitingSince: 0), "the same count is no news")
  }

  @Test(
    """
    A server that has ponged on an earlier connection is waited for: its kernel's word is not taken, nor a loss for an \
    offence
    """
  )
  func known() {
    let limit: Int64 = 7_000_000_000
    var barrier = PingBarrier(expecting: .answers, silenceMax: Nanoseconds(limit), now: 0)
    #expect(barrier.standing(now: at(100 * limit)) == .undecided)
    barrier.recordSent(position: 1, now: 0)
    #expect(barrier.outcome(now: 1, hasClosed: true) == .nothing, "what is known to answer is not to blame")
    #expect(barrier.outcome(now: at(100 * limit), hasClosed: false) == .silent(spoke: false))
    #expect(!barrier.isDead(now: at(limit - 1), acknowledges: false, waitingSince: 0))
    #expect(barrier.isDead(now: at(limit), acknowledges: false, waitingSince: 0))
  }

  @Test("One that has ponged on an earlier connection, speaks and leaves the first ping alone is another one now")
  func another() {
    let limit: Int64 = 7_000_000_000
    var barrier = PingBarrier(expecting: .answers, silenceMax: Nanoseconds(limit), now: 0)
    #expect(barrier.outcome(now: at(2 * limit), hasClosed: false) == .nothing, "it was not asked")
    barrier.recordSent(position: 1, now: 0)
    #expect(barrier.outcome(now: at(limit - 1), hasClosed: false) == .nothing)
    #expect(barrier.outcome(now: at(limit), hasClosed: false) == .silent(spoke: false))
    #expect(
      barrier.standing(now: at(limit)) == .undecided, "nothing at all is a dead connection and no word about pings")
    barrier.framesReceived(1, now: at(limit - 1))
    #expect(barrier.standing(now: at(limit - 1)) == .undecided)
    #expect(barrier.standing(now: at(limit)) != .undecided)
    #expect(barrier.outcome(now: at(limit), hasClosed: false) == .silent(spoke: true))
    _ = barrier.pongReceived(PingBarrier.payload(1))
    #expect(barrier.outcome(now: at(2 * limit), hasClosed: false) == .answered(confirms: true))
  }

  @Test("One that has ponged on this connection, speaks and does not pong any more is found out")
  func stopped() {
    let limit: Int64 = 7_000_000_000
    var barrier = PingBarrier(expecting: .unknown, silenceMax: Nanoseconds(limit), now: 0)
    barrier.recordSent(position: 1, now: 0)
    barrier.framesReceived(1, now: 1)
    func isFound(_ now: Int64) -> Bool { barrier.hasStoppedAnswering(now: at(now)) }
    #expect(!isFound(2 * limit), "it has not begun")
    _ = barrier.pongReceived(PingBarrier.payload(1))
    #expect(!isFound(2 * limit), "it owes nothing")
    barrier.framesReceived(2, now: at(limit))
    barrier.recordSent(position: 2, now: at(limit))
    #expect(!isFound(2 * limit), "it says nothing behind the ping")
    barrier.framesReceived(3, now: at(limit + 1))
    #expect(!isFound(2 * limit), "what was on its way when it died")
    barrier.framesReceived(4, now: at(2 * limit - 2))
    #expect(!isFound(2 * limit - 1))
    #expect(isFound(2 * limit))
    _ = barrier.pongReceived(PingBarrier.payload(2))
    #expect(!isFound(2 * limit))
  }

  @Test("A server that is sent nothing has more time, and silence before there was anything to say is none")
  func idleSilence() {
    let limit: Int64 = 7_000_000_000
    var barrier = PingBarrier(expecting: .unknown, silenceMax: Nanoseconds(limit), now: 0)
    barrier.recordSent(position: 1, now: 0)
    _ = barrier.pongReceived(PingBarrier.payload(1))
    barrier.recordSent(position: 1, now: at(limit))
    #expect(!barrier.isDead(now: at(3 * limit), acknowledges: false, waitingSince: nil))
    #expect(barrier.isDead(now: at(limit + PingBarrier.deadAfter.count), acknowledges: false, waitingSince: nil))
    // One that never pongs, and has had nothing to acknowledge for a while.
    var mute = PingBarrier(expecting: .unknown, silenceMax: Nanoseconds(limit), now: 0)
    mute.recordSent(position: 1, now: 0)
    #expect(!mute.isDead(now: at(100 * limit), acknowledges: true, waitingSince: nil))
    #expect(!mute.isQuiet(now: at(100 * limit), since: at(100 * limit)))
    #expect(!mute.isDead(now: at(101 * limit - 1), acknowledges: true, waitingSince: at(100 * limit)))
    #expect(mute.isDead(now: at(101 * limit), acknowledges: true, waitingSince: at(100 * limit)))
  }

  @Test("Whether a server pongs is open for a second; one that did not on an earlier connection gets none")
  func undecided() {
    let patience = PingBarrier.firstAnswerMax.count
    let barrier = asked()
    #expect(barrier.standing(now: at(patience - 1)) == .undecided)
    #expect(barrier.outcome(now: at(patience - 1), hasClosed: false) == .endedAtPing(isClose: false, hadIgnored: false))
    #expect(barrier.standing(now: at(patience)) != .undecided)
    #expect(barrier.outcome(now: at(patience), hasClosed: false) == .ignored)
    #expect(
      barrier.isDue(position: 9, now: at(PingBarrier.idleInterval.count), unconfirmed: true, isUrgent: false),
      "asked again")
    var late = barrier
    _ = late.pongReceived(PingBarrier.payload(8000))
    #expect(late.isAnswering && late.standing(now: at(patience)) == .answering, "a late pong counts")
    let hopeless = PingBarrier(expecting: .nothing, now: 0)
    #expect(hopeless.standing(now: 0) != .undecided)
    let off = PingBarrier(expecting: nil, now: 0)
    #expect(off.standing(now: 0) != .undecided)
    #expect(!off.isDue(position: 1, now: at(.max / 2), unconfirmed: true, isUrgent: true))
    #expect(off.outcome(now: at(.max / 2), hasClosed: true, wasStable: false) == .notPinged(wasStable: false))
  }

  @Test("A server that pongs and owes no answer for long is no case for the kernel")
  func owesNothing() {
    var barrier = PingBarrier(expecting: .unknown, now: 0)
    #expect(!barrier.isAnswered(now: 0), "nobody knows yet")
    barrier.recordSent(position: 1, now: 0)
    _ = barrier.pongReceived(PingBarrier.payload(1))
    #expect(barrier.isAnswered(now: at(2 * PingBarrier.shortInterval.count - 1)))
    #expect(!barrier.isAnswered(now: at(2 * PingBarrier.shortInterval.count)), "it was not asked for a while")
    barrier.recordSent(position: 2, now: 20_000_000_000)
    #expect(barrier.isAnswered(now: at(20_000_000_000 + 2 * PingBarrier.shortInterval.count - 1)))
    #expect(!barrier.isAnswered(now: at(20_000_000_000 + 2 * PingBarrier.shortInterval.count)))
  }

  @Test("Only a close right behind the very first ping is blamed on it")
  func offence() {
    var barrier = PingBarrier(expecting: .unknown, now: 0)
    #expect(barrier.outcome(now: 0, hasClosed: true) == .nothing)
    barrier.recordSent(position: 1, now: 0)
    #expect(barrier.outcome(now: 999_999_999, hasClosed: true) == .endedAtPing(isClose: true, hadIgnored: false))
    #expect(barrier.outcome(now: 1_000_000_000, hasClosed: true) == .ignored)
    _ = barrier.pongReceived(PingBarrier.payload(1))
    barrier.recordSent(position: 2, now: 500)
    #expect(barrier.outcome(now: 501, hasClosed: true, confirms: false) == .answered(confirms: false))
  }

  @Test("Another interval holds for what is in flight, and pings are counted")
  func otherInterval() {
    let sparse = PingTolerance.sparseInterval.count
    var barrier = PingBarrier(expecting: .unknown, interval: Nanoseconds(sparse), now: 0)
    #expect(barrier.isDue(position: 1, now: 0, unconfirmed: true, isUrgent: false))
    barrier.recordSent(position: 1, now: 0)
    _ = barrier.pongReceived(PingBarrier.payload(1))
    #expect(!barrier.isDue(position: 2, now: at(sparse - 1), unconfirmed: true, isUrgent: false))
    #expect(barrier.isDue(position: 2, now: at(sparse), unconfirmed: true, isUrgent: false))
    #expect(barrier.isAnswered(now: at(2 * sparse - 1)) && !barrier.isAnswered(now: at(2 * sparse)))
    barrier.recordSent(position: 2, now: at(sparse))
    #expect(barrier.count == 2)
  }

  @Test("After a break pings are four times a second for half a minute, and then as steady as without one")
  func troubled() {
    let (second, short) = (Nanoseconds.seconds(1).count, PingBarrier.shortInterval.count)
    let over = PingBarrier.troubleMemory.count
    func isDue(isTroubled: Bool, _ asked: Int64, _ now: Int64) -> Bool {
      var barrier = PingBarrier(expecting: .answers, interval: .seconds(1), isTroubled: isTroubled, now: 0)
      barrier.recordSent(position: 1, now: at(asked))
      _ = barrier.pongReceived(PingBarrier.payload(1))
      return barrier.isDue(position: 2, now: at(now), unconfirmed: true, isUrgent: false)
    }
    #expect(isDue(isTroubled: true, 0, short) && !isDue(isTroubled: true, 0, short - 1))
    #expect(isDue(isTroubled: true, over - short - 1, over - 1))
    #expect(!isDue(isTroubled: true, over, over + second - 1) && isDue(isTroubled: true, over, over + second))
    #expect(!isDue(isTroubled: false, 0, second - 1) && isDue(isTroubled: false, 0, second))
  }

  @Test("A connection that takes nothing, so that no ping can be sent, is dead as one with a ping unanswered")
  func blocked() {
    let limit: Int64 = 7_000_000_000
    func isDead(_ expectation: PingBarrier.Expectation, acknowledges: Bool = false, at now: Int64) -> Bool {
      var barrier = PingBarrier(expecting: expectation, silenceMax: Nanoseconds(limit), now: 0)
      barrier.noteWritable(false, now: 1)
      barrier.noteWritable(true, now: 2)
      barrier.noteWritable(false, now: at(limit))
      barrier.noteWritable(false, now: at(limit + 1))
      return barrier.isDead(now: at(now), acknowledges: acknowledges, waitingSince: 0)
    }
    #expect(!isDead(.answers, at: 2 * limit - 1) && isDead(.answers, at: 2 * limit))
    #expect(!isDead(.unknown, acknowledges: true, at: 2 * limit - 1))
    #expect(isDead(.unknown, acknowledges: true, at: 2 * limit))
    #expect(!isDead(.unknown, at: 100 * limit) && !isDead(.nothing, at: 100 * limit), "its kernel is asked instead")
  }
}
