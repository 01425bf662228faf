// SPDX-License-Identifier: Apache-2.0
package import AudioForkMedia

/// Collects blocks until they make one binary message, for a fork whose messages are longer than a block. No I/O and no
/// clock.
///
/// What is collected was taken from the stream and not sent: nothing may confirm it, and it is dropped when the
/// connection is lost, because the stream returns to what was sent.
package struct MessageCollector: Sendable {
  /// Frames of a full message; 0: each block is a message, and nothing is collected.
  private let framesMax: Int
  /// How long collected audio waits for a further block; nil: one is sure to come, because the fork has fill.
  private let patience: Nanoseconds?
  /// The collected samples.
  package private(set) var samples: [Int16] = []
  /// Position of the first collected frame, which is where the sent stream ends.
  package private(set) var position = Position.zero
  private var frames = 0
  private var appendedAt = MonotonicTime(nanoseconds: 0)

  /// `milliseconds`: length of a message. `hasFill`: what is not captured is filled in, so that blocks always follow.
  package init(milliseconds: Int, rate: SampleRate, hasFill: Bool) {
    let length = Nanoseconds.milliseconds(Int64(milliseconds))
    patience = hasFill ? nil : length
    framesMax = length > RenderLimit.blockLength ? rate.hertz * milliseconds / 1000 : 0
  }

  /// Whether messages are longer than a block.
  package var isCollecting: Bool { framesMax > 0 }

  /// Whether nothing is collected.
  package var isEmpty: Bool { frames == 0 }

  /// Whether the collected blocks make a message. It is longer than asked for by less than a block where the fork has
  /// no fill, whose blocks are of any length.
  package var isFull: Bool { frames >= framesMax }

  /// Whether a block at `position` continues what is collected.
  package func isContinued(at position: Position) -> Bool { isEmpty || position == self.position + UInt64(frames) }

  /// Whether no further block came for the length of a message, so that what is collected must not wait any longer.
  package func isStale(now: MonotonicTime) -> Bool {
    guard let patience, !isEmpty else { return false }
    return now - appendedAt >= patience
  }

  /// Adds a block.
  package mutating func append(_ block: RenderedBlock, _ samples: [Int16], now: MonotonicTime) {
    if isEmpty { position = block.position }
    self.samples += samples
    frames += block.frameCount
    appendedAt = now
  }

  /// Fills a message that was begun up to its length, with silence.
  package mutating func pad(channelCount: Int) {
    guard !isEmpty, frames < framesMax else { return }
    samples += [Int16](repeating: 0, count: (framesMax - frames) * channelCount)
    frames = framesMax
  }

  /// Forgets what is collected: it was sent, or the connection is lost.
  package mutating func removeAll() {
    guard !isEmpty else { return }
    samples.removeAll(keepingCapacity: true)
    frames = 0
  }
}
