// SPDX-License-Identifier: Apache-2.0
internal import AudioForkWebSocket
package import Glibc
internal import NIOCore
internal import NIOSSL

/// What a certificate says (RFC 5280 section 4.1), for the host name, the length of its key and messages. BoringSSL
/// verifies it.
package struct CertificateFacts {
  /// The distinguished names, encoded: equal names are equal bytes.
  let issuer: [UInt8]
  let subject: [UInt8]
  /// Subject alternative names.
  package private(set) var dnsNames: [String] = []
  package private(set) var addresses: [String] = []
  /// All alternative names, URIs and e-mail addresses too: the tag that says the kind, then the content.
  private(set) var alternativeNames: [[UInt8]] = []
  /// Bits of the key's modulus where the key is RSA.
  package let rsaBits: Int?
  private let validFrom: time_t
  private let validUntil: time_t

  /// Nil where the certificate cannot be read, which BoringSSL would have refused.
  init?(_ certificate: NIOSSLCertificate) {
    guard let bytes = try? certificate.toDERBytes() else { return nil }
    self.init(derEncoded: bytes, validFrom: certificate.notValidBefore, validUntil: certificate.notValidAfter)
  }

  /// Reads a certificate in DER; nil where the bytes are none. The times are seconds since 1970.
  package init?(derEncoded bytes: [UInt8], validFrom: time_t, validUntil: time_t) {
    self.validFrom = validFrom
    self.validUntil = validUntil
    guard var body = DERReader(bytes).firstInside?.firstInside, var field = body.next() else { return nil }
    // The version, where it is not the first one.
    if field.tag == 0xA0 { field = body.next() ?? field }
    // Serial number, signature algorithm, issuer, validity, subject, key.
    guard body.next() != nil, let issuer = body.next(), body.next() != nil, let subject = body.next(),
      let key = body.next()
    else { return nil }
    self.issuer = issuer.content
    self.subject = subject.content
    rsaBits = CertificateFacts.rsaBits(key)
    while let field = body.next() {
      guard field.tag == 0xA3, var extensions = field.inside.firstInside else { continue }
      while let entry = extensions.next() { readAlternativeNames(entry) }
    }
  }

  private mutating func readAlternativeNames(_ entry: DERReader.Element) {
    var parts = entry.inside
    guard parts.next()?.content == [0x55, 0x1D, 0x11] else { return }
    while let part = parts.next() {
      guard part.tag == 0x04, var names = part.inside.firstInside else { continue }
      while let name = names.next() {
        alternativeNames.append([name.tag] + name.content)
        switch name.tag {
        case 0x82: dnsNames.append(String(decoding: name.content, as: UTF8.self))
        case 0x87:
          let packed = ByteBuffer(bytes: name.content)
          if let address = try? SocketAddress(packedIPAddress: packed, port: 0), let text = address.ipAddress {
            addresses.append(text)
          }
        default: break
        }
      }
    }
  }

  /// The smallest RSA key that is taken: NIST SP 800-57 part 1, and what public authorities have issued since 2014.
  static let rsaBitsMin = 2048

  /// Whether its key is too short to prove anything.
  package var isWeak: Bool { rsaBits.map { $0 < CertificateFacts.rsaBitsMin } ?? false }

  /// The modulus's bits of a SubjectPublicKeyInfo; nil where its key is not RSA (RFC 3279 section 2.3.1).
  private static func rsaBits(_ info: DERReader.Element) -> Int? {
    var parts = info.inside
    guard var algorithm = parts.next()?.inside, let bits = parts.next(), bits.tag == 0x03,
      algorithm.next()?.content == [0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x01]
    else { return nil }
    // A byte says how many bits of the last one are unused: none.
    var numbers = DERReader(Array(bits.content.dropFirst())).firstInside
    guard let modulus = numbers?.next(), modulus.tag == 0x02 else { return nil }
    let bytes = modulus.content.drop { $0 == 0 }
    guard let first = bytes.first else { return 0 }
    return bytes.count * 8 - first.leadingZeroBitCount
  }

  var isSelfSigned: Bool { issuer == subject }
  package var subjectName: String { CertificateFacts.name(subject) }
  package var issuerName: String { CertificateFacts.name(issuer) }

  /// Whether it was valid at this time, seconds since 1970; if not, why.
  func validity(at now: time_t) -> String? {
    if now > validUntil { return "expired on \(CertificateFacts.date(validUntil))" }
    if now < validFrom { return "is not valid before \(CertificateFacts.date(validFrom))" }
    return nil
  }

  /// Whom it is for, for a message: a few names.
  var purpose: String {
    let names = dnsNames + addresses
    if names.isEmpty { return "'\(subjectName)', without any host name in subjectAltName" }
    let few = names.prefix(5).map(shown).joined(separator: ", ")
    return names.count > 5 ? "\(few) and \(names.count - 5) more" : few
  }

  /// Whether a DNS name among the alternative names is this host, or a wildcard for its first label (RFC 9525 section
  /// 6.3). The common name is not looked at (RFC 9525 section 2), although NIOSSL takes it where there is no other
  /// name.
  package func isFor(host: String) -> Bool {
    let host = CertificateFacts.comparable(host)
    let rest = host.firstIndex(of: ".").map { host[$0...] }
    return dnsNames.contains { name in
      let name = CertificateFacts.comparable(name)
      if name == host { return true }
      guard name.hasPrefix("*."), let rest else { return false }
      return name.dropFirst() == rest
    }
  }

  private static func comparable(_ name: String) -> String {
    let name = name.lowercased()
    return name.hasSuffix(".") ? String(name.dropLast()) : name
  }

  /// Common name and organization; what there is of them.
  private static func name(_ distinguishedName: [UInt8]) -> String {
    var sets = DERReader(distinguishedName)
    var parts: [[UInt8]: String] = [:]
    while let set = sets.next() {
      var attributes = set.inside
      while let attribute = attributes.next() {
        var pair = attribute.inside
        guard let kind = pair.next(), let value = pair.next() else { continue }
        parts[kind.content] = String(decoding: value.content, as: UTF8.self)
      }
    }
    let known: [[UInt8]] = [[0x55, 0x04, 0x03], [0x55, 0x04, 0x0A], [0x55, 0x04, 0x0B]]
    let found = known.compactMap { parts[$0] }.prefix(2)
    return found.isEmpty ? "(no name)" : shown(found.joined(separator: ", "))
  }

  private static func date(_ time: time_t) -> String {
    var time = time
    var parts = tm()
    guard gmtime_r(&time, &parts) != nil else { return "an unknown date" }
    func two(_ number: CInt) -> String { number < 10 ? "0\(number)" : "\(number)" }
    return "\(parts.tm_year + 1900)-\(two(parts.tm_mon + 1))-\(two(parts.tm_mday))"
  }
}
