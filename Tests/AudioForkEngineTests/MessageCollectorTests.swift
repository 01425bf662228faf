// SPDX-License-Identifier: Apache-2.0
import AudioForkEngine
import AudioForkMedia
import AudioForkTestKit
import Testing

private func block(at position: UInt64, frames: Int = 160) -> RenderedBlock {
  RenderedBlock(position: Position(position), frameCount: frames, fill: 0, completedAt: .zero)
}

@Suite("Blocks that make one message")
struct MessageCollectorTests {
  private let rate = SampleRate(hertz: 8000)

  @Test("A message of a block collects nothing; longer ones are full at their length, at every rate")
  func lengths() {
    #expect(!MessageCollector(milliseconds: 20, rate: rate, hasFill: true).isCollecting)
    for hertz in [8000, 12_000, 16_000, 24_000, 32_000, 44_100, 48_000] {
      let frames = hertz / 50
      for count in [2, 10, 50] {
        var collector = MessageCollector(
          milliseconds: count * 20, rate: SampleRate(hertz: hertz), hasFill: true)
        #expect(collector.isCollecting && collector.isEmpty)
        for index in 0..<count {
          #expect(!collector.isFull)
          collector.append(
            block(at: UInt64(7 + index * frames), frames: frames), [Int16](repeating: Int16(index), count: frames),
            now: 0)
        }
        #expect(collector.isFull && collector.position == Position(7))
        #expect(collector.samples == (0..<count).flatMap { [Int16](repeating: Int16($0), count: frames) })
        collector.removeAll()
        #expect(collector.isEmpty && !collector.isFull && collector.samples.isEmpty)
      }
    }
  }

  @Test("Only a block at the next position continues a message; the first one begins it anywhere")
  func positions() {
    var collector = MessageCollector(milliseconds: 60, rate: rate, hasFill: true)
    #expect(collector.isContinued(at: 12_345))
    collector.append(block(at: 1000), [Int16](repeating: 1, count: 160), now: 0)
    #expect(collector.isContinued(at: 1160))
    #expect(!collector.isContinued(at: 1000) && !collector.isContinued(at: 1320))
    collector.removeAll()
    #expect(collector.isContinued(at: 1000))
  }

  @Test("Without fill what is collected waits for the length of a message and no longer; with fill a block follows")
  func patience() {
    for hasFill in [true, false] {
      var collector = MessageCollector(milliseconds: 200, rate: rate, hasFill: hasFill)
      #expect(!collector.isStale(now: at(1000 * millisecond)))
      collector.append(block(at: 0, frames: 3), [1, 2, 3], now: 0)
      collector.append(block(at: 3), [Int16](repeating: 1, count: 160), now: at(100 * millisecond))
      #expect(!collector.isStale(now: at(299 * millisecond)))
      #expect(collector.isStale(now: at(300 * millisecond)) == !hasFill)
    }
  }

  @Test("The last message is filled up with silence, for each channel; an empty one is not")
  func padding() {
    var collector = MessageCollector(milliseconds: 40, rate: rate, hasFill: true)
    collector.pad(channelCount: 2)
    #expect(collector.isEmpty)
    collector.append(block(at: 0), [Int16](repeating: 5, count: 320), now: 0)
    collector.pad(channelCount: 2)
    #expect(collector.isFull && collector.position == .zero)
    #expect(collector.samples == [Int16](repeating: 5, count: 320) + [Int16](repeating: 0, count: 320))
  }
}
