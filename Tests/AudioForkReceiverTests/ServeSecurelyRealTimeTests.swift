// SPDX-License-Identifier: Apache-2.0
import Glibc
import Testing

@Suite("audiofork serve with TLS", .serialized)
struct ServeSecurelyRealTimeTests {
  /// Runs a shell command in a folder; gives what it prints.
  private func shell(_ command: String, in folder: TemporaryFolder) throws -> String {
    guard let pipe = popen("cd '\(folder.path)' && { \(command) ; } 2>&1", "r") else {
      throw SystemCallFailed(what: "popen")
    }
    defer { pclose(pipe) }
    var text: [UInt8] = []
    var block = [UInt8](repeating: 0, count: 4096)
    while case let count = fread(&block, 1, block.count, pipe), count > 0 { text += block.prefix(count) }
    return String(decoding: text, as: UTF8.self)
  }

  /// The document's command that makes a test certificate: `certificate.pem` and `key.pem` in the folder.
  private func makeCertificate(in folder: TemporaryFolder) throws {
    let root = #filePath.split(separator: "/").dropLast(3).map { "/" + $0 }.joined()
    let document = String(decoding: contents(root + "/docs/receiving/serve.md"), as: UTF8.self)
    let lines = document.split(separator: "\n", omittingEmptySubsequences: false)
    let start = try #require(lines.firstIndex { $0.hasPrefix("    openssl ") })
    let count = lines[start...].prefix { $0.hasSuffix("\\") }.count + 1
    _ = try shell(lines[start..<(start + count)].joined(separator: "\n"), in: folder)
    #expect(folder.names == ["certificate.pem", "key.pem"])
  }

  /// What `openssl s_client` sees of a server: its verdict about the certificate and the answer to a request.
  private func ask(port: Int, _ options: String, in folder: TemporaryFolder) throws -> String {
    try shell(
      "printf 'GET / HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n' | timeout 20 openssl s_client "
        + "-connect 127.0.0.1:\(port) -servername localhost -CAfile certificate.pem "
        + "-verify_hostname localhost -ign_eof \(options)", in: folder)
  }

  @Test("A certificate made as the document says makes it speak TLS 1.2 and 1.3, and nothing older")
  func certificate() throws {
    let folder = try TemporaryFolder()
    try makeCertificate(in: folder)
    let serve = try ServeProcess([
      "serve", "--listen", "127.0.0.1:0", "--out", folder.path + "/out", "--certificate",
      folder.path + "/certificate.pem",
      "--key", folder.path + "/key.pem",
    ])
    let port = try #require(serve.port())
    #expect(serve.output.hasPrefix("listening on wss://127.0.0.1:\(port)/ - "))
    for version in ["-tls1_2", "-tls1_3"] {
      let said = try ask(port: port, version, in: folder)
      #expect(said.contains("Verify return code: 0 (ok)"), "\(said)")
      #expect(said.contains("HTTP/1.1 426 Upgrade Required"), "\(said)")
    }
    let old = try ask(port: port, "-tls1_1 -cipher ALL:@SECLEVEL=0", in: folder)
    #expect(!old.contains("HTTP/1.1"), "\(old)")
    serve.signal(SIGTERM)
    #expect(serve.exitStatus() == 0)
  }

  @Test("With --client-ca a client without such a certificate gets no answer, one with it does")
  func clientCertificate() throws {
    let folder = try TemporaryFolder()
    try makeCertificate(in: folder)
    let serve = try ServeProcess([
      "serve", "--listen", "127.0.0.1:0", "--out", folder.path + "/out", "--certificate",
      folder.path + "/certificate.pem",
      "--key", folder.path + "/key.pem", "--client-ca", folder.path + "/certificate.pem",
    ])
    let port = try #require(serve.port())
    let without = try ask(port: port, "", in: folder)
    #expect(!without.contains("HTTP/1.1"), "\(without)")
    let with = try ask(port: port, "-cert certificate.pem -key key.pem", in: folder)
    #expect(with.contains("HTTP/1.1 426 Upgrade Required"), "\(with)")
  }

