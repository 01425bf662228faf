// SPDX-License-Identifier: Apache-2.0
internal import NIOCore

/// The pings of a client that are not answered yet. A pong says that all audio sent before its ping is in the file.
struct PongQueue: Sendable {
  private struct Waiting {
    /// Bytes of audio accepted when its ping came.
    let mark: Int
    let payload: ByteBuffer
  }

  /// Unanswered pings; beyond them the oldest is dropped, which RFC 6455 (5.5.3) allows.
  static let countMax = 64

  private var waiting: [Waiting] = []

  /// A ping came behind so many bytes of audio.
  mutating func add(_ payload: ByteBuffer, behind acceptedBytes: Int) {
    if waiting.count >= PongQueue.countMax { waiting.removeFirst() }
    // A copy: a slice would keep all that was read from the network with it.
    waiting.append(Waiting(mark: acceptedBytes, payload: ByteBuffer(bytes: payload.readableBytesView)))
  }

  /// Returns the payload of the next pong that may be sent, and removes it.
  mutating func next(writtenBytes: Int) -> ByteBuffer? {
    guard let pong = waiting.first, pong.mark <= writtenBytes else { return nil }
    waiting.removeFirst()
    return pong.payload
  }

  mutating func removeAll() { waiting = [] }
}
