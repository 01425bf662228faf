// SPDX-License-Identifier: Apache-2.0
internal import AudioForkLink
internal import NIOConcurrencyHelpers
package import NIOCore

/// Where the engine's messages go: the link, or a test. Called from every event loop.
package protocol EngineOutput: Sendable {
  /// False where the message was dropped, because the module does not read.
  @discardableResult
  func send(_ message: EngineMessage) -> Bool

  /// Sends a message that is never dropped, and does `work` once the module's end of the link has it, or cannot get it
  /// any more: on whatever thread finds out.
  func send(_ message: EngineMessage, then work: @escaping @Sendable () -> Void)
}

/// Sends messages over the link, in the order in which they come.
///
/// STATEs wait for others, of any fork, and go in one write with them: each write wakes the module's control thread,
/// which has more to do for that than for a STATE. Nothing else waits, and what waits goes before it.
package final class LinkOutput: EngineOutput {
  /// For how long a STATE waits.
  package static let stateDelay = TimeAmount.milliseconds(20)
  /// With so many bytes they wait no longer.
  private static let stateBytesMax = 65_536

  private struct Waiting {
    var states: [UInt8] = []
    var isScheduled = false
  }

  private let channel: any Channel
  private let waiting = NIOLockedValueBox(Waiting())

  package init(_ channel: any Channel) { self.channel = channel }

  @discardableResult
  package func send(_ message: EngineMessage) -> Bool {
    switch message {
    // A module that does not read must not become our memory. What is lost here is replaced by what comes next.
    case .state:
      guard channel.isWritable else { return false }
      collect(message.encoded)
      return true
    case .log, .gap, .text, .transcript: guard channel.isWritable else { return false }
    // There is never more than one heartbeat on its way (`EngineCore.beat`).
    case .ready, .ended, .heartbeat, .leaving, .unknown: break
    }
    write(message.encoded) {}
    return true
  }

  package func send(_ message: EngineMessage, then work: @escaping @Sendable () -> Void) {
    // A completed write is in the kernel, so the module can read it even after our death. If the link is closed, there
    // is nothing to wait for.
    write(message.encoded, then: work)
  }

  private func collect(_ state: [UInt8]) {
    waiting.withLockedValue { waiting in
      if waiting.states.count + state.count > LinkOutput.stateBytesMax { writeStates(&waiting) }
      waiting.states += state
      guard !waiting.isScheduled else { return }
      waiting.isScheduled = true
      channel.eventLoop.scheduleTask(in: LinkOutput.stateDelay) { [self] in
        self.waiting.withLockedValue { waiting in
          waiting.isScheduled = false
          writeStates(&waiting)
        }
      }
    }
  }

  private func write(_ bytes: [UInt8], then work: @escaping @Sendable () -> Void) {
    waiting.withLockedValue { waiting in
      writeStates(&waiting)
      // Under the lock, so that the order is that of the calls. `execute` leaves the work to the loop, also where this
      // is the loop's thread: `work` may send again.
      channel.eventLoop.execute { [channel] in
        channel.writeAndFlush(ByteBuffer(bytes: bytes)).whenComplete { _ in work() }
      }
    }
  }

  private func writeStates(_ waiting: inout Waiting) {
    guard !waiting.states.isEmpty else { return }
    let states = ByteBuffer(bytes: waiting.states)
    waiting.states.removeAll(keepingCapacity: true)
    channel.eventLoop.execute { [channel] in channel.writeAndFlush(states, promise: nil) }
  }
}