  @Test("A fork's file belongs to the client certificate that began it, and to its renewal")
  func certificatesApart() throws {
    let folder = try TemporaryFolder()
    try makeCertificate(in: folder)
    // One subject, as where SPIFFE names workloads by URI; a renewal has the same names in any order.
    let names = [
      ("one", "DNS:one,URI:spiffe://example.org/one"), ("two", "DNS:one,URI:spiffe://example.org/two"),
      ("three", "DNS:one,email:one@example.org"), ("renewed", "URI:spiffe://example.org/one,DNS:one"),
    ]
    for (name, alternatives) in names {
      _ = try shell(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3 -subj /CN=one "
          + "-addext subjectAltName=\(alternatives) -keyout \(name).key -out \(name).crt", in: folder)
    }
    _ = try shell("cat one.crt two.crt three.crt renewed.crt > clients.pem", in: folder)
    let out = folder.path + "/out"
    let serve = try ServeProcess([
      "serve", "--listen", "127.0.0.1:0", "--out", out, "--certificate", folder.path + "/certificate.pem",
      "--key", folder.path + "/key.pem", "--client-ca", folder.path + "/clients.pem",
    ])
    let port = try #require(serve.port())
    let start = Array(startMessage().utf8)
    let upgrade =
      "GET /calls HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
      + "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
      + "Sec-WebSocket-Protocol: audiofork.v1\r\n\r\n"
    try write(
      Array(upgrade.utf8) + [0x81, 0xFE, UInt8(start.count >> 8), UInt8(start.count & 255), 0, 0, 0, 0] + start,
      to: folder.path + "/request")
    try write([0x82, 0x8A, 0, 0, 0, 0] + [UInt8](repeating: 0, count: 8) + [1, 2], to: folder.path + "/audio")
    func said(_ name: String) throws -> String {
      try shell(
        "{ cat request; sleep 0.4; cat audio; sleep 0.4; } | timeout 20 openssl s_client -connect 127.0.0.1:\(port) "
          + "-quiet -no_ign_eof -CAfile certificate.pem -cert \(name).crt -key \(name).key", in: folder)
    }
    #expect(try said("one").contains(#"{"type":"resume","position":0}"#))
    #expect(try said("two").contains(#"{"type":"resume","position":0}"#))
    #expect(try said("three").contains(#"{"type":"resume","position":0}"#))
    #expect(try said("renewed").contains(#"{"type":"resume","position":1}"#))
    #expect(TemporaryFolder.names(out).count == 3)
  }

  @Test("Files that are missing, are none, or do not belong together are refused with a message")
  func refused() throws {
    let folder = try TemporaryFolder()
    try makeCertificate(in: folder)
    let (certificate, key) = (folder.path + "/certificate.pem", folder.path + "/key.pem")
    _ = try shell("openssl genpkey -algorithm RSA -out other.pem", in: folder)
    let cases: [(arguments: [String], status: Int, message: String)] = [
      (["--certificate", certificate], 64, "Error: --certificate and --key belong together"),
      (["--client-ca", certificate], 64, "Error: --client-ca needs --certificate and --key"),
      (
        ["--certificate", "/nowhere.pem", "--key", key], 1,
        "audiofork serve: tls: --certificate /nowhere.pem cannot be read: No such file or directory; correct the path"
      ),
      (
        ["--certificate", key, "--key", key], 1,
        "audiofork serve: tls: --certificate \(key) holds no certificate in PEM form"
      ),
      (
        ["--certificate", certificate, "--key", certificate], 1,
        "audiofork serve: tls: --key \(certificate) holds no private key in PEM form"
      ),
      (
        ["--certificate", certificate, "--key", folder.path + "/other.pem"], 1,
        "audiofork serve: tls: --key \(folder.path)/other.pem is not the key of the certificate in \(certificate)"
      ),
    ]
    for (arguments, status, message) in cases {
      let serve = try ServeProcess(["serve", "--listen", "127.0.0.1:0", "--out", folder.path + "/out"] + arguments)
      #expect(serve.exitStatus() == status)
      #expect(serve.errors.hasPrefix(message), "\(serve.errors)")
      #expect(serve.output == "")
    }
  }
}
