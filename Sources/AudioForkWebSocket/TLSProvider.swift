// SPDX-License-Identifier: Apache-2.0
package import NIOCore

/// What a fork's settings say about TLS.
package struct TLSSettings: Sendable, Hashable {
  /// Whether the server's certificate and name are verified.
  package var verifies: Bool
  /// PEM file of the authorities to trust; empty: those of the system.
  package var caFile: String
  /// PEM files of our own certificate, with its chain, and of its key; empty: none.
  package var certificateFile: String
  package var keyFile: String

  package init(verifies: Bool = true, caFile: String = "", certificateFile: String = "", keyFile: String = "") {
    self.verifies = verifies
    self.caFile = caFile
    self.certificateFile = certificateFile
    self.keyFile = keyFile
  }
}

/// Who knows TLS. The engine is given one, so that it can be built, checked and fuzzed without.
package protocol TLSProvider: Sendable {
  /// Reads what the settings name, or finds it read already; no event loop waits for a file. Fails with
  /// `ConnectionFailure`.
  func prepare(_ settings: TLSSettings, on loop: any EventLoop) -> EventLoopFuture<any PreparedTLS>
}

/// What connections with the same settings share.
package protocol PreparedTLS: Sendable {
  /// Handlers for one connection to `host`, the network's side first. They do the handshake, fire `TLSEstablished`
  /// once the server is who it has to be, and pass on a `ConnectionFailure`, its reason beginning with `tls:`, in
  /// place of every error that only TLS knows. An end without close_notify is like any other end of a connection.
  ///
  /// On the connection's event loop. `isAddress`: the host is an IP address and no name.
  func makeHandlers(host: String, isAddress: Bool) throws(ConnectionFailure) -> [any ChannelHandler]
}

/// Fired when the handshake is over and the server's certificate and name have been found right.
package struct TLSEstablished: Sendable {
  package init() {}
}
