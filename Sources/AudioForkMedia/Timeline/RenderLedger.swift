// SPDX-License-Identifier: Apache-2.0

/// The accounts of a stream: what it has passed, and the gaps that nobody has fetched yet.
struct RenderLedger {
  var counters = RenderCounters()
  var gaps: [Gap] = []
  /// Fill and muted audio that nobody has fetched yet.
  var ranges: [StreamRange] = []

  /// Notes a range; it is joined with the last of its kind and direction where it goes on there.
  mutating func note(_ range: StreamRange) {
    for index in ranges.indices.reversed().prefix(4) {
      let last = ranges[index]
      guard last.kind == range.kind, last.direction == range.direction else { continue }
      guard last.position + last.frames == range.position else { break }
      ranges[index].frames &+= range.frames
      return
    }
    ranges.append(range)
  }

  /// The stream passes over captured samples that it does not have.
  mutating func pass(_ direction: Direction, captured: UInt64, count: UInt64, missing reason: Gap.Reason) {
    switch reason {
    case .overrun, .undelivered, .unconfirmed: counters[direction].overrun &+= count
    case .ahead: counters[direction].ahead &+= count
    }
    gaps.append(
      Gap(direction: direction, start: captured, count: count, reason: reason, position: counters.position))
  }
}
