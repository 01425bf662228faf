// SPDX-License-Identifier: Apache-2.0
import AudioForkEngine
import AudioForkLink
import NIOCore
import NIOEmbedded
import Testing

@Suite("Heartbeat")
struct HangWatchTests {
  @Test("A loop that answers is alive, whether it has done anything or not")
  func idle() {
    var watch = HangWatch(loops: 2)
    for _ in 0..<5 {
      let look = watch.check([0, 0])
      #expect(look.isAlive)
      #expect(look.ask == [0, 1])
      watch.answered(0)
      watch.answered(1)
    }
  }

  @Test("A busy loop that answers late is alive while it begins jobs, and is asked once")
  func busy() {
    var watch = HangWatch(loops: 2)
    #expect(watch.check([10, 0]).ask == [0, 1])
    for second in 1...30 {
      watch.answered(1)
      let look = watch.check([10 + UInt64(second), 0])
      #expect(look.isAlive)
      #expect(look.ask == [1])
    }
    watch.answered(0)
    watch.answered(1)
    #expect(watch.check([40, 0]).ask == [0, 1])
  }

  @Test("A loop that is stuck in one job stops the heart, and it beats again when that is over")
  func stuck() {
    var watch = HangWatch(loops: 2)
    _ = watch.check([10, 20])
    watch.answered(0)
    // The last job that the second one began.
    #expect(watch.check([11, 21]).isAlive == true)
    watch.answered(0)
    for _ in 0..<5 {
      #expect(watch.check([12, 21]).isAlive == false)
      watch.answered(0)
    }
    watch.answered(1)
    #expect(watch.check([12, 21]).isAlive == true)
  }

  @Test("A heartbeat is sent over a link that is full, and what may be dropped is not")
  func fullLink() throws {
    let channel = EmbeddedChannel()
    let output = LinkOutput(channel)
    #expect(output.send(.heartbeat))
    channel.isWritable = false
    #expect(output.send(.heartbeat))
    #expect(!output.send(.log(.warning, id: nil, text: "x")))
    #expect(!output.send(.text(id: "a", text: [65], length: 1, dropped: 0)))
    channel.embeddedEventLoop.run()
    var messages = 0
    while try channel.readOutbound(as: ByteBuffer.self) != nil { messages += 1 }
    #expect(messages == 2)
  }
}
