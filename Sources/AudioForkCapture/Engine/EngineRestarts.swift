// SPDX-License-Identifier: GPL-2.0-or-later
import AudioForkBytes

/// Requests to replace the engine, and what became of them.
struct EngineRestarts {
  private var asked = 0
  /// Requests that the control thread has seen.
  private var taken = 0
  /// Requests that have an outcome.
  private var answered = 0
  /// Why there is no new engine; empty: there is one.
  private var problem = Bytes()

  /// Adds a request. Returns its number.
  mutating func ask() -> Int {
    asked &+= 1
    return asked
  }

  /// Whether there are requests that the control thread has not seen. It has seen them now.
  mutating func take() -> Bool {
    guard taken < asked else { return false }
    taken = asked
    return true
  }

  /// A new engine serves, or could not be started for this reason.
  mutating func answer(problem: Bytes = []) {
    guard answered < taken else { return }
    answered = taken
    self.problem = problem
  }

  /// What became of a request: nil as long as that is open, empty where a new engine serves, else why there is none.
  func outcome(of request: Int) -> Bytes? { request <= answered ? problem : nil }
}
