// SPDX-License-Identifier: Apache-2.0
import AudioForkMedia
import AudioForkEngine
import AudioForkLink
import AudioForkTestKit
import Testing

@Suite("Choice among endpoints that want to be left alone")
struct EndpointPauseTests {
  private static let second: Int64 = 1_000_000_000
  /// Any moment: CLOCK_MONOTONIC begins anywhere.
  private static let start: Int64 = 5_000 * second

  /// Takes a failure at `start` and so many seconds; `pause`: seconds that the endpoint asked for.
  private static func fail(
    _ choice: inout EndpointRotation, at seconds: Int64, pause: Int64? = nil, isPermanent: Bool = false
  ) -> Bool {
    let now = start + seconds * second
    return choice.attemptFailed(isPermanent: isPermanent, retryAt: pause.map { at(now + $0 * second) }, now: at(now))
  }

  @Test("The only endpoint is waited for, as long as it said last")
  func only() {
    var choice = EndpointRotation(count: 1)
    #expect(choice.wait(now: at(Self.start)) == 0)
    let isHopeless = Self.fail(&choice, at: 0, pause: 60)
    #expect(!isHopeless)
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
    let first = Self.fail(&choice, at: 0, pause: 60, isPermanent: true)
    #expect(!first)
    #expect(choice.index == 1)
    let second = Self.fail(&choice, at: 1, pause: 60, isPermanent: true)
    #expect(second)
  }

  @Test("One that only asked for time has not refused, however often the others refuse for good", arguments: 2...4)
  func pausedIsHope(count: Int) {
    var choice = EndpointRotation(count: count)
    _ = Self.fail(&choice, at: 0, pause: 3600)
    var hopeless: [Int64] = []
    for time: Int64 in 1...20 {
      let isHopeless = Self.fail(&choice, at: time, isPermanent: true)
      if isHopeless { hopeless.append(time) }
    }
    #expect(hopeless == [])
  }
}

@Suite("Choice of the endpoint")
struct EndpointRotationTests {
  @Test("Failures go through the list in order")
  func order() {
    var choice = EndpointRotation(count: 3)
    let indices = (0..<5).map { _ in
      defer { _ = choice.attemptFailed(isPermanent: false, now: 0) }
      return choice.index
    }
    #expect(indices == [0, 1, 2, 0, 1])
  }

  @Test("All hope is gone when every endpoint in turn has refused for good, and not before")
  func refusals() {
    var choice = EndpointRotation(count: 2)
    #expect(choice.attemptFailed(isPermanent: true, now: 0) == false)
    #expect(choice.attemptFailed(isPermanent: false, now: 0) == false)
    #expect(choice.attemptFailed(isPermanent: true, now: 0) == false)
    choice.connected()
    #expect(choice.attemptFailed(isPermanent: true, now: 0) == false)
    #expect(choice.attemptFailed(isPermanent: true, now: 0) == true)
    var only = EndpointRotation(count: 1)
    #expect(only.attemptFailed(isPermanent: true, now: 0) == true)
  }

  @Test("After a good connection the first is tried again, after a short one the next")
  func lost() {
    var choice = EndpointRotation(count: 3)
    _ = choice.attemptFailed(isPermanent: false, now: 0)
    choice.connected()
    choice.connectionLost(wasStable: false)
    #expect(choice.index == 2)
    choice.connectionLost(wasStable: true)
    #expect(choice.index == 0)
  }
}
