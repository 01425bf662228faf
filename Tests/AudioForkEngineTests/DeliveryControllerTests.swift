// SPDX-License-Identifier: Apache-2.0
import AudioForkLink
import AudioForkMedia
import AudioForkDialects
import AudioForkEngine
import AudioForkTestKit
import Testing

@Suite("Delivery controller")
struct DeliveryControllerTests {
  private typealias Progress = DeliveryController.Progress
  private static let second: Int64 = 1_000_000_000
  /// Any moment: CLOCK_MONOTONIC begins anywhere.
  private static let start: Int64 = 5_000 * second

  private func now(_ seconds: Double) -> MonotonicTime { at(Self.start + Int64(seconds * 1e9)) }

  /// A connection at 8 kHz that began at 0 s.
  private func controller(
    acknowledges: Bool = false, expecting: PingBarrier.Expectation? = .unknown, isSparse: Bool = false,
    persisted: Bool = false, isTroubled: Bool = false
  ) -> DeliveryController {
    var delivery = DeliveryController(
      DeliveryController.Settings(
        rate: SampleRate(hertz: 8000), acknowledgement: persisted ? .persisted : .received, silenceMax: .seconds(7),
        steadyInterval: .seconds(1), sparseInterval: .milliseconds(1500)))
    delivery.connectionBegan(
      acknowledges: acknowledges, expecting: expecting, isSparse: isSparse, isTroubled: isTroubled, now: now(0))
    return delivery
  }

  /// Frames of the stream that were sent and confirmed.
  private func sent(_ position: Position, confirmed: Position = 0, isAtEnd: Bool = false) -> Progress {
    Progress(position: position, confirmed: confirmed, isAtEnd: isAtEnd)
  }

  @Test("A level begins with what the dialect says and rises with the first pong; the next connection begins anew")
  func levels() {
    var delivery = controller()
    #expect(delivery.level == .tcp)
    #expect(delivery.pongReceived(PingBarrier.payload(8000)) == nil, "it was not asked")
    #expect(delivery.level == .tcp)
    _ = delivery.sendPing(at: 8000, framesHeard: 0, now: now(0))
    #expect(delivery.pongReceived(PingBarrier.payload(8000)) == 8000)
    #expect(delivery.level == .pong)
    delivery.connectionBegan(acknowledges: false, expecting: .answers, isSparse: false, now: now(1))
    #expect(delivery.level == .tcp)
    delivery.connectionBegan(acknowledges: true, expecting: .unknown, isSparse: false, now: now(2))
    #expect(delivery.level == .app)
    _ = delivery.sendPing(at: 8000, framesHeard: 0, now: now(2))
    #expect(delivery.pongReceived(PingBarrier.payload(8000)) == nil, "its acknowledgements confirm, not its pongs")
    #expect(delivery.level == .app)
  }

  @Test("Two seconds may be in flight, five for a disk; nothing holds back what can only be asked of the kernel")
  func inFlight() {
    #expect(controller().inFlightMax(now: now(0.9)) == 16_000, "it may still pong")
    #expect(controller().inFlightMax(now: now(1)) == .max)
    #expect(controller(expecting: nil).inFlightMax(now: now(0)) == .max)
    #expect(controller(expecting: .nothing).inFlightMax(now: now(0)) == .max)
    #expect(controller(expecting: .answers).inFlightMax(now: now(3600)) == 16_000)
    #expect(controller(acknowledges: true).inFlightMax(now: now(0)) == 16_000)
    #expect(controller(acknowledges: true, persisted: true).inFlightMax(now: now(0)) == 40_000)
    #expect(controller(persisted: true).inFlightMax(now: now(0)) == 16_000)
  }

