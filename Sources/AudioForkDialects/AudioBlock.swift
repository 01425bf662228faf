// SPDX-License-Identifier: Apache-2.0
package import AudioForkMedia

/// Audio for the server: consecutive sample frames of the stream.
package struct AudioBlock: Sendable {
  /// Interleaved where there is more than one channel.
  package var samples: [Int16]
  package var channelCount: Int
  /// The position of the first frame.
  package var position: Position

  package init(_ samples: [Int16], channelCount: Int, at position: Position) {
    self.samples = samples
    self.channelCount = channelCount
    self.position = position
  }

  /// Sample frames.
  package var frameCount: Int { channelCount == 1 ? samples.count : samples.count / max(channelCount, 1) }
  /// The position behind the last frame.
  package var end: Position { position + UInt64(frameCount) }

  /// The samples of one channel: for dialects that have a message for each.
  package func track(_ channel: Int) -> [Int16] {
    guard channelCount > 1 else { return samples }
    return stride(from: channel, to: samples.count, by: channelCount).map { samples[$0] }
  }
}
