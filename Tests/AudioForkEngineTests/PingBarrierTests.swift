// SPDX-License-Identifier: Apache-2.0
import AudioForkCore
import AudioForkEngine
import AudioForkTestKit
import Testing

@Suite("Ping barrier")
struct PingBarrierTests {
  private let interval = PingBarrier.interval.count

  /// A barrier with a ping for `position` out since time 0.
  private func asked(_ position: Position = 8000) -> PingBarrier {
    var barrier = PingBarrier(isOn: true, now: 0)
    barrier.sent(position: position, now: 0)
    return barrier
  }

  @Test("A pong that carries the position confirms it; one ping is out at a time, and the next comes in its time")
  func answered() {
    var barrier = PingBarrier(isOn: true, now: 0)
    #expect(barrier.isDue(position: 160, now: 0, unconfirmed: true, isUrgent: false), "the first at once")
    barrier.sent(position: 160, now: 0)
    #expect(!barrier.isDue(position: 8000, now: at(10 * interval), unconfirmed: true, isUrgent: true))
    #expect(!barrier.hasPonged)
    #expect(barrier.pong(PingBarrier.payload(160)) == 160)
    #expect(barrier.hasPonged)
    #expect(!barrier.isDue(position: 320, now: at(interval - 1), unconfirmed: true, isUrgent: false))
    #expect(barrier.isDue(position: 320, now: at(interval - 1), unconfirmed: true, isUrgent: true), "delivery waits for it")
    #expect(barrier.isDue(position: 320, now: at(interval), unconfirmed: true, isUrgent: false))
  }

  @Test("Nothing in flight: a ping now and then, for the proxies on the way")
  func idle() {
    var barrier = asked()
    _ = barrier.pong(PingBarrier.payload(8000))
    let idle = PingBarrier.idleInterval.count
    #expect(!barrier.isDue(position: 8000, now: at(idle - 1), unconfirmed: false, isUrgent: false))
    #expect(barrier.isDue(position: 8000, now: at(idle), unconfirmed: false, isUrgent: false))
    #expect(!barrier.isDue(position: 8000, now: at(interval), unconfirmed: true, isUrgent: true), "this was answered")
  }

  @Test("Pongs that nobody asked for, of other lengths, or ahead of what was sent, confirm nothing")
  func foreignPongs() {
    var barrier = asked(8000)
    #expect(barrier.pong([]) == nil)
    #expect(barrier.pong([1, 2, 3, 4, 5, 6, 7]) == nil)
    #expect(barrier.pong(PingBarrier.payload(1) + [0]) == nil)
    #expect(barrier.pong(PingBarrier.payload(8001)) == nil)
    #expect(barrier.pong([UInt8](repeating: 255, count: 8)) == nil)
    #expect(!barrier.hasPonged)
    #expect(barrier.pong(PingBarrier.payload(4000)) == 4000, "an earlier one proves what it says")
    #expect(barrier.pong(PingBarrier.payload(8000)) == 8000)
    #expect(barrier.pong(PingBarrier.payload(8000)) == nil, "twice the same")
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
    #expect(!barrier.isDead(now: at(10 * long), speaks: false, since: 0))
    #expect(barrier.isDead(now: at(10 * long), speaks: true, since: 0), "it acknowledges, and has stopped doing so")
    #expect(!barrier.isDead(now: at(long - 1), speaks: true, since: 0))
    _ = barrier.pong(PingBarrier.payload(8000))
    #expect(!barrier.isDead(now: at(10 * long), speaks: false, since: 0), "nothing is out")
    barrier.sent(position: 16_000, now: at(long))
    #expect(!barrier.isDead(now: at(2 * long - 1), speaks: false, since: 0))
    #expect(barrier.isDead(now: at(2 * long), speaks: false, since: 0))
    barrier.heard(7, now: at(2 * long - 1))
    #expect(!barrier.isDead(now: at(3 * long - 2), speaks: false, since: 0), "a late pong of one who speaks is back-pressure")
    barrier.heard(7, now: at(3 * long - 2))
    #expect(barrier.isDead(now: at(3 * long - 1), speaks: false, since: 0), "the same count is no news")
  }