  @Test(
    "A ping goes out once a second, after a break four times, at once where delivery waits for it, and rarely if idle")
  func pings() {
    var steady = controller()
    _ = steady.sendPing(at: 160, framesHeard: 0, now: now(0))
    _ = steady.pongReceived(PingBarrier.payload(160))
    #expect(!steady.wantsPing(sent(8159, confirmed: 160), now: now(0.99)))
    #expect(steady.wantsPing(sent(8159, confirmed: 160), now: now(1)))
    #expect(steady.wantsPing(sent(8160, confirmed: 160), now: now(0.5)), "half of what may be in flight")
    var delivery = controller(isTroubled: true)
    #expect(delivery.wantsPing(sent(160), now: now(0)))
    _ = delivery.sendPing(at: 160, framesHeard: 0, now: now(0))
    _ = delivery.pongReceived(PingBarrier.payload(160))
    #expect(!delivery.wantsPing(sent(320, confirmed: 160), now: now(0.2)))
    #expect(delivery.wantsPing(sent(320, confirmed: 160), now: now(0.25)))
    #expect(delivery.wantsPing(sent(320, confirmed: 160, isAtEnd: true), now: now(0.01)), "the end waits for it")
    #expect(delivery.wantsPing(sent(8160, confirmed: 160), now: now(0.01)), "half of what may be in flight")
    #expect(!delivery.wantsPing(sent(8159, confirmed: 160), now: now(0.01)))
    #expect(!delivery.wantsPing(sent(320, confirmed: 320), now: now(19)))
    #expect(delivery.wantsPing(sent(320, confirmed: 320), now: now(20)))
    var sparse = controller(expecting: .answers, isSparse: true)
    _ = sparse.sendPing(at: 160, framesHeard: 0, now: now(0))
    _ = sparse.pongReceived(PingBarrier.payload(160))
    #expect(!sparse.wantsPing(sent(8160, confirmed: 160), now: now(1)), "it cannot stand many")
    #expect(sparse.wantsPing(sent(16_160, confirmed: 160), now: now(1)))
    #expect(sparse.wantsPing(sent(320, confirmed: 160), now: now(1.5)))
  }

  @Test("A server that acknowledges is pinged only when it is silent, and nothing waits for the pong")
  func pingsAcknowledging() {
    var delivery = controller(acknowledges: true)
    #expect(delivery.check(sent(16_000), framesHeard: 0, now: now(0)) == .isAlive)
    #expect(!delivery.wantsPing(sent(16_000, isAtEnd: true), now: now(3.4)))
    #expect(delivery.wantsPing(sent(16_000), now: now(3.5)))
  }

