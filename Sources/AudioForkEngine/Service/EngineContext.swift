// SPDX-License-Identifier: Apache-2.0
package import AudioForkDialects
package import AudioForkSurface
package import AudioForkWebSocket

/// What all forks of an engine share.
package struct EngineContext: Sendable {
  /// Nil: a fork to wss:// ends at once.
  package var tls: (any TLSProvider)?
  package var resolver: HostResolver
  package var limiter: ConnectLimiter
  package var spools: SpoolStore
  /// The sessions of each dialect.
  package var dialects: @Sendable (DialectName) -> any DialectSession.Type
  /// Where forks may go; each engine has its own.
  let allowed = AllowedURLs()
  /// Limits the texts of all servers together that reach the module.
  let texts = SharedTextLimit()

  package init(
    tls: (any TLSProvider)? = nil, resolver: HostResolver = HostResolver(),
    limiter: ConnectLimiter = ConnectLimiter(), spools: SpoolStore = SpoolStore(),
    dialects: @escaping @Sendable (DialectName) -> any DialectSession.Type = DialectRegistry.session
  ) {
    self.tls = tls
    self.resolver = resolver
    self.limiter = limiter
    self.spools = spools
    self.dialects = dialects
  }
}
