// SPDX-License-Identifier: Apache-2.0
internal import AudioForkSurface
internal import NIOConcurrencyHelpers

/// Where forks may go (`allow` in `[general]`): the lines in force, for all loops. The module has checked the forks'
/// own URLs; the engine asks here where a server sends a fork.
package final class AllowedURLs: Sendable {
  /// Nil until the module has sent its settings. A module of an earlier release never sends `allow`.
  private let settings = NIOLockedValueBox<EngineSettings?>(nil)

  package init() {}

  /// The module has sent its settings.
  func update(_ settings: EngineSettings) { self.settings.withLockedValue { $0 = settings } }

  /// Whether the module has sent its settings. Until then nothing is allowed.
  var isKnown: Bool { settings.withLockedValue { $0 != nil } }

  /// Whether forks may go to the URL.
  func allows(_ url: EndpointURL) -> Bool { settings.withLockedValue { $0 }?.allows(url) ?? false }
}
