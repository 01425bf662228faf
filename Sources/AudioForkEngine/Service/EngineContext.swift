// SPDX-License-Identifier: Apache-2.0
package import AudioForkWebSocket

/// What all forks of an engine share.
package struct EngineContext: Sendable {
  /// Nil: a fork to wss:// ends at once.
  package var tls: (any TLSProvider)?
  package var resolver: HostResolver
  package var limiter: ConnectLimiter
  package var spools: SpoolStore
  /// Where forks may go; each engine has its own.
  let allowed = AllowedURLs()
  /// Limits the texts of all servers together that reach the module.
  let texts = SharedTextLimit()

  package init(
    tls: (any TLSProvider)? = nil, resolver: HostResolver = HostResolver(),
    limiter: ConnectLimiter = ConnectLimiter(), spools: SpoolStore = SpoolStore()
  ) {
    self.tls = tls
    self.resolver = resolver
    self.limiter = limiter
    self.spools = spools
  }
}
