// SPDX-License-Identifier: Apache-2.0
package import NIOCore

/// Where the engine's messages go: the link, or a test. Called from every event loop.
package protocol EngineOutput: Sendable {
  /// False where the message was dropped, because the module does not read.
  @discardableResult
  func send(_ message: EngineMessage) -> Bool
}

/// Sends messages over the link.
package struct LinkOutput: EngineOutput {
  private let channel: any Channel

  package init(_ channel: any Channel) { self.channel = channel }

  @discardableResult
  package func send(_ message: EngineMessage) -> Bool {
    switch message {
    // A module that does not read must not become our memory. What is lost here is replaced by what comes next.
    case .state, .log, .gap, .text, .heartbeat: guard channel.isWritable else { return false }
    case .ready, .ended: break
    }
    channel.writeAndFlush(message.encode(), promise: nil)
    return true
  }
}
