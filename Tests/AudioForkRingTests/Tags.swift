// SPDX-License-Identifier: Apache-2.0
import Testing

extension Tag {
  /// Nothing else runs meanwhile: docs/internals/testing.md, "Side by side".
  @Tag static var alone: Self
}
