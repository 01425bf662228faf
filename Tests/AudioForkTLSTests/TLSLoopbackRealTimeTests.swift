// SPDX-License-Identifier: Apache-2.0
import AudioForkMedia
import AudioForkEngine
import AudioForkEngineTestKit
import AudioForkLink
import AudioForkTLS
import AudioForkTestKit
import AudioForkWireTestKit
import NIOConcurrencyHelpers
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import Testing

/// wss:// over real sockets: certificates, algorithms and versions.
@Suite("TLS over loopback", .serialized)
struct TLSLoopbackRealTimeTests {
  private let scene: TLSScene

  init() throws { scene = try TLSScene() }

  @Test("A server whose certificate an authority in ca_file has issued gets the call, by name and by address")
  func verified() async throws {
    let names = NIOLockedValueBox<[String?]>([])
    let good = try scene.certificates.issued("good")
    let tls = try scene.unusual(good) { configuration in
      configuration.sslContextCallback = { values, promise in
        names.withLockedValue { $0.append(values.serverHostname) }
        promise.succeed(.noChanges)
      }
    }
    let server = try await TestServer.start(security: tls)
    for url in [server.secureURL, "wss://LocalHost:\(server.port)/", "wss://127.0.0.1:\(server.port)/"] {
      let end = try await scene.deliver(to: url, settings: [scene.trusting])
      #expect(end.reason == "done: all audio was delivered")
      #expect(end.lines == [])
      #expect(server.connections.last?.carries(end.expected) == true)
      #expect(server.connections.last?.closeCode == 1000)
    }
    #expect(server.connections.count == 3)
    #expect(server.connections.first?.head?.headers["Host"] == ["localhost:\(server.port)"])
    // The name goes ahead of the handshake (SNI), an address must not.
    #expect(names.withLockedValue { $0 } == ["localhost", "LocalHost", nil])
    await server.stop()
  }

  @Test("A certificate that is not to be trusted is refused before a byte of the request is sent, with the reason")
  func refused() async throws {
    let weak = try scene.certificates.authority("weak", key: .rsa1024)
    let cases:
      [(identity: TestCertificates.Identity, host: String, settings: [String], reason: String, remedy: String)] = [
        (
          try scene.certificates.selfSigned("alone"), "localhost", [scene.trusting],
          "unknown issuer: the server's certificate comes from 'alone alone', which is self-signed", "with ca_file"
        ),
        (
          try scene.certificates.issued("stranger"), "localhost", [],
          """
          unknown issuer: 'stranger' was issued by 'Loopback Authority, AudioFork Test', which is not in the system's \
          store
          """,
          "with ca_file"
        ),
        (
          try scene.certificates.issued("old", from: "20200101000000Z", until: "20210203000000Z"), "localhost",
          [scene.trusting],
          "the server's certificate 'old' expired on 2021-02-03", "the server needs a valid one"
        ),
        (
          try scene.certificates.issued("young", from: "20480101000000Z"), "localhost", [scene.trusting],
          "the server's certificate 'young' is not valid before 2048-01-01", "clock"
        ),
        (
          try scene.certificates.issued("other", names: "DNS:example.org,DNS:*.example.net"), "localhost",
          [scene.trusting],
          "wrong host name: the certificate is for example.org, *.example.net, not for 'localhost'", "in the URL"
        ),
        (
          try scene.certificates.issued("elsewhere", names: "DNS:localhost,IP:127.0.0.2"), "127.0.0.1",
          [scene.trusting],
          "wrong host name: the certificate is for localhost, 127.0.0.2, not for '127.0.0.1'", "in the URL"
        ),
        // Whoever turns a name to an address of theirs could have a certificate for the address.
        (
          try scene.certificates.issued("address", names: "IP:127.0.0.1"), "localhost", [scene.trusting],
          "wrong host name: the certificate is for 127.0.0.1, not for 'localhost'", "in the URL"
        ),
        (
          try scene.certificates.issued("nameless", names: "email:nobody@example.org"), "localhost", [scene.trusting],
          """
          wrong host name: the certificate is for 'nameless', without any host name in subjectAltName, not for \
          'localhost'
          """,
          "in the URL"
        ),
        // A common name is a name for people (RFC 9525 section 2).
        (
          try scene.certificates.issued("localhost", names: nil), "localhost", [scene.trusting],
          """
          wrong host name: the certificate is for 'localhost', without any host name in subjectAltName, not for \
          'localhost'
          """,
          "in the URL"
        ),
        (
          try scene.certificates.issued("127.0.0.1", names: nil), "127.0.0.1", [scene.trusting],
          """
          wrong host name: the certificate is for '127.0.0.1', without any host name in subjectAltName, not for \
          '127.0.0.1'
          """,
          "in the URL"
        ),
        (
          try scene.certificates.issued("short", key: .rsa1024), "localhost", [scene.trusting],
          "the RSA key of 'short' in the server's chain has 1024 bits, which is too short", "2048 bits or more"
        ),
        (
          try scene.certificates.issued("odd", key: .rsa2047), "localhost", [scene.trusting],
          "the RSA key of 'odd' in the server's chain has 2047 bits", "2048 bits or more"
        ),
        (
          try scene.certificates.issued("cheap", by: weak), "localhost", ["ca_file=\(weak.certificate)"],
          "the RSA key of 'weak' in the server's chain has 1024 bits", "2048 bits or more"
        ),
      ]
    for (identity, host, settings, reason, remedy) in cases {
      let server = try await TestServer.start(security: try scene.security(identity))
      let end = try await scene.deliver(to: "wss://\(host):\(server.port)/", settings: settings)
      #expect(end.reason.hasPrefix("unreachable: tls: \(reason)"), "\(end.reason)")
      #expect(end.reason.contains(remedy), "\(end.reason)")
      #expect(!server.connections.isEmpty)
      #expect(server.connections.allSatisfy { $0.head == nil && $0.audio.isEmpty }, "\(reason)")
      await server.stop()
    }
  }

