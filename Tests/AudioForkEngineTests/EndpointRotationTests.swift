// SPDX-License-Identifier: Apache-2.0
import AudioForkMedia
import AudioForkEngine
import AudioForkLink
import AudioForkTestKit
import AudioForkWebSocket
import Testing

@Suite("Choice among endpoints that want to be left alone")
struct EndpointPauseTests {
  private static let second: Int64 = 1_000_000_000
  /// Any moment: CLOCK_MONOTONIC begins anywhere.
  private static let start: Int64 = 5_000 * second

  /// Takes a failure at `start` and so many seconds; `pause`: seconds that the endpoint asked for.
  private static func fail(
    _ choice: inout EndpointRotation, at seconds: Int64, pause: Int64? = nil, _ kind: ConnectionFailure.Kind = .passing
  ) -> FailureVerdict {
    let now = start + seconds * second
    return choice.attemptFailed(kind, retryAt: pause.map { at(now + $0 * second) }, now: at(now))
  }

  @Test("The only endpoint is waited for, as long as it said last")
  func only() {
    var choice = EndpointRotation(count: 1)
    #expect(choice.wait(now: at(Self.start)) == 0)
    let verdict = Self.fail(&choice, at: 0, pause: 60)
    #expect(verdict == .passing)
    #expect(choice.index == 0)
    #expect(choice.wait(now: at(Self.start)) == Nanoseconds(60 * Self.second))
    #expect(choice.wait(now: at(Self.start + 59 * Self.second)) == Nanoseconds(Self.second))
    #expect(choice.wait(now: at(Self.start + 60 * Self.second)) == 0)
    #expect(choice.wait(now: at(Self.start + 61 * Self.second)) == 0)
    // A shorter one, and then none, take its place.
    _ = Self.fail(&choice, at: 10, pause: 5)
    #expect(choice.wait(now: at(Self.start + 10 * Self.second)) == Nanoseconds(5 * Self.second))
    _ = Self.fail(&choice, at: 11)
    #expect(choice.wait(now: at(Self.start + 11 * Self.second)) == 0)
  }

  @Test("An endpoint that wants to be left alone is passed over until its time has come, and not for a moment longer")
  func passedOver() {
    var choice = EndpointRotation(count: 3)
    var tried: [Int] = []
    var waits: [Int64] = []
    for time: Int64 in [0, 1, 2, 3, 4, 9, 10, 11] {
      tried.append(choice.index)
      waits.append(choice.wait(now: at(Self.start + time * Self.second)).count)
      _ = Self.fail(&choice, at: time, pause: time == 0 ? 10 : nil)
    }
    // At 10 seconds it is its turn behind the third one again.
    #expect(tried == [0, 1, 2, 1, 2, 1, 2, 0])
    #expect(waits.allSatisfy { $0 == 0 })
  }

  @Test("Of two where one wants to be left alone the other one is tried again and again, without a wait for the first")
  func otherOnly() {
    var choice = EndpointRotation(count: 2)
    _ = Self.fail(&choice, at: 0, pause: 30)
    for time: Int64 in 1...5 {
      #expect(choice.index == 1)
      #expect(choice.wait(now: at(Self.start + time * Self.second)) == 0)
      _ = Self.fail(&choice, at: time)
    }
    _ = Self.fail(&choice, at: 30)
    #expect(choice.index == 0)
    #expect(choice.wait(now: at(Self.start + 30 * Self.second)) == 0)
  }

  @Test("An endpoint repeats when it was tried since the last wait, and those that want to be left alone are no choice")
  func repeats() {
    var choice = EndpointRotation(count: 3)
    var repeats: [Bool] = []
    for time: Int64 in 0..<6 {
      _ = Self.fail(&choice, at: time)
      repeats.append(choice.repeats)
    }
    #expect(repeats == [false, false, true, false, false, true], "a round is over when each was tried")
    #expect(choice.hasAlternative(now: at(Self.start)))
    // The other two are left alone.
    var paused = EndpointRotation(count: 3)
    _ = Self.fail(&paused, at: 0, pause: 60)
    _ = Self.fail(&paused, at: 0, pause: 60)
    #expect(paused.index == 2 && !paused.repeats)
    #expect(!paused.hasAlternative(now: at(Self.start)), "it keeps its place among those who connect")
    for time: Int64 in 1...5 {
      _ = Self.fail(&paused, at: time)
      #expect(paused.index == 2 && paused.repeats)
    }
    #expect(paused.hasAlternative(now: at(Self.start + 60 * Self.second)))
    #expect(!EndpointRotation(count: 1).hasAlternative(now: 0))
  }

