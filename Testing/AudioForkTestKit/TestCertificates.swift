// SPDX-License-Identifier: Apache-2.0
import Glibc

/// Certificates made with the `openssl` command, gone with this value. The first authority is `ca`.
package final class TestCertificates: Sendable {
  /// PEM files.
  package struct Identity: Sendable {
    package let certificate: String
    package let key: String
    package var pair: (certificate: String, key: String) { (certificate, key) }
  }

  /// What `openssl` said when it failed.
  package struct Failure: Error, CustomStringConvertible {
    package let description: String
  }

  /// Names of this machine.
  package static let here = "DNS:localhost,IP:127.0.0.1"

  package let folder: ScratchFolder
  package let authority: Identity

  package init() throws {
    folder = try ScratchFolder()
    authority = Identity(certificate: folder.file("ca.pem"), key: folder.file("ca.key"))
    try write(
      """
      [req]
      distinguished_name = name
      prompt = no
      [name]
      CN = none
      [authority]
      basicConstraints = critical,CA:TRUE
      [ca]
      default_ca = test
      [test]
      database = \(folder.file("index"))
      rand_serial = yes
      new_certs_dir = \(folder.path)
      default_md = sha256
      unique_subject = no
      policy = any
      [any]
      commonName = supplied
      """, "openssl.cnf")
    try write("", "index")
    try selfSigned("ca", subject: "/CN=Loopback Authority/O=AudioFork Test", extensions: ["-extensions", "authority"])
  }

  /// What `openssl req -newkey` takes.
  package enum Key: String, Sendable {
    case p256 = "P-256"
    case p384 = "P-384"
    case p521 = "P-521"
    case ed25519, ed448
    case rsa1024 = "rsa:1024"
    case rsa2047 = "rsa:2047"
    case rsa2048 = "rsa:2048"

    fileprivate var arguments: [String] {
      switch self {
      case .p256, .p384, .p521: ["ec", "-pkeyopt", "ec_paramgen_curve:\(rawValue)"]
      case .ed25519, .ed448, .rsa1024, .rsa2047, .rsa2048: [rawValue]
      }
    }
  }

  /// One that is its own authority.
  package func selfSigned(_ name: String, names: String = here, key: Key = .p256) throws -> Identity {
    try selfSigned(name, subject: "/CN=\(name) alone", key, extensions: ["-addext", "subjectAltName=\(names)"])
    return identity(name)
  }

  /// Another authority.
  package func authority(_ name: String, key: Key) throws -> Identity {
    try selfSigned(name, subject: "/CN=\(name)", key, extensions: ["-extensions", "authority"])
    return identity(name)
  }

  /// Issues a certificate, by default from the test authority, valid `from`…`until` (`YYYYMMDDHHMMSSZ`). `names`:
  /// subjectAltName; nil: only the common name, `name`.
  package func issued(
    _ name: String, names: String? = here, key: Key = .p256, by issuer: Identity? = nil,
    from: String = "20200101000000Z",
    until: String = "20491231235959Z"
  ) throws -> Identity {
    let (identity, authority) = (identity(name), issuer ?? self.authority)
    try write(names.map { "subjectAltName=\($0)\n" } ?? "basicConstraints=CA:FALSE\n", "\(name).ext")
    try openssl(
      [
        "req", "-new", "-config", folder.file("openssl.cnf"), "-subj", "/CN=\(name)", "-out",
        folder.file("\(name).csr"),
      ]
        + newKey(name, key))
    try openssl([
      "ca", "-batch", "-notext", "-config", folder.file("openssl.cnf"), "-cert", authority.certificate, "-keyfile",
      authority.key, "-in", folder.file("\(name).csr"), "-out", identity.certificate, "-extfile",
      folder.file("\(name).ext"), "-startdate", from, "-enddate", until,
    ])
    return identity
  }

  /// Writes a file into the folder; gives its path.
  @discardableResult
  package func write(_ text: String, _ name: String) throws -> String {
    let path = folder.file(name)
    // In place of the old one at once, as a tool that renews certificates does.
    let file = open(path + ".new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    guard file >= 0 else { throw Failure(description: "\(path): errno \(errno)") }
    let bytes = Array(text.utf8)
    let count = Glibc.write(file, bytes, bytes.count)
    close(file)
    guard count == bytes.count, rename(path + ".new", path) == 0 else {
      throw Failure(description: "\(path): errno \(errno)")
    }
    return path
  }

  private func identity(_ name: String) -> Identity {
    Identity(certificate: folder.file("\(name).pem"), key: folder.file("\(name).key"))
  }

  private func newKey(_ name: String, _ key: Key) -> [String] {
    ["-newkey"] + key.arguments + ["-nodes", "-keyout", folder.file("\(name).key")]
  }

  private func selfSigned(_ name: String, subject: String, _ key: Key = .p256, extensions: [String]) throws {
    try openssl(
      [
        "req", "-x509", "-config", folder.file("openssl.cnf"), "-days", "30", "-subj", subject, "-out",
        folder.file("\(name).pem"),
      ] + newKey(name, key) + extensions)
  }

  private func openssl(_ arguments: [String]) throws {
    // env looks the program up.
    let (status, output) = try ChildProcess.runBlocking("/usr/bin/env", ["openssl"] + arguments)
    guard status == 0 else {
      throw Failure(description: "openssl \(arguments.joined(separator: " ")): \(output)")
    }
  }

  /// A file's text, as far as it fits 64 KiB.
  package func text(of path: String) -> String {
    let file = open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return "" }
    defer { close(file) }
    var bytes = [UInt8](repeating: 0, count: 65_536)
    let count = max(0, read(file, &bytes, bytes.count))
    return String(decoding: bytes.prefix(count), as: UTF8.self)
  }
}
