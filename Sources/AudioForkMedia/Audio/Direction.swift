// SPDX-License-Identifier: Apache-2.0

/// Direction of audio seen from the channel. Raw values are those of `enum af_direction`.
package enum Direction: UInt8, Sendable, Equatable, CaseIterable {
  /// READ: what the party says.
  case `in` = 0
  /// WRITE: what the party hears.
  case out = 1
}

/// A set of directions; bits as in the ring and on the control link (bit 0 in, bit 1 out).
package struct DirectionSet: OptionSet, Sendable, Hashable {
  package let rawValue: UInt8
  package init(rawValue: UInt8) { self.rawValue = rawValue & 3 }
  package static let `in` = DirectionSet(rawValue: 1)
  package static let out = DirectionSet(rawValue: 2)
  package static let both: DirectionSet = [.in, .out]

  package func contains(_ direction: Direction) -> Bool { rawValue & (1 << direction.rawValue) != 0 }
}