  @Test(
    "Where all want to be left alone it is the one whose time comes first, and that is waited for",
    arguments: [
      ([60, 20, 40], 1), ([20, 60, 40], 0), ([60, 40, 20], 2), ([30, 30, 30], 0),
    ] as [([Int64], Int)])
  func all(pauses: [Int64], expected: Int) {
    var choice = EndpointRotation(count: 3)
    for pause in pauses { _ = Self.fail(&choice, at: 0, pause: pause) }
    #expect(choice.index == expected)
    #expect(choice.wait(now: at(Self.start)) == Nanoseconds(pauses[expected] * Self.second))
  }

  @Test("A good connection that broke leads to the first endpoint, whose wait is known if it still wants one")
  func backToTheFirst() {
    var choice = EndpointRotation(count: 2)
    _ = Self.fail(&choice, at: 0, pause: 60)
    #expect(choice.index == 1)
    choice.connected()
    choice.connectionLost(wasStable: true)
    #expect(choice.index == 0)
    #expect(choice.wait(now: at(Self.start + 20 * Self.second)) == Nanoseconds(40 * Self.second))
    #expect(choice.wait(now: at(Self.start + 70 * Self.second)) == 0)
    // It is as good as any other again: its failure is followed by the second.
    _ = Self.fail(&choice, at: 70)
    #expect(choice.index == 1)
    choice.connected()
    choice.connectionLost(wasStable: false)
    #expect(choice.index == 0)
  }

  @Test("Endpoints that refuse for good and want to be left alone have refused for good all the same")
  func permanent() {
    var choice = EndpointRotation(count: 2)
    let first = Self.fail(&choice, at: 0, pause: 60, .final)
    #expect(first == .refused)
    #expect(choice.index == 1)
    let second = Self.fail(&choice, at: 1, pause: 60, .final)
    #expect(second == .hopeless)
  }

  @Test("One that only asked for time has not refused, however often the others refuse for good", arguments: 2...4)
  func pausedIsHope(count: Int) {
    var choice = EndpointRotation(count: count)
    _ = Self.fail(&choice, at: 0, pause: 3600)
    var hopeless: [Int64] = []
    for time: Int64 in 1...20 {
      let verdict = Self.fail(&choice, at: time, .final)
      if verdict == .hopeless { hopeless.append(time) }
    }
    #expect(hopeless == [])
  }
}

@Suite("Refusals of endpoints")
struct EndpointRefusalTests {
  /// Milliseconds from any moment.
  private static func time(_ milliseconds: Int64) -> MonotonicTime { at(5_000_000_000_000 + milliseconds * 1_000_000) }

  @Test("A 4xx is final after three attempts over three seconds, with a pause of 1.5 s before each further one")
  func threeTimes() {
    var choice = EndpointRotation(count: 1)
    #expect(choice.attemptFailed(.refused, now: Self.time(0)) == .refused)
    #expect(choice.isBeingRefused)
    #expect(choice.wait(now: Self.time(0)) == .milliseconds(1500))
    #expect(choice.attemptFailed(.refused, now: Self.time(1500)) == .refused)
    #expect(choice.attemptFailed(.refused, now: Self.time(3000)) == .hopeless)
  }

