// SPDX-License-Identifier: Apache-2.0
package import AudioForkMedia

/// A note in the stream beside the audio.
package enum StreamMarker: Sendable, Equatable {
  /// Captured samples that the stream lacks.
  case gap(Gap)
  /// A direction has no audio in these sample frames: zeros stand there, or the other direction alone.
  case fill(Direction, position: Position, frames: UInt64)
  /// A direction is muted in these sample frames.
  case mute(Direction, position: Position, frames: UInt64)
  /// A digit was pressed; `milliseconds` long.
  case digit(Direction, position: Position, digit: UInt8, milliseconds: UInt64)
}
