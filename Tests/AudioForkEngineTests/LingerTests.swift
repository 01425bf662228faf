// SPDX-License-Identifier: Apache-2.0
import AudioForkEngine
import AudioForkLink
import AudioForkMedia
import AudioForkTestKit
import Testing

@Suite("Waiting for the server's last words")
struct LingerTests {
  @Test("When everything is delivered the server has so long to answer, and then our Close follows")
  func waits() {
    var driven = DrivenMachine(linger: .seconds(30))
    driven.handle(.started)
    driven.handle(.connected)
    driven.handle(.captureClosed)
    #expect(driven.handle(.drained(isAcknowledged: true)) == [.scheduleLingerEnd(after: .seconds(30))])
    #expect(driven.machine.name == .draining && driven.machine.isLingering && !driven.machine.isStreaming)
    #expect(driven.handle(.lingerTimerFired, after: 30) == [.close])
    #expect(driven.machine.name == .draining && !driven.machine.isLingering)
    #expect(driven.handle(.closeCompleted) == [.drop, .end(.delivered)])
  }

  @Test("The time comes on top of drain: its deadline ends nothing that was delivered in time")
  func drain() {
    var driven = DrivenMachine.lingering(isAcknowledged: true)
    #expect(driven.handle(.drainDeadlinePassed, after: 10) == [])
    #expect(driven.machine.isLingering)
  }

  @Test(
    "The server's Close ends the wait at once and is no failure, whatever its code; nor is a lost connection",
    arguments: [
      ForkEvent.closedByServer, .closedWithoutCode("server: closed"), .closedAfterEnding, .disconnected("lost"),
      .disconnected("server: closed with 1011"), .refused("server: closed with 4003"),
    ])
  func ends(event: ForkEvent) {
    var driven = DrivenMachine.lingering(isAcknowledged: true)
    #expect(driven.handle(event) == [.drop, .end(.delivered)])
  }

  @Test("A Close in order behind the ending says that all has come, even before it was confirmed")
  func closesFirst() {
    var driven = DrivenMachine.streaming()
    driven.handle(.captureClosed)
    #expect(driven.handle(.closedAfterEnding).last == .end(.delivered))
  }

  @Test("Where nothing counts what was acknowledged, the audio is sent again after a break, and drain limits the wait")
  func unacknowledged() {
    var broken = DrivenMachine.lingering(isAcknowledged: false)
    #expect(broken.machine.awaitsAnswer)
    #expect(broken.handle(.disconnected("lost")).contains(.scheduleRetry(after: .zero)))
    var late = DrivenMachine.lingering(isAcknowledged: false)
    #expect(late.handle(.drainDeadlinePassed, after: 10) == [.scheduleDrainDeadline(after: .zero), .close])
    #expect(late.handle(.drainDeadlinePassed, after: 1) == [.drop, .end(.drainExpired(nil))])
  }

  @Test("An engine that stops meanwhile ends the fork; the next one would have nothing to send")
  func shutdown() {
    var driven = DrivenMachine.lingering(isAcknowledged: true)
    #expect(driven.handle(.shutdown) == [.drop, .end(.delivered)])
    var unknown = DrivenMachine.lingering(isAcknowledged: false)
    #expect(unknown.handle(.shutdown) == [.drop, .end(.shutdown)])
    // And one that was killed leaves word in the cursor.
    var next = DrivenMachine(linger: .seconds(30))
    #expect(next.handle(.foundDelivered) == [.end(.delivered)])
  }
}