  @Test(
    "All keys and curves that BoringSSL knows do, with TLS 1.2 and 1.3",
    arguments: [TestCertificates.Key.p384, .p521, .ed25519, .rsa2048], [TLSVersion.tlsv12, .tlsv13])
  func algorithms(key: TestCertificates.Key, version: TLSVersion) async throws {
    let server = try await TestServer.start(
      security: try scene.unusual(try scene.certificates.issued("good", key: key)) {
        $0.minimumTLSVersion = version
        $0.maximumTLSVersion = version
        if key == .p521 { $0.curves = [.secp521r1] }
      })
    let end = try await scene.deliver(to: server.secureURL, settings: [scene.trusting])
    #expect(end.reason == "done: all audio was delivered")
    #expect(server.connections.last?.carries(end.expected) == true)
    await server.stop()
  }

  @Test(
    "An authority and our own certificate may have such keys too", arguments: [TestCertificates.Key.p521, .ed25519])
  func ownAlgorithms(key: TestCertificates.Key) async throws {
    let alone = try scene.certificates.selfSigned("alone", key: key)
    let client = try scene.certificates.issued("client", key: key)
    let server = try await TestServer.start(
      security: try scene.unusual(alone) {
        $0.certificateVerification = .noHostnameVerification
        $0.trustRoots = .file(scene.certificates.authority.certificate)
        $0.verifySignatureAlgorithms = [.ed25519, .ecdsaSecp521R1Sha512]
      })
    let settings = ["ca_file=\(alone.certificate)", "cert_file=\(client.certificate)", "key_file=\(client.key)"]
    let end = try await scene.deliver(to: server.secureURL, settings: settings)
    #expect(end.reason == "done: all audio was delivered")
    await server.stop()
  }

  @Test("A server with which we have no algorithm in common refuses, and the reason names the list of ours")
  func nothingInCommon() async throws {
    let server = try await TestServer.start(
      security: try scene.unusual(try scene.certificates.issued("good")) {
        $0.signingSignatureAlgorithms = [.ecdsaSha1]
      })
    let end = try await scene.deliver(to: server.secureURL, settings: [scene.trusting])
    #expect(end.reason.contains("no version, cipher, curve or signature algorithm in common with us"), "\(end.reason)")
    #expect(end.reason.contains("docs/sending/tls.md"), "\(end.reason)")
    await server.stop()
  }

