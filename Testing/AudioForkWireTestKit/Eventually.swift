// SPDX-License-Identifier: Apache-2.0
internal import CAudioForkABI
package import Testing

/// Waits until the condition holds; records an issue when it does not in time.
package func eventually(
  within seconds: Double = 10, _ what: Comment, sourceLocation: SourceLocation = #_sourceLocation,
  _ condition: () async throws -> Bool
) async throws {
  let deadline = af_now_ns() + Int64(seconds * 1e9)
  while af_now_ns() < deadline {
    if try await condition() { return }
    try await Task.sleep(nanoseconds: 5_000_000)
  }
  // Once more: a busy machine may have slept over the deadline.
  if try await condition() { return }
  Issue.record(what, sourceLocation: sourceLocation)
}
