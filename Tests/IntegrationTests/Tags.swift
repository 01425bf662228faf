// SPDX-License-Identifier: Apache-2.0
import Testing

/// How `scripts/test` runs a test: docs/internals/testing.md, "Side by side".
extension Tag {
  /// It measures time or load: nothing else runs meanwhile.
  @Tag static var alone: Self
  /// It takes half a minute or more: it begins before the others.
  @Tag static var slow: Self
  /// On a suite: its tests share something of the machine, a port for example. They run in one process, one by one.
  @Tag static var together: Self
}
