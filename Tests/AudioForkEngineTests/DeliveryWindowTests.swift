// SPDX-License-Identifier: Apache-2.0
import AudioForkEngine
import Testing

@Suite("Delivery window")
struct DeliveryWindowTests {
  /// Marks are positions here; 100 bytes are sent per mark, one mark each 100 ms from 0 on.
  private func sent(marks: Int) -> DeliveryWindow<Int> {
    var window = DeliveryWindow(confirmed: 0)
    for mark in 1...marks {
      window.record(mark, now: Int64(mark) * 100 * millisecond, offset: UInt64(mark) * 100)
    }
    return window
  }

  @Test("What was sent less than half a second ago is not confirmed")
  func tooYoung() {
    var window = sent(marks: 3)
    #expect(!window.isDue(now: 599 * millisecond))
    let changed = window.confirm(now: 599 * millisecond, acknowledged: nil)
    #expect(!changed)
    #expect(window.confirmed == 0)
  }

  @Test("The newest mark that is old enough is confirmed")
  func oldEnough() {
    var window = sent(marks: 8)
    #expect(window.isDue(now: 900 * millisecond))
    let changed = window.confirm(now: 900 * millisecond, acknowledged: nil)
    #expect(changed)
    #expect(window.confirmed == 4)
    #expect(!window.isDue(now: 999 * millisecond))
  }

  @Test("What the peer's kernel has not acknowledged is not confirmed, however old")
  func notAcknowledged() {
    var window = sent(marks: 8)
    _ = window.confirm(now: 60_000 * millisecond, acknowledged: 299)
    #expect(window.confirmed == 2)
    _ = window.confirm(now: 60_000 * millisecond, acknowledged: 300)
    #expect(window.confirmed == 3)
  }

  @Test("After a break nothing of the old connection is confirmed any more")
  func broken() {
    var window = sent(marks: 8)
    window.reset()
    let changed = window.confirm(now: 60_000 * millisecond, acknowledged: nil)
    #expect(!changed)
    #expect(window.confirmed == 0)
  }

  @Test("Marks are wanted at most every 100 ms")
  func spacing() {
    let empty = DeliveryWindow(confirmed: 0)
    #expect(empty.wantsMark(now: 0))
    let window = sent(marks: 1)
    #expect(!window.wantsMark(now: 199 * millisecond))
    #expect(window.wantsMark(now: 200 * millisecond))
  }

  @Test("A peer that acknowledges nothing for minutes costs no memory, and the newest mark is kept")
  func bounded() {
    let count = DeliveryWindow<Int>.sentMax * 3
    var window = sent(marks: count)
    _ = window.confirm(now: .max / 2, acknowledged: UInt64(count - 1) * 100)
    #expect(window.confirmed == DeliveryWindow<Int>.sentMax - 1)
    _ = window.confirm(now: .max / 2, acknowledged: UInt64(count) * 100)
    #expect(window.confirmed == count)
  }
}
