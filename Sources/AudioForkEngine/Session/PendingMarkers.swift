// SPDX-License-Identifier: Apache-2.0
package import AudioForkMedia
package import AudioForkDialects

/// The markers that have not been sent to the server on this connection: gaps, digits, fill and muted audio.
///
/// Gaps and digits are sent before the audio that follows them. Fill and muted audio are sent as ranges, about once a
/// second and after their audio. A server may therefore have that audio without the ranges: `ranges(untaken:at:)`
/// returns the ranges that a replay sends again.
package struct PendingMarkers: Sendable {
  /// Whether the dialect has messages for markers. If not, nothing is collected.
  package let isCollecting: Bool
  private var markers: [StreamMarker] = []
  /// Digits of entries before this one were sent before the confirmed mark.
  private var firstDigit: UInt64 = 0
  /// Position at which ranges were last taken, and those ranges.
  private var rangesTakenAt = Position.zero
  private var rangesTaken: [StreamRange] = []

  package init(isCollecting: Bool) { self.isCollecting = isCollecting }

  /// Adds gaps of the stream.
  package mutating func note(_ gaps: [Gap]) {
    guard isCollecting else { return }
    markers += gaps.map { .gap($0) }
  }

  /// Adds a digit of the stream, which is entry `sequence`.
  package mutating func note(_ digit: CapturedDigit, sequence: UInt64, position: Position) {
    guard isCollecting, sequence >= firstDigit else { return }
    markers.append(
      .digit(digit.direction, position: position, digit: digit.digit, milliseconds: digit.milliseconds))
  }

  /// Returns gaps and digits in the stream's order, each once. Send them before the next block.
  package mutating func take() -> [StreamMarker] {
    guard !markers.isEmpty else { return [] }
    defer { markers = [] }
    return markers
  }

  /// Returns whether ranges were last taken at least one second of the stream ago.
  package func areRangesDue(at position: Position, rate: SampleRate) -> Bool {
    position - rangesTakenAt >= rate.frames(inSeconds: 1)
  }

  /// Returns these ranges of the stream, up to `position`, as markers.
  package mutating func take(_ ranges: [StreamRange], at position: Position) -> [StreamMarker] {
    rangesTakenAt = position
    rangesTaken = ranges
    return ranges.map { range in
      switch range.kind {
      case .fill: .fill(range.direction, position: range.position, frames: range.frames)
      case .muted: .mute(range.direction, position: range.position, frames: range.frames)
      }
    }
  }

  /// Returns the ranges that a stream resumed at `position` has to send. `untaken`: those that were never taken.
  package func ranges(untaken: [StreamRange], at position: Position) -> [StreamRange] {
    rangesTaken.isEmpty || position != rangesTakenAt ? untaken : rangesTaken + untaken
  }

  /// A connection begins with the stream at `position`.
  package mutating func connectionBegan(at position: Position) {
    rangesTakenAt = position
    rangesTaken = []
  }

  /// The stream continues at this checkpoint. Markers before it are not sent again.
  package mutating func resume(at checkpoint: Checkpoint) {
    markers = []
    firstDigit = checkpoint.sequence
    connectionBegan(at: checkpoint.position)
  }
}