  @Test("A server that has ponged on an earlier connection is waited for: its kernel's word is not taken, nor a loss for an offence")
  func known() {
    let limit: Int64 = 7_000_000_000
    var barrier = PingBarrier(isOn: true, isHopeful: false, isKnown: true, silenceMax: Nanoseconds(limit), now: 0)
    #expect(barrier.isUndecided(now: at(100 * limit)))
    barrier.sent(position: 1, now: 0)
    #expect(!barrier.mayHaveOffended(now: 1))
    #expect(!barrier.isMute(now: at(100 * limit)))
    #expect(!barrier.isDead(now: at(limit - 1), speaks: false, since: 0))
    #expect(barrier.isDead(now: at(limit), speaks: false, since: 0))
  }

  @Test("One that has ponged on an earlier connection, speaks and leaves the first ping alone is another one now")
  func another() {
    let limit: Int64 = 7_000_000_000
    var barrier = PingBarrier(isOn: true, isKnown: true, silenceMax: Nanoseconds(limit), now: 0)
    #expect(!barrier.hasFallenSilent(now: at(2 * limit)), "it was not asked")
    barrier.sent(position: 1, now: 0)
    #expect(!barrier.hasFallenSilent(now: at(limit - 1)))
    #expect(barrier.hasFallenSilent(now: at(limit)))
    #expect(barrier.isUndecided(now: at(limit)), "nothing at all is a dead connection and no word about pings")
    barrier.heard(1, now: at(limit - 1))
    #expect(barrier.isUndecided(now: at(limit - 1)))
    #expect(!barrier.isUndecided(now: at(limit)))
    #expect(barrier.isMute(now: at(limit)))
    _ = barrier.pong(PingBarrier.payload(1))
    #expect(!barrier.hasFallenSilent(now: at(2 * limit)))
  }

  @Test("One that has ponged on this connection, speaks and does not pong any more is found out")
  func stopped() {
    let limit: Int64 = 7_000_000_000
    var barrier = PingBarrier(isOn: true, silenceMax: Nanoseconds(limit), now: 0)
    barrier.sent(position: 1, now: 0)
    barrier.heard(1, now: 1)
    func isFound(_ now: Int64) -> Bool { barrier.hasStoppedPonging(now: at(now), limit: Nanoseconds(limit)) }
    #expect(!isFound(2 * limit), "it has not begun")
    _ = barrier.pong(PingBarrier.payload(1))
    #expect(!isFound(2 * limit), "it owes nothing")
    barrier.heard(2, now: at(limit))
    barrier.sent(position: 2, now: at(limit))
    #expect(!isFound(2 * limit), "it says nothing behind the ping")
    barrier.heard(3, now: at(limit + 1))
    #expect(!isFound(2 * limit), "what was on its way when it died")
    barrier.heard(4, now: at(2 * limit - 2))
    #expect(!isFound(2 * limit - 1))
    #expect(isFound(2 * limit))
    #expect(!barrier.hasStoppedPonging(now: at(2 * limit), limit: Nanoseconds(limit + 1)), "nothing is lost by waiting")
    _ = barrier.pong(PingBarrier.payload(2))
    #expect(!isFound(2 * limit))
  }

  @Test("A server that is sent nothing has more time, and silence before there was anything to say is none")
  func idleSilence() {
    let limit: Int64 = 7_000_000_000
    var barrier = PingBarrier(isOn: true, silenceMax: Nanoseconds(limit), now: 0)
    barrier.sent(position: 1, now: 0)
    _ = barrier.pong(PingBarrier.payload(1))
    barrier.sent(position: 1, now: at(limit))
    #expect(!barrier.isDead(now: at(3 * limit), speaks: false, since: nil))
    #expect(barrier.isDead(now: at(limit + PingBarrier.deadAfter.count), speaks: false, since: nil))
    // One that never pongs, and has had nothing to acknowledge for a while.
    var mute = PingBarrier(isOn: true, silenceMax: Nanoseconds(limit), now: 0)
    mute.sent(position: 1, now: 0)
    #expect(!mute.isDead(now: at(100 * limit), speaks: true, since: nil))
    #expect(!mute.isQuiet(now: at(100 * limit), since: at(100 * limit)))
    #expect(!mute.isDead(now: at(101 * limit - 1), speaks: true, since: at(100 * limit)))
    #expect(mute.isDead(now: at(101 * limit), speaks: true, since: at(100 * limit)))
  }