  @Test("Neither three attempts in less than three seconds nor two in more are enough")
  func notYet() {
    var quick = EndpointRotation(count: 1)
    for now: Int64 in [0, 10, 20, 2999] { #expect(quick.attemptFailed(.refused, now: Self.time(now)) == .refused) }
    #expect(quick.attemptFailed(.refused, now: Self.time(3000)) == .hopeless)
    var slow = EndpointRotation(count: 1)
    #expect(slow.attemptFailed(.refused, now: Self.time(0)) == .refused)
    #expect(slow.attemptFailed(.refused, now: Self.time(60_000)) == .refused)
  }

  @Test("Anything else in between begins the count anew; a longer wait that the server asks for holds")
  func interrupted() {
    var choice = EndpointRotation(count: 1)
    _ = choice.attemptFailed(.refused, now: Self.time(0))
    _ = choice.attemptFailed(.refused, now: Self.time(1500))
    #expect(choice.attemptFailed(.passing, now: Self.time(3000)) == .passing)
    #expect(!choice.isBeingRefused)
    #expect(choice.attemptFailed(.refused, retryAt: Self.time(8500), now: Self.time(3500)) == .refused)
    #expect(choice.wait(now: Self.time(3500)) == .seconds(5))
    #expect(choice.attemptFailed(.refused, now: Self.time(8500)) == .refused)
    #expect(choice.attemptFailed(.refused, now: Self.time(10_000)) == .hopeless)
  }

  @Test(
    "An endpoint that has accepted is never refused for good, in this engine or before it", arguments: [true, false])
  func accepted(before: Bool) {
    var choice = EndpointRotation(count: 1, hasConnected: before)
    if !before {
      choice.connected()
      choice.connectionLost(wasStable: true)
    }
    for kind in [ConnectionFailure.Kind.refused, .final] {
      for now: Int64 in 0..<10 {
        #expect(choice.attemptFailed(kind, now: Self.time(now * 2000)) == .refused)
        #expect(choice.wait(now: Self.time(now * 2000)) == 0)
      }
    }
    #expect(!choice.isBeingRefused)
  }

  @Test("The next engine knows which endpoints have accepted; where an earlier release did not say, all have")
  func acceptedBefore() {
    func verdicts(_ accepted: EndpointSet?) -> [FailureVerdict] {
      var choice = EndpointRotation(count: 2, hasConnected: true, accepted: accepted)
      return (0..<2).map { _ in choice.attemptFailed(.final, now: 0) }
    }
    #expect(verdicts(EndpointSet()) == [.refused, .hopeless])
    #expect(verdicts(EndpointSet(words: [2])) == [.refused, .refused])
    #expect(verdicts(nil) == [.refused, .refused])
  }

  @Test("Of two, the other one is tried at once, and all hope is gone only when both have refused for good")
  func two() {
    var choice = EndpointRotation(count: 2)
    #expect(choice.attemptFailed(.refused, now: Self.time(0)) == .refused)
    #expect(choice.index == 1)
    #expect(choice.wait(now: Self.time(0)) == 0)
    #expect(choice.attemptFailed(.final, now: Self.time(0)) == .refused)
    var now: Int64 = 0
    var verdicts: [FailureVerdict] = []
    while verdicts.last != .hopeless, verdicts.count < 100 {
      let wait = choice.wait(now: Self.time(now)).count / 1_000_000
      now += max(wait, 100)
      verdicts.append(choice.attemptFailed(choice.index == 0 ? .refused : .final, now: Self.time(now)))
    }
    #expect((3000..<4000).contains(now), "\(now)")
    // One that has accepted is hope for both.
    var other = EndpointRotation(count: 2)
    _ = other.attemptFailed(.refused, now: Self.time(0))
    other.connected()
    other.connectionLost(wasStable: true)
    for now: Int64 in 0..<20 { #expect(other.attemptFailed(.refused, now: Self.time(now * 2000)) == .refused) }
  }

  @Test("After a Close without a code a server that refuses has refused for good, until it accepts again")
  func closedWithoutCode() {
    var choice = EndpointRotation(count: 1, hasConnected: true)
    choice.closedWithoutCode(until: Self.time(60_000))
    var late = choice
    #expect(choice.attemptFailed(.refused, now: Self.time(0)) == .refused)
    #expect(choice.attemptFailed(.refused, now: Self.time(1500)) == .refused)
    var again = choice
    #expect(choice.attemptFailed(.refused, now: Self.time(3000)) == .hopeless)
    again.connected()
    #expect(again.attemptFailed(.refused, now: Self.time(3000)) == .refused)
    #expect(again.attemptFailed(.refused, now: Self.time(9000)) == .refused)
    #expect(again.attemptFailed(.refused, now: Self.time(15_000)) == .refused)
    // A minute later it is an outage like any other.
    for now: Int64 in 0..<9 { #expect(late.attemptFailed(.refused, now: Self.time(57_500 + now * 2000)) == .refused) }
  }
}

@Suite("Choice of the endpoint")
struct EndpointRotationTests {
  @Test("Failures go through the list in order")
  func order() {
    var choice = EndpointRotation(count: 3)
    let indices = (0..<5).map { _ in
      defer { _ = choice.attemptFailed(.passing, now: 0) }
      return choice.index
    }
    #expect(indices == [0, 1, 2, 0, 1])
  }

  @Test("All hope is gone when every endpoint in turn has refused for good, and not before")
  func refusals() {
    var choice = EndpointRotation(count: 2)
    #expect(choice.attemptFailed(.final, now: 0) == .refused)
    #expect(choice.attemptFailed(.passing, now: 0) == .passing)
    #expect(choice.attemptFailed(.final, now: 0) == .refused)
    choice.connected()
    #expect(choice.attemptFailed(.final, now: 0) == .refused)
    #expect(choice.attemptFailed(.final, now: 0) == .refused, "the second one has accepted")
    var both = EndpointRotation(count: 2)
    #expect(both.attemptFailed(.final, now: 0) == .refused)
    #expect(both.attemptFailed(.final, now: 0) == .hopeless)
    var only = EndpointRotation(count: 1)
    #expect(only.attemptFailed(.final, now: 0) == .hopeless)
  }

  @Test("After a good connection the first is tried again, after a short one the next")
  func lost() {
    var choice = EndpointRotation(count: 3)
    _ = choice.attemptFailed(.passing, now: 0)
    choice.connected()
    choice.connectionLost(wasStable: false)
    #expect(choice.index == 2)
    choice.connectionLost(wasStable: true)
    #expect(choice.index == 0)
  }
}