  @Test("An acknowledgement confirms when it says enough, and ends the connection when it cannot be true")
  func acknowledgements() {
    var delivery = controller(acknowledges: true)
    #expect(delivery.acknowledgementReceived(320, .received, sent: 640) == .confirms(320))
    #expect(delivery.acknowledgementReceived(640, .persisted, sent: 640) == .confirms(640), "more than was asked for")
    #expect(
      delivery.acknowledgementReceived(641, .received, sent: 640) == .violation("an ack for audio that it was not sent")
    )
    var persisted = controller(acknowledges: true, persisted: true)
    #expect(persisted.acknowledgementReceived(320, .received, sent: 640) == .nothing)
    #expect(persisted.acknowledgementReceived(320, .persisted, sent: 640) == .confirms(320))
    var other = controller()
    #expect(other.acknowledgementReceived(320, .persisted, sent: 0) == .nothing, "its dialect knows none")
  }

  @Test("At the end, or when no more may be sent, what was acknowledged before counts for the last position")
  func lastPosition() {
    var delivery = controller(acknowledges: true)
    _ = delivery.acknowledgementReceived(640, .received, sent: 640)
    _ = delivery.acknowledgementReceived(320, .received, sent: 640)
    #expect(delivery.acknowledgedIfMarkNeeded(sent(640), now: now(0)) == nil, "more follows")
    #expect(delivery.acknowledgedIfMarkNeeded(sent(640, isAtEnd: true), now: now(0)) == 640)
    #expect(delivery.acknowledgedIfMarkNeeded(sent(16_000), now: now(0)) == 640)
    #expect(delivery.acknowledgedIfMarkNeeded(sent(640, confirmed: 640, isAtEnd: true), now: now(0)) == nil)
    delivery.connectionBegan(acknowledges: true, expecting: .unknown, isSparse: false, now: now(1))
    #expect(delivery.acknowledgedIfMarkNeeded(sent(640, isAtEnd: true), now: now(1)) == 0, "another connection")
    #expect(controller().acknowledgedIfMarkNeeded(sent(640, isAtEnd: true), now: now(0)) == nil)
  }

  @Test("A server that answers pings and acknowledges nothing more is left; one that acknowledges slowly is not")
  func stopsAcknowledging() {
    var delivery = controller(acknowledges: true)
    // Its kernel is asked about in between.
    func isLeft(_ confirmed: Position, at second: Int) -> Bool {
      let check = delivery.check(
        sent(16_000, confirmed: confirmed), framesHeard: UInt64(second), now: now(Double(second)))
      if case .probe = check { return false }
      return check != .isAlive
    }
    for second in 0...20 { #expect(!isLeft(Position(UInt64(second / 6) * 160), at: second), "\(second)") }
    for second in 21...24 { #expect(!isLeft(480, at: second), "\(second)") }
    #expect(
      delivery.check(sent(16_000, confirmed: 480), framesHeard: 25, now: now(25))
        == .hasStoppedAcknowledging(after: .seconds(7)))
    #expect(delivery.check(sent(480, confirmed: 480), framesHeard: 26, now: now(40)) == .isAlive, "nothing in flight")
  }

  @Test("A server that acknowledges and falls silent with audio on its way is dead; one without audio has more time")
  func dead() {
    var delivery = controller(acknowledges: true)
    #expect(delivery.check(sent(160), framesHeard: 0, now: now(0)) == .isAlive)
    _ = delivery.sendPing(at: 160, framesHeard: 0, now: now(3.5))
    #expect(delivery.check(sent(160), framesHeard: 0, now: now(6.9)) != .isDead(after: .seconds(7)))
    #expect(delivery.check(sent(160), framesHeard: 0, now: now(7)) == .isDead(after: .seconds(7)))
    var idle = controller()
    _ = idle.sendPing(at: 160, framesHeard: 0, now: now(0))
    _ = idle.pongReceived(PingBarrier.payload(160))
    _ = idle.sendPing(at: 160, framesHeard: 1, now: now(1))
    #expect(idle.check(sent(160, confirmed: 160), framesHeard: 1, now: now(20.9)) == .probe(since: now(1)))
    #expect(idle.check(sent(160, confirmed: 160), framesHeard: 1, now: now(21)) == .isDead(after: .seconds(20)))
    var silent = controller(expecting: .unknown)
    _ = silent.sendPing(at: 160, framesHeard: 0, now: now(0))
    #expect(
      silent.check(sent(160), framesHeard: 0, now: now(100)) == .probe(since: now(100)),
      "nothing is expected of it: TCP finds out")
  }

  @Test("A server that goes on sending and stops answering is left, and remembered for that")
  func stopped() {
    var delivery = controller()
    _ = delivery.sendPing(at: 160, framesHeard: 0, now: now(0))
    _ = delivery.pongReceived(PingBarrier.payload(160))
    _ = delivery.sendPing(at: 320, framesHeard: 1, now: now(1))
    for second in 2...7 {
      let check = delivery.check(sent(320, confirmed: 160), framesHeard: UInt64(second), now: now(Double(second)))
      #expect(check == .isAlive || check == .probe(since: now(2)), "\(second)")
    }
    #expect(delivery.pingOutcome(hasClosed: false, wasStable: true, now: now(7)) == .answered(confirms: true))
    #expect(
      delivery.check(sent(320, confirmed: 160), framesHeard: 8, now: now(8))
        == .hasStoppedAnswering(after: .seconds(7)))
    #expect(delivery.pingOutcome(hasClosed: false, wasStable: true, now: now(8)) == .stoppedAnswering)
    delivery.connectionBegan(acknowledges: false, expecting: nil, isSparse: false, now: now(11))
    #expect(delivery.pingOutcome(hasClosed: true, wasStable: false, now: now(12)) == .notPinged(wasStable: false))
  }

  @Test("The network is asked twice a second while audio is in flight, unless the server has just answered")
  func probes() {
    var delivery = controller(expecting: nil)
    #expect(delivery.check(sent(160), framesHeard: 0, now: now(0.4)) == .isAlive)
    #expect(delivery.check(sent(160), framesHeard: 0, now: now(0.5)) == .probe(since: now(0.4)))
    #expect(delivery.check(sent(160), framesHeard: 0, now: now(0.9)) == .isAlive)
    #expect(delivery.check(sent(160), framesHeard: 0, now: now(1)) == .probe(since: now(0.4)))
    #expect(delivery.check(sent(160, confirmed: 160), framesHeard: 0, now: now(2)) == .isAlive)
    var idle = controller()
    _ = idle.sendPing(at: 160, framesHeard: 0, now: now(3))
    #expect(
      idle.check(sent(160, confirmed: 160), framesHeard: 0, now: now(4)) == .probe(since: now(3)),
      "a ping that nobody acknowledges shows a dead path too")
    var answering = controller(isTroubled: true)
    _ = answering.sendPing(at: 160, framesHeard: 0, now: now(1))
    _ = answering.pongReceived(PingBarrier.payload(160))
    #expect(answering.check(sent(320, confirmed: 160), framesHeard: 1, now: now(1.4)) == .isAlive)
    #expect(answering.check(sent(320, confirmed: 160), framesHeard: 1, now: now(1.5)) == .probe(since: now(1.4)))
  }

  @Test("A kernel is asked twenty times a second, once it is known that the server cannot say more")
  func kernel() {
    var delivery = controller()
    #expect(delivery.asksKernel(now: now(0.9)) == false)
    #expect(delivery.asksKernel(now: now(1)) == true)
    #expect(delivery.asksKernel(now: now(1.04)) == false)
    #expect(delivery.asksKernel(now: now(1.05)) == true)
    var other = controller(acknowledges: true)
    #expect(other.asksKernel(now: now(1)) == false)
  }

  @Test("All is delivered when it is confirmed; where only the kernel knows it is asked, one question at a time")
  func finish() {
    var pong = controller(expecting: .answers)
    _ = pong.sendPing(at: 160, framesHeard: 0, now: now(0))
    _ = pong.pongReceived(PingBarrier.payload(160))
    #expect(pong.finish(sent(320, confirmed: 160, isAtEnd: true), now: now(1)) == .waits)
    #expect(pong.finish(sent(320, confirmed: 320, isAtEnd: true), now: now(1)) == .isDelivered)
    var kernel = controller()
    #expect(
      kernel.finish(sent(320, confirmed: 320, isAtEnd: true), now: now(2)) == .isDelivered, "nothing was sent here")
    kernel.audioSent(upTo: 700)
    #expect(kernel.finish(sent(320, isAtEnd: true), now: now(0.5)) == .waits, "it may still pong")
    #expect(kernel.finish(sent(320, isAtEnd: true), now: now(2)) == .asksKernel)
    #expect(kernel.finish(sent(320, isAtEnd: true), now: now(2)) == .waits)
    kernel.kernelAnswered()
    #expect(!kernel.coversAudio(699) && kernel.coversAudio(700))
    #expect(kernel.finish(sent(320, confirmed: 320, isAtEnd: true), now: now(2)) == .asksKernel, "age confirms no end")
  }

  @Test("A longer silence that a connection is allowed holds until the server has kept up for that long")
  func longerSilence() {
    var delivery = controller()
    #expect(delivery.hasOutlivedSilence(now: now(100)) == false, "nothing was lengthened")
    delivery.connectionBegan(
      acknowledges: false, expecting: .answers, isSparse: false, silenceMax: .seconds(14), now: now(100))
    _ = delivery.check(sent(160), framesHeard: 0, now: now(100))
    _ = delivery.sendPing(at: 160, framesHeard: 0, now: now(100))
    #expect(delivery.check(sent(160), framesHeard: 0, now: now(113.9)) == .probe(since: now(100)))
    #expect(delivery.check(sent(160), framesHeard: 0, now: now(114)) == .isDead(after: .seconds(14)))
    _ = delivery.pongReceived(PingBarrier.payload(160))
    #expect(delivery.hasOutlivedSilence(now: now(113.9)) == false, "it may fall silent as it did before")
    #expect(delivery.hasOutlivedSilence(now: now(114)) == true)
    #expect(delivery.hasOutlivedSilence(now: now(115)) == false, "said once")
    _ = delivery.sendPing(at: 320, framesHeard: 1, now: now(115))
    #expect(delivery.check(sent(320, confirmed: 160), framesHeard: 1, now: now(122)) == .isDead(after: .seconds(7)))
  }
}

