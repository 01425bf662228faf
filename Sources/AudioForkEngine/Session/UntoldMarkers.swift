// SPDX-License-Identifier: Apache-2.0
package import AudioForkMedia
package import AudioForkDialects

/// The markers that the server has not been told on this connection: gaps, digits, fill and muted audio.
///
/// Gaps and digits are told before the audio that follows them. Fill and muted audio are told as ranges, about once a
/// second and after their audio. A server may therefore have that audio and not the ranges: `ranges(untaken:at:)`
/// returns what a replay has to tell again.
package struct UntoldMarkers: Sendable {
  /// Whether the dialect has messages for markers. If not, nothing is collected.
  package let isCollecting: Bool
  private var markers: [StreamMarker] = []
  /// Digits of earlier entries were told before the confirmed mark.
  private var firstDigit: UInt64 = 0
  /// Where ranges were taken last, and which.
  private var rangesTakenAt = Position.zero
  private var rangesTaken: [StreamRange] = []

  package init(isCollecting: Bool) { self.isCollecting = isCollecting }

  /// The stream has met gaps.
  package mutating func note(_ gaps: [Gap]) {
    guard isCollecting else { return }
    markers += gaps.map { .gap($0) }
  }

  /// The stream has come to a digit, which is entry `sequence`.
  package mutating func note(_ digit: CapturedDigit, sequence: UInt64, position: Position) {
    guard isCollecting, sequence >= firstDigit else { return }
    markers.append(
      .digit(digit.direction, position: position, digit: digit.digit, milliseconds: digit.milliseconds))
  }

  /// Gaps and digits in the stream's order, each once. They belong before the next block.
  package mutating func take() -> [StreamMarker] {
    guard !markers.isEmpty else { return [] }
    defer { markers = [] }
    return markers
  }

  /// Whether a second of the stream or more has passed since ranges were taken.
  package func areRangesDue(at position: Position, rate: SampleRate) -> Bool {
    position - rangesTakenAt >= rate.frames(inSeconds: 1)
  }

  /// Takes the ranges of the stream up to `position`, as markers.
  package mutating func tell(_ ranges: [StreamRange], at position: Position) -> [StreamMarker] {
    rangesTakenAt = position
    rangesTaken = ranges
    return ranges.map { range in
      switch range.kind {
      case .fill: .fill(range.direction, position: range.position, frames: range.frames)
      case .muted: .mute(range.direction, position: range.position, frames: range.frames)
      }
    }
  }

  /// The ranges that a stream resumed at `position` has to tell. `untaken`: those that nobody has taken yet.
  package func ranges(untaken: [StreamRange], at position: Position) -> [StreamRange] {
    rangesTaken.isEmpty || position != rangesTakenAt ? untaken : rangesTaken + untaken
  }

  /// A connection begins with the stream at `position`.
  package mutating func connectionBegan(at position: Position) {
    rangesTakenAt = position
    rangesTaken = []
  }

  /// The stream continues at this checkpoint. What was told before it is not told again.
  package mutating func resume(at checkpoint: Checkpoint) {
    markers = []
    firstDigit = checkpoint.sequence
    connectionBegan(at: checkpoint.position)
  }
}
