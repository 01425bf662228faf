// SPDX-License-Identifier: Apache-2.0

/// The accounts of a stream: what it has passed, and the gaps that nobody has fetched yet.
struct RenderLedger {
  var counters = RenderCounters()
  var gaps: [Gap] = []

  /// The stream passes over captured samples that it does not have.
  mutating func pass(_ direction: Direction, captured: UInt64, count: UInt64, missing reason: Gap.Reason) {
    switch reason {
    case .overrun: counters[direction].overrun &+= count
    case .ahead: counters[direction].ahead &+= count
    }
    gaps.append(
      Gap(direction: direction, start: captured, count: count, reason: reason, position: counters.position))
  }
}
