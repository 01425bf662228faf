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

/// wss:// over real sockets, with certificates that `openssl` has made.
@Suite("TLS over loopback", .serialized)
struct TLSLoopbackRealTimeTests {
  private let certificates: TestCertificates

  init() throws { certificates = try TestCertificates() }

  private typealias Security = @Sendable () -> any ChannelHandler

  private func security(_ identity: TestCertificates.Identity, clientAuthorities: String? = nil) throws -> Security {
    let server = try TLSServer(
      certificate: identity.certificate, key: identity.key, clientAuthorities: clientAuthorities)
    return { server.makeHandler() }
  }

  /// A server's TLS that the program itself would not offer.
  private func unusual(
    _ identity: TestCertificates.Identity, _ change: (inout TLSConfiguration) -> Void
  ) throws -> Security {
    var configuration = TLSConfiguration.makeServerConfiguration(
      certificateChain: try NIOSSLCertificate.fromPEMFile(identity.certificate).map { .certificate($0) },
      privateKey: .privateKey(
        try NIOSSLPrivateKey(bytes: Array(certificates.text(of: identity.key).utf8), format: .pem)))
    change(&configuration)
    let context = try NIOSSLContext(configuration: configuration)
    return { NIOSSLServerHandler(context: context) }
  }

  private var trusting: String { "ca_file=\(certificates.authority.certificate)" }

  /// Sends a call of half a second that is over already; gives the fork's end and the engine's lines.
  private func deliver(
    to url: String, options: String = "D(both)r(0)R(3)", settings: [String], provider: TLSClientProvider? = .init()
  ) async throws -> (reason: String, lines: [String], expected: [Int16]) {
    let directory = try ScratchFolder()
    let engine = try await TestEngine(directory, tls: provider)
    let call = try TestCall(
      in: directory, url: url, options: options, settings: settings, drainSeconds: 10, age: 500 * millisecond)
    call.speak(frames: 25)
    call.hangUp()
    engine.tell(.fork(id: call.id, isClosed: true))
    let end = try await engine.end()
    #expect(directory.names == [])
    return (end.reason, engine.lines(.notice), call.expected)
  }

