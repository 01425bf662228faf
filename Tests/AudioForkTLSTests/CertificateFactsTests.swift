// SPDX-License-Identifier: Apache-2.0
import AudioForkTLS
import AudioForkTestKit
import NIOSSL
import Testing

@Suite("What a certificate says")
struct CertificateFactsTests {
  private func facts(_ bytes: [UInt8]) -> CertificateFacts? {
    CertificateFacts(derEncoded: bytes, validFrom: 0, validUntil: 0)
  }

  private func encoded(_ identity: TestCertificates.Identity) throws -> [UInt8] {
    try #require(try NIOSSLCertificate.fromPEMFile(identity.certificate).first).toDERBytes()
  }

  @Test("Names, addresses and the key's length are those that openssl wrote")
  func names() throws {
    let certificates = try TestCertificates()
    let names = "DNS:a.example,DNS:*.b.example,IP:192.0.2.7,IP:2001:db8::7,URI:sip:x,email:y@a.example"
    let found = try #require(facts(try encoded(try certificates.issued("several", names: names, key: .rsa2047))))
    #expect(found.dnsNames == ["a.example", "*.b.example"])
    #expect(found.addresses == ["192.0.2.7", "2001:db8::7"])
    #expect(found.rsaBits == 2047 && found.isWeak)
    #expect(found.subjectName == "several")
    #expect(found.issuerName == "Loopback Authority, AudioFork Test")
    #expect(found.isFor(host: "A.example.") && found.isFor(host: "x.b.example"))
    #expect(!found.isFor(host: "b.example") && !found.isFor(host: "x.y.b.example") && !found.isFor(host: "several"))
    let authority = try #require(facts(try encoded(certificates.authority)))
    #expect(authority.rsaBits == nil && !authority.isWeak && authority.dnsNames.isEmpty)
  }

  @Test("A certificate that is cut anywhere, or has any byte changed, gives names or nothing, and no trap")
  func damaged() throws {
    let certificates = try TestCertificates()
    let whole = try encoded(try certificates.issued("whole", key: .rsa2048))
    for count in 0..<whole.count { #expect(facts(Array(whole.prefix(count))) == nil) }
    var random = SeededRandom(seed: 5)
    for index in whole.indices {
      for value in [0x00, 0x7F, 0x80, 0x81, 0x84, 0xFF, UInt8.random(in: .min ... .max, using: &random)] {
        var damaged = whole
        damaged[index] = value
        let found = facts(damaged)
        // A damaged length never makes names out of what lies outside of the certificate.
        #expect((found?.dnsNames.count ?? 0) <= 1)
      }
    }
  }

  @Test("Every authority in this machine's store can be read")
  func store() throws {
    let roots = (try? NIOSSLCertificate.fromPEMFile("/etc/ssl/certs/ca-certificates.crt")) ?? []
    for root in roots {
      let found = try #require(facts(try root.toDERBytes()))
      #expect(found.subjectName == found.issuerName)
    }
  }
}

@Suite("Elements of DER")
struct DERReaderTests {
  private func elements(_ bytes: [UInt8]) -> [DERReader.Element] {
    var reader = DERReader(bytes)
    var found: [DERReader.Element] = []
    while let element = reader.next() { found.append(element) }
    return found
  }

  @Test("Short and long lengths, one element behind the other")
  func lengths() {
    #expect(elements([]).isEmpty)
    #expect(elements([0x05, 0, 0x02, 1, 7]).map(\.tag) == [0x05, 0x02])
    for count in [0, 1, 127, 128, 255, 256, 65_535, 65_536] {
      let length: [UInt8] =
        count < 128
        ? [UInt8(count)]
        : count < 256
          ? [0x81, UInt8(count)]
          : count < 65_536 ? [0x82, UInt8(count >> 8), UInt8(count & 255)] : [0x83, UInt8(count >> 16), 0, 0]
      let content = [UInt8](repeating: 9, count: count)
      let found = elements([0x30] + length + content + [0x05, 0])
      #expect(found.map(\.content) == [content, []], "\(count)")
    }
  }

  @Test(
    "What is not well formed ends the walk",
    arguments: [
      [0x30], [0x30, 1], [0x30, 0x80], [0x30, 0x80, 0, 0], [0x30, 0x81], [0x30, 0x81, 0x80],
      [0x30, 0x85, 0, 0, 0, 0, 0], [0x30, 0xFF] + [UInt8](repeating: 0xFF, count: 127),
      [0x30, 0x84, 0xFF, 0xFF, 0xFF, 0xFF, 0],
      // Longer than they need be.
      [0x30, 0x81, 1, 0], [0x30, 0x81, 0x7F] + [UInt8](repeating: 0, count: 127),
      [0x30, 0x82, 0, 0x80] + [UInt8](repeating: 0, count: 128),
      // A tag of several bytes.
      [0x1F, 0x01, 0], [0xBF, 0x81, 0x01, 0],
    ] as [[UInt8]])
  func malformed(bytes: [UInt8]) {
    #expect(elements(bytes).isEmpty)
    #expect(elements([0x05, 0] + bytes).count == 1)
  }
}
