// SPDX-License-Identifier: Apache-2.0

/// Who a client is, as far as the receiver can tell. A file of `audiofork.v1` belongs to the identity that began it:
/// no other client can continue it or take it over.
package struct ClientIdentity: Equatable, Sendable {
  private let certificate: [UInt8]?
  private let token: [UInt8]?
  private let address: String

  /// - Parameters:
  ///   - certificate: the names in the client's verified certificate; nil without one.
  ///   - token: digest of the token that the client gave; nil where none is asked for.
  ///   - address: the client's IP address, without the port.
  package init(certificate: [UInt8]? = nil, token: [UInt8]? = nil, address: String) {
    self.certificate = certificate
    self.token = token
    self.address = address
  }

  /// What two connections of one client for one fork have in common: the certificate, the token and the fork's secret,
  /// as many of them as there are, or else the address. Never shown.
  /// - Parameter secret: digest of the secret in the fork's `start`; nil without one.
  func key(secret: [UInt8]?) -> [UInt8] {
    var parts: [[UInt8]] = []
    if let certificate { parts.append(Array("certificate".utf8) + SHA256.digest(certificate)) }
    if let token { parts.append(Array("token".utf8) + token) }
    if let secret { parts.append(Array("secret".utf8) + secret) }
    if parts.isEmpty { parts.append(Array("address".utf8) + SHA256.digest(address.utf8)) }
    return parts.flatMap { $0 }
  }
}
