// SPDX-License-Identifier: Apache-2.0
internal import AudioForkMedia
internal import AudioForkRing

/// Saves a stream's delivery log in the fork's cursor file, so that the next engine continues there.
/// There may be no file.
struct StreamCursor {
  private let file: CursorFile?
  /// Whether saving has failed (a full tmpfs), or there is no file.
  private(set) var hasFailed = false

  init(_ file: CursorFile?) { self.file = file }

  /// Returns what an earlier engine saved; an empty record if there is none.
  func load() -> CursorRecord { file?.load().flatMap { CursorRecord(decoding: $0) } ?? CursorRecord() }

  /// Saves the log. `decisions`: clock decisions since the confirmed mark.
  mutating func save(_ log: DeliveryLog, _ decisions: [ClockDecision]) {
    if file?.save(log.record(decisions).encode()) != true { hasFailed = true }
  }

  /// Whether the file has lost its name.
  var isNameless: Bool { file?.isNameless ?? true }

  /// Closes the file. Nothing can be saved afterwards.
  func close() { file?.close() }
}