  @Test("An untrusted server is tried r times, which is two lines in the log")
  func retries() async throws {
    let server = try await TestServer.start(security: try scene.security(try scene.certificates.selfSigned("alone")))
    let end = try await scene.deliver(
      to: "wss://127.0.0.1:\(server.port)/", options: "D(both)r(2)R(1)", settings: [scene.trusting])
    #expect(end.reason.withoutTime.hasPrefix("unreachable: 2 attempts failed, the last one: tls: unknown issuer"))
    #expect(server.connections.count == 3)
    #expect(end.lines.count == 2, "\(end.lines)")
    await server.stop()
  }

  @Test("T(insecure) and verify = no deliver to anybody, and say so once in a fork's life")
  func insecure() async throws {
    let alone = try scene.certificates.selfSigned("alone", names: "DNS:example.org")
    for (options, settings) in [("D(both)T(insecure)", []), ("D(both)", ["verify=no"])] {
      let server = try await TestServer.start(security: try scene.security(alone))
      let directory = try ScratchFolder()
      let engine = try await TestEngine(directory, tls: TLSClientProvider())
      let call = try TestCall(in: directory, url: server.secureURL, options: options, settings: settings)
      engine.tell(.fork(id: call.id, isClosed: false))
      try await call.speak(untilMilliseconds: 600)
      server.dropConnections()
      try await call.speak(untilMilliseconds: 1500)
      call.hangUp()
      #expect(try await engine.end().reason == "done: all audio was delivered")
      #expect(server.connections.count == 2)
      let reception = Reception(server.connections, expected: call.expected)
      #expect(reception.isExact && reception.missing == 0)
      let notices = engine.lines(.notice).filter { $0.contains("certificate is not verified") }
      #expect(notices.count == 1, "\(engine.lines(.notice))")
      await server.stop()
    }
  }

  @Test(
    "A server that wants a client certificate gets ours, and its refusal names the setting",
    arguments: [TLSVersion.tlsv12, .tlsv13])
  func mutual(version: TLSVersion) async throws {
    let good = try scene.certificates.issued("good")
    let client = try scene.certificates.issued("client", names: "DNS:asterisk.example.org")
    let stranger = try scene.certificates.selfSigned("stranger")
    let roots = try NIOSSLCertificate.fromPEMFile(scene.certificates.authority.certificate)
    let tls =
      if version == .tlsv13 {
        try scene.security(good, clientAuthorities: scene.certificates.authority.certificate)
      } else {
        try scene.unusual(good) { configuration in
          configuration.maximumTLSVersion = version
          configuration.trustRoots = .certificates(roots)
          configuration.certificateVerification = .noHostnameVerification
        }
      }
    let server = try await TestServer.start(security: tls)
    let without = try await scene.deliver(to: server.secureURL, settings: [scene.trusting])
    #expect(without.reason.contains("tls: ") && without.reason.contains("client certificate"), "\(without.reason)")
    #expect(without.reason.contains("cert_file and key_file"), "\(without.reason)")
    let wrong = try await scene.deliver(
      to: server.secureURL,
      settings: [scene.trusting, "cert_file=\(stranger.certificate)", "key_file=\(stranger.key)"])
    #expect(wrong.reason.contains("tls: the server re"), "\(wrong.reason)")
    #expect(wrong.reason.contains("cert_file \(stranger.certificate)"), "\(wrong.reason)")
    #expect(server.connections.allSatisfy { $0.audio.isEmpty })
    let right = try await scene.deliver(
      to: server.secureURL, settings: [scene.trusting, "cert_file=\(client.certificate)", "key_file=\(client.key)"])
    #expect(right.reason == "done: all audio was delivered")
    #expect(server.connections.last?.carries(right.expected) == true)
    await server.stop()
  }

