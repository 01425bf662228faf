// SPDX-License-Identifier: Apache-2.0

/// What `probe` returns, as soon as it is not nil, asked every few milliseconds for at most `seconds`.
package func eventually<Result>(within seconds: Double, _ probe: () async throws -> Result?) async rethrows -> Result? {
  let clock = ContinuousClock()
  let deadline = clock.now.advanced(by: .seconds(seconds))
  while true {
    if let result = try await probe() { return result }
    if clock.now >= deadline { return try await probe() }
    try? await Task.sleep(for: .milliseconds(10))
  }
}

/// Whether the condition came true within `seconds`.
package func becomesTrue(within seconds: Double, _ condition: () async throws -> Bool) async rethrows -> Bool {
  try await eventually(within: seconds) { try await condition() ? true : nil } ?? false
}

/// Asks again until the answer is yes or the time is over.
package func holds(within seconds: Double, _ condition: () async throws -> Bool) async throws -> Bool {
  let deadline = ContinuousClock.now + .seconds(seconds)
  while ContinuousClock.now < deadline {
    if try await condition() { return true }
    try await Task.sleep(for: .milliseconds(100))
  }
  return try await condition()
}
