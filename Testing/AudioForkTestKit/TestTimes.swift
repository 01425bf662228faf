// SPDX-License-Identifier: Apache-2.0
package import AudioForkMedia

// Tests write times and positions as numbers. The program cannot: there a number is no time.

/// Nanoseconds.
package let millisecond: Int64 = 1_000_000

/// A time so many nanoseconds after its clock's zero.
package func at<Time: TimePoint>(_ nanoseconds: Int64) -> Time { Time(nanoseconds: nanoseconds) }

extension MonotonicTime: ExpressibleByIntegerLiteral {
  package init(integerLiteral nanoseconds: Int64) { self.init(nanoseconds: nanoseconds) }
}

extension StreamTime: ExpressibleByIntegerLiteral {
  package init(integerLiteral nanoseconds: Int64) { self.init(nanoseconds: nanoseconds) }
}

extension WallTime: ExpressibleByIntegerLiteral {
  package init(integerLiteral nanoseconds: Int64) { self.init(nanoseconds: nanoseconds) }
}

extension Nanoseconds: ExpressibleByIntegerLiteral {
  package init(integerLiteral count: Int64) { self.init(count) }
}

extension Position: ExpressibleByIntegerLiteral {
  package init(integerLiteral frames: UInt64) { self.init(frames) }
}
