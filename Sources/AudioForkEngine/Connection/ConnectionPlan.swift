// SPDX-License-Identifier: Apache-2.0
internal import AudioForkSurface
internal import AudioForkWebSocket
internal import NIOCore

/// How one attempt reaches a server: the fork's URL, and what may lead elsewhere.
struct ConnectionPlan {
  /// The fork's own URL.
  let url: EndpointURL
  let options: ForkOptions
  /// For the whole attempt, redirects included.
  let timeout: TimeAmount
  /// Nil if the engine has no TLS.
  let tls: (any TLSProvider)?
  let allowed: AllowedURLs
  /// Value of User-Agent.
  let agent: String
  /// Makes the upgrade request to a URL. `isTrusted`: it may hold secrets, of which `credentials` are those of files.
  let request: (_ url: EndpointURL, _ isTrusted: Bool, _ credentials: [RequestHeader]) -> UpgradeRequest

  /// The way to where the chain of redirects has led. `deadline`: when the attempt has to be over, once that is known.
  func route(_ chain: RedirectChain, deadline: NIODeadline?) -> TransportAttempt.Route {
    let url = chain.url
    return TransportAttempt.Route(
      url: url, proxy: options.noProxy.contains(url) ? nil : options.proxy, agent: agent,
      security: tls.map { TransportAttempt.Security($0, options, showsCertificate: chain.isTrusted) },
      // Read once for each attempt.
      credentials: chain.count == 0 ? CredentialFiles(options) : nil, deadline: deadline)
  }
}

extension TransportAttempt {
  /// Where an attempt goes, and how.
  struct Route {
    let url: EndpointURL
    /// The proxy that leads there; nil: none.
    let proxy: ProxyAddress?
    let agent: String
    /// Nil if the engine has no TLS.
    let security: Security?
    /// Files to read before the attempt; nil: none.
    let credentials: CredentialFiles?
    /// Nil: the time limit counts from the attempt's turn on.
    let deadline: NIODeadline?

    var host: String { String(decoding: url.host, as: UTF8.self) }

    /// What TCP connects to, and who looks a name up: us for a proxy's name, the proxy for the server's.
    var peer: (host: String, port: Int) {
      proxy.map { (String(decoding: $0.host, as: UTF8.self), $0.port) } ?? (host, url.port)
    }

    /// A reason that names the proxy, where there is one.
    func reason(_ text: String) -> String { proxy.map { ProxyTunnel.reason($0, text) } ?? text }
  }

  /// What TLS needs.
  struct Security {
    let provider: any TLSProvider
    let settings: TLSSettings

    /// `showsCertificate`: a server that asks for a certificate gets ours.
    init(_ provider: any TLSProvider, _ options: ForkOptions, showsCertificate: Bool) {
      self.provider = provider
      settings = TLSSettings(
        verifies: options.verifies, caFile: String(decoding: options.caFile, as: UTF8.self),
        certificateFile: showsCertificate ? String(decoding: options.certificateFile, as: UTF8.self) : "",
        keyFile: showsCertificate ? String(decoding: options.keyFile, as: UTF8.self) : "")
    }
  }
}
