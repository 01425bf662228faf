// SPDX-License-Identifier: Apache-2.0
internal import Synchronization

/// Times in which gaps have to be expected.
final class OutageLog: Sendable {
  private let spans = Mutex<[ClosedRange<ContinuousClock.Instant>]>([])
  private let begun = Mutex<ContinuousClock.Instant?>(nil)
  func begin() { begun.withLock { $0 = .now } }
  func end() {
    let from = begun.withLock { instant in
      defer { instant = nil }
      return instant
    }
    guard let from else { return }
    spans.withLock { $0.append(from...ContinuousClock.now) }
  }
  /// Whether an outage lasts, or one ended after this moment.
  func explains(from: ContinuousClock.Instant) -> Bool {
    begun.withLock { $0 != nil } || spans.withLock { $0.contains { $0.upperBound >= from } }
  }
}
