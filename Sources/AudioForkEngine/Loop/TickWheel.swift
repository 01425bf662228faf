// SPDX-License-Identifier: Apache-2.0

/// A loop's forks by the tick at which they are looked at next. Most forks have a block in every fourth tick, so the
/// others need not be touched.
struct TickWheel {
  /// Every fork is looked at once in this many ticks.
  static let restMax: Int64 = 4
  /// Ticks with a place of their own. Tick `n` has the place `n` modulo this.
  static let ticks = restMax + 1

  private var places = [[ForkSession]](repeating: [], count: Int(TickWheel.ticks))
  private var turn: Int64 = 0

  /// Begins the next tick. Swaps its forks with the contents of `due`, whose storage serves again.
  mutating func advance(swapping due: inout [ForkSession]) {
    turn &+= 1
    swap(&due, &places[place(of: turn)])
  }

  /// Has the fork looked at in so many ticks: 1 to `restMax`.
  mutating func put(_ session: ForkSession, in ticks: Int64) { places[place(of: turn &+ ticks)].append(session) }

  /// Removes all forks.
  mutating func clear() {
    for place in places.indices { places[place] = [] }
  }

  private func place(of turn: Int64) -> Int { Int(turn % TickWheel.ticks) }
}
