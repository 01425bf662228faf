// SPDX-License-Identifier: Apache-2.0

/// When an engine looks for what others have left.
///
/// Often in the first minute: an older engine may still hold some of it, and has delivered it by then, drain time and
/// all. Then rarely, for as long as the engine runs: another Asterisk of the same machine may die later, and its engine
/// with it.
package struct AdoptionRounds {
  /// In the first minute.
  package static let early = 12
  package static let earlyPause = Duration.seconds(5)
  package static let pause = Duration.seconds(600)

  /// Calls `look` in each round, until `sleep` throws. `isEarly`: the round is one of the first minute.
  package static func run(
    sleep: (Duration) async throws -> Void, look: (_ isEarly: Bool) async -> Void
  ) async {
    var round = 0
    while true {
      let isEarly = round < early
      await look(isEarly)
      do { try await sleep(isEarly ? earlyPause : pause) } catch { return }
      round = min(round + 1, early)
    }
  }
}