@Suite("What the kernel says about a path")
struct TCPInformationTests {
  private func isUnanswered(
    unacknowledged: UInt32 = 0, retransmissions: UInt64 = 0, probes: UInt64 = 0, silent: UInt32 = 60_000,
    waiting: Nanoseconds = .seconds(60)
  ) -> Bool {
    TCPInformation(
      unacknowledged: unacknowledged, retransmissions: retransmissions, probes: probes, silentMilliseconds: silent
    ).isUnanswered(for: .seconds(5), waiting: waiting)
  }

  @Test("Audio that is sent again and not acknowledged for half of the buffer shows a dead path")
  func retransmissions() {
    #expect(isUnanswered(unacknowledged: 3, retransmissions: 4, silent: 5000))
    #expect(!isUnanswered(unacknowledged: 3, retransmissions: 4, silent: 4999))
    #expect(!isUnanswered(unacknowledged: 3, retransmissions: 0), "it has only just been sent")
    #expect(!isUnanswered(unacknowledged: 3, retransmissions: 1), "copies that a closed window answers count as one")
    #expect(isUnanswered(unacknowledged: 3, retransmissions: 2))
    #expect(!isUnanswered(unacknowledged: 0, retransmissions: 4), "all of it is acknowledged")
  }

  @Test("A closed window whose probes are answered is none, however long ago the last answer was")
  func closedWindow() {
    #expect(!isUnanswered(probes: 0, silent: 119_000))
    #expect(!isUnanswered(probes: 1, silent: 119_000), "this one may be on its way")
    #expect(isUnanswered(probes: 2, silent: 5000))
    #expect(!isUnanswered(probes: 2, silent: 4999))
  }

  @Test("The first loss after a long silence is none: before it there was nothing to acknowledge")
  func idleBefore() {
    #expect(!isUnanswered(unacknowledged: 1, retransmissions: 1, silent: 60_000, waiting: .milliseconds(4999)))
    #expect(isUnanswered(unacknowledged: 1, retransmissions: 3, silent: 60_000, waiting: .seconds(5)))
  }
}