  @Test("A server that is older than TLS 1.2 is refused, and one of TLS 1.2 is not")
  func versions() async throws {
    let good = try scene.certificates.issued("good")
    let old = try await TestServer.start(
      security: try scene.unusual(good) {
        $0.minimumTLSVersion = .tlsv1
        $0.maximumTLSVersion = .tlsv11
      })
    let end = try await scene.deliver(to: old.secureURL, settings: [scene.trusting])
    #expect(end.reason.contains("tls: the server speaks neither TLS 1.2 nor TLS 1.3"), "\(end.reason)")
    await old.stop()
    let server = try await TestServer.start(security: try scene.unusual(good) { $0.maximumTLSVersion = .tlsv12 })
    #expect(
      try await scene.deliver(to: server.secureURL, settings: [scene.trusting]).reason
        == "done: all audio was delivered")
    await server.stop()
  }

  @Test("Files that cannot be used are named, with what is wrong with them and what to do")
  func badFiles() async throws {
    let good = try scene.certificates.issued("good")
    let other = try scene.certificates.issued("other")
    let garbage = try scene.certificates.write("nothing to see here\n", "garbage.pem")
    let folder = scene.certificates.folder.path
    let server = try await TestServer.start(security: try scene.security(good))
    let pair = { (certificate: String, key: String) in [scene.trusting, "cert_file=\(certificate)", "key_file=\(key)"] }
    let cases: [(settings: [String], reason: String)] = [
      (
        ["ca_file=\(folder)/none.pem"],
        "tls: ca_file \(folder)/none.pem cannot be read: No such file or directory; correct"
      ),
      (["ca_file=\(garbage)"], "tls: ca_file \(garbage) holds no certificate in PEM form"),
      (["ca_file=\(folder)"], "tls: ca_file \(folder) is not a file"),
      (["ca_file=\(good.key)"], "tls: ca_file \(good.key) holds no certificate in PEM form"),
      (pair("\(folder)/none.pem", good.key), "tls: cert_file \(folder)/none.pem cannot be read: No such file"),
      (pair(garbage, good.key), "tls: cert_file \(garbage) holds no certificate"),
      (pair(good.certificate, "\(folder)/none.key"), "tls: key_file \(folder)/none.key cannot be read: No such file"),
      (pair(good.certificate, garbage), "tls: key_file \(garbage) holds no private key in PEM form"),
      (
        pair(good.certificate, other.key),
        "tls: key_file \(other.key) is not the key of the certificate in cert_file \(good.certificate); name files"
      ),
    ]
    for (settings, reason) in cases {
      let end = try await scene.deliver(to: server.secureURL, settings: settings)
      #expect(end.reason.hasPrefix("unreachable: \(reason)"), "\(end.reason)")
    }
    #expect(server.connections.isEmpty)
    await server.stop()
  }

  @Test("Files are read once for all forks, and again when they have changed")
  func cache() async throws {
    let good = try scene.certificates.issued("good")
    let server = try await TestServer.start(security: try scene.security(good))
    let authority = scene.certificates.text(of: scene.certificates.authority.certificate)
    let stranger = try scene.certificates.selfSigned("stranger")
    let file = try scene.certificates.write(scene.certificates.text(of: stranger.certificate), "trusted.pem")
    let provider = TLSClientProvider()
    let directory = try ScratchFolder()
    let engine = try await TestEngine(directory, tls: provider)
    let call = try TestCall(
      in: directory, url: server.secureURL, options: "D(both)R(1)", settings: ["ca_file=\(file)"],
      age: 1000 * millisecond)
    call.speak(frames: 50)
    engine.tell(.fork(id: call.id, isClosed: false))
    try await eventually("the stranger is refused") { engine.lines().contains { $0.contains("unknown issuer") } }
    #expect(provider.readCount == 1)
    try scene.certificates.write(authority, "trusted.pem")
    try await eventually("the renewed file is used") { server.connections.last?.head != nil }
    #expect(provider.readCount == 2)
    call.hangUp()
    #expect(try await engine.end().reason == "done: all audio was delivered")
    for number in 1...10 {
      let next = try TestCall(
        in: directory, id: "next-\(number)", url: server.secureURL, settings: ["ca_file=\(file)"],
        age: 200 * millisecond)
      next.speak(frames: 10)
      next.hangUp()
      engine.tell(.fork(id: next.id, isClosed: false))
    }
    for number in 1...10 { #expect(try await engine.end(of: "next-\(number)").reason.hasPrefix("done:")) }
    #expect(provider.readCount == 2)
    await server.stop()
  }

  @Test("An engine without TLS says so and tries nothing")
  func withoutTLS() async throws {
    let server = try await TestServer.start()
    let end = try await scene.deliver(to: server.secureURL, settings: [scene.trusting], provider: nil)
    #expect(end.reason == "tls: this engine was built without TLS")
    #expect(server.connections.isEmpty)
    await server.stop()
  }
}
