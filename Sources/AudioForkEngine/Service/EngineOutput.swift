// SPDX-License-Identifier: Apache-2.0
internal import AudioForkLink
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

/// Sends messages over the link.
package struct LinkOutput: EngineOutput {
  private let channel: any Channel

  package init(_ channel: any Channel) { self.channel = channel }

  @discardableResult
  package func send(_ message: EngineMessage) -> Bool {
    switch message {
    // A module that does not read must not become our memory. What is lost here is replaced by what comes next.
    case .state, .log, .gap, .text: guard channel.isWritable else { return false }
    // There is never more than one heartbeat on its way (`EngineCore.beat`).
    case .ready, .ended, .heartbeat, .unknown: break
    }
    channel.writeAndFlush(ByteBuffer(bytes: message.encoded), promise: nil)
    return true
  }

  package func send(_ message: EngineMessage, then work: @escaping @Sendable () -> Void) {
    // A completed write is in the kernel, so the module can read it even after our death. If the link is closed, there
    // is nothing to wait for.
    channel.writeAndFlush(ByteBuffer(bytes: message.encoded)).whenComplete { _ in work() }
  }
}
