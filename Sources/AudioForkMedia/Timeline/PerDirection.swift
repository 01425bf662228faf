// SPDX-License-Identifier: Apache-2.0

/// One value for each direction.
struct PerDirection<Value> {
  var `in`: Value
  var out: Value

  init(in first: Value, out second: Value) {
    self.in = first
    out = second
  }

  // No `_modify`: with a yield in two places it stays a coroutine, which allocates its frame on each call.
  subscript(direction: Direction) -> Value {
    get { direction == .in ? self.in : out }
    set { update(direction) { $0 = newValue } }
  }

  /// Changes a value in place; for those that are no mere numbers.
  @inline(__always)
  mutating func update<Result>(_ direction: Direction, _ body: (inout Value) -> Result) -> Result {
    switch direction {
    case .in: body(&self.in)
    case .out: body(&out)
    }
  }
}

extension PerDirection: Equatable where Value: Equatable {}
extension PerDirection: Sendable where Value: Sendable {}
