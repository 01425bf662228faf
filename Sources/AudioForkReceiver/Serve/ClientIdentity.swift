// SPDX-License-Identifier: Apache-2.0

/// Who a client is, as far as the receiver can tell. A file of `audiofork.v1` belongs to the identity that began it:
/// no other client can continue it or take it over.
package struct ClientIdentity: Equatable, Sendable {
  /// What two connections of one client have in common. Never shown: it is made from secrets.
  let bytes: [UInt8]

  /// The best proof that there is: the client's certificate and its token, or else its address.
  /// - Parameters:
  ///   - certificate: the names in the client's verified certificate; nil without one.
  ///   - token: digest of the token that the client gave; nil where none is asked for.
  ///   - address: the client's IP address, without the port.
  package init(certificate: [UInt8]? = nil, token: [UInt8]? = nil, address: String) {
    var parts: [[UInt8]] = []
    if let certificate { parts.append(Array("certificate".utf8) + SHA256.digest(certificate)) }
    if let token { parts.append(Array("token".utf8) + token) }
    if parts.isEmpty { parts.append(Array("address".utf8) + SHA256.digest(address.utf8)) }
    bytes = parts.flatMap { $0 }
  }
}