  @Test("Whether a server pongs is open for a second; one that did not on an earlier connection gets none")
  func undecided() {
    let patience = PingBarrier.firstAnswerMax.count
    let barrier = asked()
    #expect(barrier.isUndecided(now: at(patience - 1)))
    #expect(!barrier.isMute(now: at(patience - 1)))
    #expect(!barrier.isUndecided(now: at(patience)))
    #expect(barrier.isMute(now: at(patience)))
    #expect(barrier.isDue(position: 9, now: at(PingBarrier.idleInterval.count), unconfirmed: true, isUrgent: false), "asked again")
    var late = barrier
    _ = late.pong(PingBarrier.payload(8000))
    #expect(late.hasPonged && !late.isMute(now: at(patience)), "a late pong counts")
    let hopeless = PingBarrier(isOn: true, isHopeful: false, now: 0)
    #expect(!hopeless.isUndecided(now: 0))
    let off = PingBarrier(isOn: false, now: 0)
    #expect(!off.isUndecided(now: 0))
    #expect(!off.isDue(position: 1, now: at(.max / 2), unconfirmed: true, isUrgent: true))
    #expect(!off.isMute(now: at(.max / 2)))
  }

  @Test("A server that pongs and owes no answer for long is no case for the kernel")
  func owesNothing() {
    var barrier = PingBarrier(isOn: true, now: 0)
    #expect(!barrier.isAnswered(now: 0), "nobody knows yet")
    barrier.sent(position: 1, now: 0)
    _ = barrier.pong(PingBarrier.payload(1))
    #expect(barrier.isAnswered(now: at(2 * PingBarrier.interval.count - 1)))
    #expect(!barrier.isAnswered(now: at(2 * PingBarrier.interval.count)), "it was not asked for a while")
    barrier.sent(position: 2, now: 20_000_000_000)
    #expect(barrier.isAnswered(now: at(20_000_000_000 + 2 * PingBarrier.interval.count - 1)))
    #expect(!barrier.isAnswered(now: at(20_000_000_000 + 2 * PingBarrier.interval.count)))
  }

  @Test("Only a close right behind the very first ping is blamed on it")
  func offence() {
    var barrier = PingBarrier(isOn: true, now: 0)
    #expect(!barrier.mayHaveOffended(now: 0))
    barrier.sent(position: 1, now: 0)
    #expect(barrier.mayHaveOffended(now: 999_999_999))
    #expect(!barrier.mayHaveOffended(now: 1_000_000_000))
    _ = barrier.pong(PingBarrier.payload(1))
    barrier.sent(position: 2, now: 500)
    #expect(!barrier.mayHaveOffended(now: 501))
  }

  @Test("Another interval holds for what is in flight, and pings are counted")
  func otherInterval() {
    let sparse = PingTolerance.sparseInterval.count
    var barrier = PingBarrier(isOn: true, interval: Nanoseconds(sparse), now: 0)
    #expect(barrier.isDue(position: 1, now: 0, unconfirmed: true, isUrgent: false))
    barrier.sent(position: 1, now: 0)
    _ = barrier.pong(PingBarrier.payload(1))
    #expect(!barrier.isDue(position: 2, now: at(sparse - 1), unconfirmed: true, isUrgent: false))
    #expect(barrier.isDue(position: 2, now: at(sparse), unconfirmed: true, isUrgent: false))
    #expect(barrier.isAnswered(now: at(2 * sparse - 1)) && !barrier.isAnswered(now: at(2 * sparse)))
    barrier.sent(position: 2, now: at(sparse))
    #expect(barrier.count == 2)
  }
}
