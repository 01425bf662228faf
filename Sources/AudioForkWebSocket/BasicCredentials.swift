// SPDX-License-Identifier: Apache-2.0
internal import AudioForkBytes

/// `user[:password]`, percent-encoded as it stood in a URL, as credentials of the scheme Basic (RFC 7617).
struct BasicCredentials {
  private let userInformation: [UInt8]

  /// Nil for empty user information.
  init?(_ userInformation: [UInt8]) {
    guard !userInformation.isEmpty else { return nil }
    self.userInformation = userInformation
  }

  /// The value of Authorization or Proxy-Authorization. Without a password there is an empty one.
  var value: String { "Basic \(encoded)" }

  private var encoded: String {
    var credentials = percentDecoded(userInformation)
    if !userInformation.contains(UInt8(ascii: ":")) { credentials.append(UInt8(ascii: ":")) }
    return String(decoding: base64(credentials), as: UTF8.self)
  }

  /// What must not be shown in a log.
  var secrets: [[UInt8]] {
    var texts = [userInformation, percentDecoded(userInformation), Array(encoded.utf8)]
    let parts = userInformation.split(separator: UInt8(ascii: ":"), maxSplits: 1)
    if parts.count == 2 { texts += [Array(parts[1]), percentDecoded(Array(parts[1]))] }
    return texts
  }
}

/// Texts that must not be shown, the longest first. A text of less than four bytes is no secret and would garble what
/// is shown.
func sortedSecrets(_ texts: [[UInt8]]) -> [String] {
  let found = Set(texts.filter { $0.count >= 4 }.map { String(decoding: $0, as: UTF8.self) })
  return found.sorted { $0.utf8.count > $1.utf8.count }
}