  @Test("A server whose certificate an authority in ca_file has issued gets the call, by name and by address")
  func verified() async throws {
    let names = NIOLockedValueBox<[String?]>([])
    let good = try certificates.issued("good")
    let tls = try unusual(good) { configuration in
      configuration.sslContextCallback = { values, promise in
        names.withLockedValue { $0.append(values.serverHostname) }
        promise.succeed(.noChanges)
      }
    }
    let server = try await TestServer.start(security: tls)
    for url in [server.secureURL, "wss://LocalHost:\(server.port)/", "wss://127.0.0.1:\(server.port)/"] {
      let end = try await deliver(to: url, settings: [trusting])
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
    let weak = try certificates.authority("weak", key: .rsa1024)
    let cases:
      [(identity: TestCertificates.Identity, host: String, settings: [String], reason: String, remedy: String)] = [
        (
          try certificates.selfSigned("alone"), "localhost", [trusting],
          "unknown issuer: the server's certificate comes from 'alone alone', which is self-signed", "with ca_file"
        ),
        (
          try certificates.issued("stranger"), "localhost", [],
          """
          unknown issuer: 'stranger' was issued by 'Loopback Authority, AudioFork Test', which is not in the system's \
          store
          """,
          "with ca_file"
        ),
        (
          try certificates.issued("old", from: "20200101000000Z", until: "20210203000000Z"), "localhost", [trusting],
          "the server's certificate 'old' expired on 2021-02-03", "the server needs a valid one"
        ),
        (
          try certificates.issued("young", from: "20480101000000Z"), "localhost", [trusting],
          "the server's certificate 'young' is not valid before 2048-01-01", "clock"
        ),
        (
          try certificates.issued("other", names: "DNS:example.org,DNS:*.example.net"), "localhost", [trusting],
          "wrong host name: the certificate is for example.org, *.example.net, not for 'localhost'", "in the URL"
        ),
        (
          try certificates.issued("elsewhere", names: "DNS:localhost,IP:127.0.0.2"), "127.0.0.1", [trusting],
          "wrong host name: the certificate is for localhost, 127.0.0.2, not for '127.0.0.1'", "in the URL"
        ),
        // Whoever turns a name to an address of theirs could have a certificate for the address.
        (
          try certificates.issued("address", names: "IP:127.0.0.1"), "localhost", [trusting],
          "wrong host name: the certificate is for 127.0.0.1, not for 'localhost'", "in the URL"
        ),
        (
          try certificates.issued("nameless", names: "email:nobody@example.org"), "localhost", [trusting],
          """
          wrong host name: the certificate is for 'nameless', without any host name in subjectAltName, not for \
          'localhost'
          """,
          "in the URL"
        ),
        // A common name is a name for people (RFC 9525 section 2).
        (
          try certificates.issued("localhost", names: nil), "localhost", [trusting],
          """
          wrong host name: the certificate is for 'localhost', without any host name in subjectAltName, not for \
          'localhost'
          """,
          "in the URL"
        ),
        (
          try certificates.issued("127.0.0.1", names: nil), "127.0.0.1", [trusting],
          """
          wrong host name: the certificate is for '127.0.0.1', without any host name in subjectAltName, not for \
          '127.0.0.1'
          """,
          "in the URL"
        ),
        (
          try certificates.issued("short", key: .rsa1024), "localhost", [trusting],
          "the RSA key of 'short' in the server's chain has 1024 bits, which is too short", "2048 bits or more"
        ),
        (
          try certificates.issued("odd", key: .rsa2047), "localhost", [trusting],
          "the RSA key of 'odd' in the server's chain has 2047 bits", "2048 bits or more"
        ),
        (
          try certificates.issued("cheap", by: weak), "localhost", ["ca_file=\(weak.certificate)"],
          "the RSA key of 'weak' in the server's chain has 1024 bits", "2048 bits or more"
        ),
      ]
    for (identity, host, settings, reason, remedy) in cases {
      let server = try await TestServer.start(security: try security(identity))
      let end = try await deliver(to: "wss://\(host):\(server.port)/", settings: settings)
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
      security: try unusual(try certificates.issued("good", key: key)) {
        $0.minimumTLSVersion = version
        $0.maximumTLSVersion = version
        if key == .p521 { $0.curves = [.secp521r1] }
      })
    let end = try await deliver(to: server.secureURL, settings: [trusting])
    #expect(end.reason == "done: all audio was delivered")
    #expect(server.connections.last?.carries(end.expected) == true)
    await server.stop()
  }

  @Test(
    "An authority and our own certificate may have such keys too", arguments: [TestCertificates.Key.p521, .ed25519])
  func ownAlgorithms(key: TestCertificates.Key) async throws {
    let alone = try certificates.selfSigned("alone", key: key)
    let client = try certificates.issued("client", key: key)
    let server = try await TestServer.start(
      security: try unusual(alone) {
        $0.certificateVerification = .noHostnameVerification
        $0.trustRoots = .file(certificates.authority.certificate)
        $0.verifySignatureAlgorithms = [.ed25519, .ecdsaSecp521R1Sha512]
      })
    let settings = ["ca_file=\(alone.certificate)", "cert_file=\(client.certificate)", "key_file=\(client.key)"]
    let end = try await deliver(to: server.secureURL, settings: settings)
    #expect(end.reason == "done: all audio was delivered")
    await server.stop()
  }

  @Test("A server with which we have no algorithm in common refuses, and the reason names the list of ours")
  func nothingInCommon() async throws {
    let server = try await TestServer.start(
      security: try unusual(try certificates.issued("good")) { $0.signingSignatureAlgorithms = [.ecdsaSha1] })
    let end = try await deliver(to: server.secureURL, settings: [trusting])
    #expect(end.reason.contains("no version, cipher, curve or signature algorithm in common with us"), "\(end.reason)")
    #expect(end.reason.contains("docs/sending/tls.md"), "\(end.reason)")
    await server.stop()
  }

  @Test("An untrusted server is tried r times, which is two lines in the log")
  func retries() async throws {
    let server = try await TestServer.start(security: try security(try certificates.selfSigned("alone")))
    let end = try await deliver(to: "wss://127.0.0.1:\(server.port)/", options: "D(both)r(2)R(1)", settings: [trusting])
    #expect(end.reason.hasPrefix("unreachable: 2 attempts failed, the last one: tls: unknown issuer"))
    #expect(server.connections.count == 3)
    #expect(end.lines.count == 2, "\(end.lines)")
    await server.stop()
  }

  @Test("T(insecure) and verify = no deliver to anybody, and say so once in a fork's life")
  func insecure() async throws {
    let alone = try certificates.selfSigned("alone", names: "DNS:example.org")
    for (options, settings) in [("D(both)T(insecure)", []), ("D(both)", ["verify=no"])] {
      let server = try await TestServer.start(security: try security(alone))
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
    let good = try certificates.issued("good")
    let client = try certificates.issued("client", names: "DNS:asterisk.example.org")
    let stranger = try certificates.selfSigned("stranger")
    let roots = try NIOSSLCertificate.fromPEMFile(certificates.authority.certificate)
    let tls =
      if version == .tlsv13 {
        try security(good, clientAuthorities: certificates.authority.certificate)
      } else {
        try unusual(good) { configuration in
          configuration.maximumTLSVersion = version
          configuration.trustRoots = .certificates(roots)
          configuration.certificateVerification = .noHostnameVerification
        }
      }
    let server = try await TestServer.start(security: tls)
    let without = try await deliver(to: server.secureURL, settings: [trusting])
    #expect(without.reason.contains("tls: ") && without.reason.contains("client certificate"), "\(without.reason)")
    #expect(without.reason.contains("cert_file and key_file"), "\(without.reason)")
    let wrong = try await deliver(
      to: server.secureURL,
      settings: [trusting, "cert_file=\(stranger.certificate)", "key_file=\(stranger.key)"])
    #expect(wrong.reason.contains("tls: the server re"), "\(wrong.reason)")
    #expect(wrong.reason.contains("cert_file \(stranger.certificate)"), "\(wrong.reason)")
    #expect(server.connections.allSatisfy { $0.audio.isEmpty })
    let right = try await deliver(
      to: server.secureURL, settings: [trusting, "cert_file=\(client.certificate)", "key_file=\(client.key)"])
    #expect(right.reason == "done: all audio was delivered")
    #expect(server.connections.last?.carries(right.expected) == true)
    await server.stop()
  }

  @Test("A server that is older than TLS 1.2 is refused, and one of TLS 1.2 is not")
  func versions() async throws {
    let good = try certificates.issued("good")
    let old = try await TestServer.start(
      security: try unusual(good) {
        $0.minimumTLSVersion = .tlsv1
        $0.maximumTLSVersion = .tlsv11
      })
    let end = try await deliver(to: old.secureURL, settings: [trusting])
    #expect(end.reason.contains("tls: the server speaks neither TLS 1.2 nor TLS 1.3"), "\(end.reason)")
    await old.stop()
    let server = try await TestServer.start(security: try unusual(good) { $0.maximumTLSVersion = .tlsv12 })
    #expect(try await deliver(to: server.secureURL, settings: [trusting]).reason == "done: all audio was delivered")
    await server.stop()
  }

  @Test("Fault 9: a server without TLS behind wss:// is found out in time, whether it answers or not")
  func plainServer() async throws {
    for (behaviour, reason) in [
      (TestServer.Behaviour.silent, "tls: no answer to the handshake within 1 s"),
      (.answer("HTTP/1.1 400 Bad Request\r\n\r\n"), "tls: what the server answered is not TLS"),
      (.record, "tls: "),
    ] {
      let server = try await TestServer.start(behaviour)
      let end = try await deliver(to: server.secureURL, options: "r(1)R(1)", settings: [trusting])
      #expect(end.reason.hasPrefix("unreachable: 1 attempt failed, the last one: \(reason)"), "\(end.reason)")
      #expect(end.reason.contains("ws://"), "\(end.reason)")
      #expect(server.connections.allSatisfy { $0.head == nil })
      await server.stop()
    }
  }

  @Test("Files that cannot be used are named, with what is wrong with them and what to do")
  func badFiles() async throws {
    let good = try certificates.issued("good")
    let other = try certificates.issued("other")
    let garbage = try certificates.write("nothing to see here\n", "garbage.pem")
    let folder = certificates.folder.path
    let server = try await TestServer.start(security: try security(good))
    let pair = { (certificate: String, key: String) in [trusting, "cert_file=\(certificate)", "key_file=\(key)"] }
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
      let end = try await deliver(to: server.secureURL, settings: settings)
      #expect(end.reason.hasPrefix("unreachable: \(reason)"), "\(end.reason)")
    }
    #expect(server.connections.isEmpty)
    await server.stop()
  }

  @Test("Files are read once for all forks, and again when they have changed")
  func cache() async throws {
    let good = try certificates.issued("good")
    let server = try await TestServer.start(security: try security(good))
    let authority = certificates.text(of: certificates.authority.certificate)
    let stranger = try certificates.selfSigned("stranger")
    let file = try certificates.write(certificates.text(of: stranger.certificate), "trusted.pem")
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
    try certificates.write(authority, "trusted.pem")
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
    let end = try await deliver(to: server.secureURL, settings: [trusting], provider: nil)
    #expect(end.reason == "tls: this engine was built without TLS")
    #expect(server.connections.isEmpty)
    await server.stop()
  }

  @Test("Fault 1: twenty drops in a row over TLS lose nothing and repeat little")
  func twentyDrops() async throws {
    let good = try certificates.issued("good")
    let server = try await TestServer.start(security: try security(good))
    let directory = try ScratchFolder()
    let engine = try await TestEngine(directory, tls: TLSClientProvider())
    let call = try TestCall(
      in: directory, url: server.secureURL, options: "D(both)R(1)r(1000)", settings: [trusting], bufferSeconds: 30)
    engine.tell(.fork(id: call.id, isClosed: false))
    let speaking = Task { [call = UncheckedCall(call)] in try await call.value.speak(untilMilliseconds: 60_000) }
    for drop in 1...20 {
      try await eventually("connection \(drop) brings audio") {
        server.connections.count >= drop && server.connections.last?.audio.isEmpty == false
      }
      try await Task.sleep(nanoseconds: UInt64.random(in: 50...400) * 1_000_000)
      server.dropConnections()
      try await eventually("connection \(drop) is over") { server.connections[drop - 1].isOver }
    }
    try await eventually("the last connection") { server.connections.last?.isOver == false }
    speaking.cancel()
    _ = await speaking.result
    call.hangUp()
    let end = try await engine.end(within: 20)
    #expect(end.reason == "done: all audio was delivered")
    #expect(end.counters.reconnects == 20)
    let reception = Reception(server.connections, expected: call.expected)
    #expect(reception.isExact)
    #expect(reception.missing == 0)
    await server.stop()
  }

  @Test("Fault 1: a server over TLS that is killed and comes back misses nothing, and gets little again")
  func killedServer() async throws {
    let good = try certificates.issued("good")
    var server = try await TestServer.start(security: try security(good))
    let directory = try ScratchFolder()
    let engine = try await TestEngine(directory, tls: TLSClientProvider())
    let call = try TestCall(
      in: directory, url: server.secureURL, options: "D(both)R(1)", settings: [trusting], bufferSeconds: 30)
    engine.tell(.fork(id: call.id, isClosed: false))
    for kill in 1...2 {
      try await call.speak(untilMilliseconds: Int64(kill) * 1500)
      server.dropConnections()
      await server.stop()
      try await call.speak(untilMilliseconds: Int64(kill) * 1500 + 300)
      server = try await TestServer.start(port: server.port, keeping: server, security: try security(good))
    }
    try await call.speak(untilMilliseconds: 4000)
    call.hangUp()
    let end = try await engine.end()
    #expect(end.reason == "done: all audio was delivered")
    #expect(end.counters.reconnects == 2)
    #expect(end.counters.lost == 0)
    let reception = Reception(server.connections, expected: call.expected)
    #expect(reception.isExact)
    #expect(reception.missing == 0)
    #expect(reception.repeats.count == 2)
    #expect(reception.repeats.allSatisfy { $0 <= 8000 }, "\(reception.repeats)")
    await server.stop()
  }

  @Test("A server over TLS that stalls and reads on gets everything once and in order")
  func stalls() async throws {
    let directory = try ScratchFolder()
    let identity = try certificates.issued("server")
    let server = try await TestServer.start(.stall, receiveBufferBytes: 4096, security: try security(identity))
    let engine = try await TestEngine(directory, tls: TLSClientProvider())
    // More waits already than fits into the sockets; it is sent when it has shown that this server does not pong.
    let call = try TestCall(
      in: directory, url: server.secureURL, settings: [trusting], drainSeconds: 10, age: 24_000 * millisecond,
      bufferSeconds: 40)
    call.speak(frames: 1200)
    engine.tell(.fork(id: call.id, isClosed: false))
    try await eventually("it is connected") { server.connections.first?.head != nil }
    try await call.speak(untilMilliseconds: 26_500)
    let sent = engine.reports(call.id).last?.counters.position ?? 0
    #expect((40_000..<180_000).contains(sent), "\(sent) sample frames fitted into the sockets")
    server.resume()
    try await call.speak(untilMilliseconds: 27_500)
    call.hangUp()
    let end = try await engine.end()
    #expect(end.reason == "done: all audio was delivered")
    #expect(server.connections.count == 1 && server.connections.first?.carries(call.expected) == true)
    #expect(server.connections.first?.errors == [])
    await server.stop()
  }

  @Test("An end without close_notify is an end like TCP's, and our own ends have one")
  func closeNotify() async throws {
    let good = try certificates.issued("good")
    let rude = try await TestServer.start(.dropOnClose, security: try security(good))
    let end = try await deliver(to: rude.secureURL, settings: [trusting])
    #expect(end.reason == "done: all audio was delivered")
    #expect(end.lines == [])
    #expect(rude.connections.last?.carries(end.expected) == true)
    await rude.stop()

    let server = try await TestServer.start(security: try security(good))
    let directory = try ScratchFolder()
    let engine = try await TestEngine(directory, tls: TLSClientProvider())
    let call = try TestCall(in: directory, url: server.secureURL, settings: [trusting])
    engine.tell(.fork(id: call.id, isClosed: false))
    try await call.speak(untilMilliseconds: 300)
    server.dropConnections()
    try await call.speak(untilMilliseconds: 900)
    // The reason for the break is the one that a connection without TLS gives.
    #expect(engine.lines().first?.contains("connection: closed by the server without a Close frame") == true)
    #expect(try await engine.stop() == .stopped)
    try await eventually("all is over") { server.connections.allSatisfy(\.isOver) }
    #expect(server.connections.count == 2)
    #expect(server.connections.last?.closeCode == 1001)
    #expect(server.connections.last?.errors == [])
    await server.stop()
  }

  @Test("Many forks over TLS at once all arrive whole")
  func manyForks() async throws {
    let server = try await TestServer.start(security: try security(try certificates.issued("good")))
    let directory = try ScratchFolder()
    let engine = try await TestEngine(directory, tls: TLSClientProvider())
    let calls = try (0..<30).map {
      try TestCall(
        in: directory, id: "af-\($0)", url: server.secureURL, settings: [trusting], age: 1000 * millisecond,
        bufferSeconds: 2)
    }
    for call in calls {
      call.speak(frames: 50)
      call.hangUp()
      engine.tell(.fork(id: call.id, isClosed: false))
    }
    for call in calls { #expect(try await engine.end(of: call.id, within: 30).reason.hasPrefix("done:")) }
    let expected = TestCall.expected(frames: 50)
    #expect(server.connections.filter { $0.carries(expected) && $0.closeCode == 1000 }.count == 30)
    #expect(directory.names == [])
    await server.stop()
  }
}

/// A call that another task speaks, while this one only waits for it.
private struct UncheckedCall: @unchecked Sendable {
  let value: TestCall
  init(_ value: TestCall) { self.value = value }
}
