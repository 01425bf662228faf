// SPDX-License-Identifier: Apache-2.0
import AudioForkEngine
import AudioForkLink
import NIOCore
import NIOEmbedded
import Testing

@Suite("What the engine writes on the link")
struct LinkOutputTests {
  private let channel = EmbeddedChannel()

  private func state(_ number: Int, _ state: ForkStateName = .streaming) -> EngineMessage {
    .state(id: "af-\(number)", state: state, reason: "", endpoint: "ws://host/", ForkCounters())
  }

  /// The messages of each write so far.
  private func writes() throws -> [[EngineMessage]] {
    var writes: [[EngineMessage]] = []
    while let buffer = try channel.readOutbound(as: ByteBuffer.self) {
      var parser = LinkParser()
      parser.append(buffer.readableBytesView)
      var messages: [EngineMessage] = []
      while let message = try parser.next() { messages.append(EngineMessage(message)) }
      writes.append(messages)
    }
    return writes
  }

  @Test("The states of many forks go in one write, after a moment")
  func together() throws {
    let output = LinkOutput(channel)
    let states = (0..<100).map { state($0) }
    for state in states { #expect(output.send(state)) }
    channel.embeddedEventLoop.advanceTime(by: LinkOutput.stateDelay - .milliseconds(1))
    #expect(try writes() == [])
    channel.embeddedEventLoop.advanceTime(by: .milliseconds(1))
    #expect(try writes() == [states])
    #expect(output.send(states[0]))
    channel.embeddedEventLoop.advanceTime(by: LinkOutput.stateDelay)
    #expect(try writes() == [[states[0]]])
  }

  @Test("Nothing else waits for a moment, and all come in the order in which they were sent")
  func ordered() throws {
    let output = LinkOutput(channel)
    let end = EngineMessage.ended(id: "af-1", reason: "done: all", ForkCounters())
    let line = EngineMessage.log(.warning, id: nil, text: "x")
    output.send(state(1, .connecting))
    output.send(line)
    output.send(state(1, .draining))
    output.send(state(2))
    output.send(end)
    output.send(.heartbeat) {}
    output.send(state(3))
    channel.embeddedEventLoop.run()
    #expect(
      try writes() == [
        [state(1, .connecting)], [line], [state(1, .draining), state(2)], [end], [.heartbeat],
      ])
    channel.embeddedEventLoop.advanceTime(by: LinkOutput.stateDelay)
    #expect(try writes() == [[state(3)]])
  }

  @Test("No write grows beyond 64 KiB, and what a full link does not take is not kept")
  func limits() throws {
    let output = LinkOutput(channel)
    for number in 0..<1000 { output.send(state(number)) }
    channel.embeddedEventLoop.run()
    let sizes = try writes().map { $0.reduce(0) { $0 + $1.encoded.count } }
    #expect(sizes.count >= 3 && sizes.allSatisfy { $0 <= 65_536 && $0 > 60_000 }, "\(sizes)")
    channel.embeddedEventLoop.advanceTime(by: LinkOutput.stateDelay)
    _ = try writes()
    channel.isWritable = false
    #expect(!output.send(state(1)))
    channel.embeddedEventLoop.advanceTime(by: LinkOutput.stateDelay)
    #expect(try writes() == [])
  }
}
