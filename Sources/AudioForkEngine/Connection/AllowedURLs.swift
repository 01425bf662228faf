// SPDX-License-Identifier: Apache-2.0
internal import AudioForkSurface
internal import NIOConcurrencyHelpers

/// Where forks may go (`allow` in `[general]`): the lines in force, for all loops. The module has checked the forks'
/// own URLs; the engine asks here where a server sends a fork.
package final class AllowedURLs: Sendable {
  private let settings = NIOLockedValueBox(EngineSettings())

  package init() {}

  /// The module has sent its settings.
  func update(_ settings: EngineSettings) { self.settings.withLockedValue { $0 = settings } }

  /// Whether forks may go to the URL.
  func allows(_ url: EndpointURL) -> Bool { settings.withLockedValue { $0 }.allows(url) }
}
