// SPDX-License-Identifier: Apache-2.0
import AudioForkMedia
import AudioForkEngine
import AudioForkEngineTestKit
import AudioForkTestKit
import Testing

@Suite("Delivery window")
struct DeliveryWindowTests {
  private let age = DeliveryWindow<Int>.age.count
  private let spacing = DeliveryWindow<Int>.spacing.count

  /// Marks are numbers from 1 here: mark n is sent at n × spacing, 100 bytes behind the one before.
  private func sent(marks: Int) -> DeliveryWindow<Int> {
    var window = DeliveryWindow(confirmed: 0)
    for mark in 1...marks {
      window.record(
        mark, position: Position(UInt64(mark) * 400), now: at(Int64(mark) * spacing), offset: UInt64(mark) * 100)
    }
    return window
  }

  // #expect takes no mutating call.
  private func confirm(_ window: inout DeliveryWindow<Int>, _ position: Position) -> Bool {
    window.confirm(position: position)
  }
  private func resume(_ window: inout DeliveryWindow<Int>, _ position: Position?) -> Bool {
    window.resume(at: position)
  }

  @Test("What was sent a moment ago is not confirmed")
  func tooYoung() {
    var window = sent(marks: 3)
    #expect(!window.isDue(now: at(spacing + age - 1)))
    let changed = window.confirm(now: at(spacing + age - 1), acknowledged: nil)
    #expect(!changed)
    #expect(window.confirmed == 0)
  }

  @Test("The newest mark that is old enough is confirmed")
  func oldEnough() {
    var window = sent(marks: 8)
    #expect(window.isDue(now: at(4 * spacing + age)))
    let changed = window.confirm(now: at(4 * spacing + age), acknowledged: nil)
    #expect(changed)
    #expect(window.confirmed == 4)
    #expect(!window.isDue(now: at(5 * spacing + age - 1)))
  }

  @Test("What the peer's kernel has not acknowledged is not confirmed, however old")
  func notAcknowledged() {
    var window = sent(marks: 8)
    _ = window.confirm(now: at(60_000 * millisecond), acknowledged: 299)
    #expect(window.confirmed == 2)
    _ = window.confirm(now: at(60_000 * millisecond), acknowledged: 300)
    #expect(window.confirmed == 3)
  }

  @Test("After a break nothing of the old connection is confirmed any more")
  func broken() {
    var window = sent(marks: 8)
    window.reset()
    let changed = window.confirm(now: at(60_000 * millisecond), acknowledged: nil)
    #expect(!changed)
    #expect(window.confirmed == 0)
  }

  @Test("A position confirms the marks up to it, and none behind it")
  func byPosition() {
    var window = sent(marks: 8)
    #expect(!confirm(&window, 399))
    #expect(confirm(&window, 1200))
    #expect(window.confirmed == 3)
    #expect(confirm(&window, 1999))
    #expect(window.confirmed == 4)
    #expect(!confirm(&window, 1200), "an old word changes nothing")
    #expect(confirm(&window, Position(.max)))
    #expect(window.confirmed == 8)
  }

  @Test("A server that says how far it came makes use of what the lost connection was sent; once")
  func resumed() {
    var window = sent(marks: 8)
    _ = window.confirm(position: 800)
    window.reset()
    #expect(resume(&window, 2100))
    #expect(window.confirmed == 5)
    #expect(!resume(&window, 3200), "that connection is forgotten")
    var silent = sent(marks: 8)
    silent.reset()
    #expect(!resume(&silent, nil))
    #expect(!resume(&silent, 3200))
    #expect(silent.confirmed == 0)
  }

  @Test("A mark that the server was told too little before is none to confirm, but one to resume at")
  func incomplete() {
    var window = DeliveryWindow(confirmed: 0)
    for (mark, isWhole) in [true, false, false].enumerated() {
      window.record(mark + 1, position: Position(UInt64(mark + 1) * 400), now: 0, offset: 0, isWhole: isWhole)
    }
    #expect(confirm(&window, 1200))
    #expect(window.confirmed == 1)
    #expect(!confirm(&window, 1200))
    // It is told the rest there.
    window.record(33, position: 1200, now: 0, offset: 0)
    window.record(34, position: 1200, now: 0, offset: 0, isWhole: false)
    #expect(confirm(&window, 1200))
    #expect(window.confirmed == 33)
    window.record(4, position: 1600, now: 0, offset: 0, isWhole: false)
    window.reset()
    #expect(resume(&window, 1600))
    #expect(window.confirmed == 4)
  }

  @Test("An attempt between that sent nothing does not forget what the connection before it was sent")
  func resumedLater() {
    var window = sent(marks: 8)
    window.reset()
    window.reset()
    #expect(resume(&window, 1600))
    #expect(window.confirmed == 4)
  }

  @Test("Marks are wanted only so often, and what a break may repeat is less than a second")
  func marksWanted() {
    let empty = DeliveryWindow(confirmed: 0)
    #expect(empty.wantsMark(now: 0))
    let window = sent(marks: 1)
    #expect(!window.wantsMark(now: at(2 * spacing - 1)))
    #expect(window.wantsMark(now: at(2 * spacing)))
    #expect(spacing > 0)
    #expect(age + 2 * spacing < 1000 * millisecond)
  }

  @Test("A peer that acknowledges nothing for minutes costs no memory, and the newest mark is kept")
  func bounded() {
    let count = DeliveryWindow<Int>.sentMax * 3
    var window = sent(marks: count)
    _ = window.confirm(now: at(.max / 2), acknowledged: UInt64(count - 1) * 100)
    #expect(window.confirmed == DeliveryWindow<Int>.sentMax - 1)
    _ = window.confirm(now: at(.max / 2), acknowledged: UInt64(count) * 100)
    #expect(window.confirmed == count)
  }
}
