// SPDX-License-Identifier: Apache-2.0
internal import AudioForkWebSocket
internal import Glibc
internal import NIOSSL

/// One of the files that the settings name. Reading blocks: never on an event loop.
struct PEMFile {
  /// How messages name its setting: `ca_file`, `--key`.
  let setting: String
  let path: String

  /// More than any store of authorities has.
  private static let bytesMax = 16 << 20

  /// What changes when the file does.
  struct Stamp: Hashable {
    private let device: UInt64
    private let inode: UInt64
    private let size: Int64
    private let seconds: Int
    private let nanoseconds: Int

    fileprivate init(_ status: stat) {
      device = UInt64(status.st_dev)
      inode = UInt64(status.st_ino)
      size = Int64(status.st_size)
      seconds = status.st_mtim.tv_sec
      nanoseconds = status.st_mtim.tv_nsec
    }
  }

  /// Nil where there is no such file.
  var stamp: Stamp? {
    var status = stat()
    return stat(path, &status) == 0 ? Stamp(status) : nil
  }

  /// Its certificates, at least one.
  func certificates() throws(ConnectionFailure) -> [NIOSSLCertificate] {
    let bytes = try contents()
    guard let found = try? NIOSSLCertificate.fromPEMBytes(bytes), !found.isEmpty else {
      throw failure("holds no certificate in PEM form; it has to begin with -----BEGIN CERTIFICATE-----")
    }
    return found
  }

  func privateKey() throws(ConnectionFailure) -> NIOSSLPrivateKey {
    let bytes = try contents()
    guard let key = try? NIOSSLPrivateKey(bytes: bytes, format: .pem) else {
      throw failure("holds no private key in PEM form without a pass phrase; 'openssl pkey -in FILE' shows what it is")
    }
    return key
  }

  /// A failure that names setting, path, and what is wrong.
  func failure(_ what: String) -> ConnectionFailure { ConnectionFailure("tls: \(setting) \(shown(path)) \(what)") }

  private func contents() throws(ConnectionFailure) -> [UInt8] {
    // Not to wait for the other end, should it be a pipe.
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else { throw unreadable(errno) }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw unreadable(errno) }
    guard status.st_mode & S_IFMT == S_IFREG else { throw failure("is not a file; name one in PEM form") }
    guard status.st_size <= PEMFile.bytesMax else { throw failure("is longer than 16 MiB; name one in PEM form") }
    var bytes: [UInt8] = []
    var block = [UInt8](repeating: 0, count: 65_536)
    while bytes.count <= PEMFile.bytesMax {
      let count = read(descriptor, &block, block.count)
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else { throw unreadable(errno) }
      if count == 0 { break }
      bytes += block.prefix(count)
    }
    return bytes
  }

  private func unreadable(_ code: CInt) -> ConnectionFailure {
    let remedy =
      switch code {
      case ENOENT, ENOTDIR: "correct the path"
      case EACCES: "the user that runs Asterisk has to be allowed to read it"
      default: "make it readable"
      }
    return failure("cannot be read: \(String(cString: strerror(code))); \(remedy)")
  }
}

/// Where the authorities that the system trusts stand in one file.
enum SystemStore {
  /// Debian and its kin and Alpine; Fedora and Red Hat, old and new; SUSE.
  private static let paths = [
    "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "/etc/ssl/ca-bundle.pem",
  ]

  static func path() throws(ConnectionFailure) -> String {
    guard let path = paths.first(where: { access($0, F_OK) == 0 }) else {
      throw ConnectionFailure(
        "tls: this system has no store of certificate authorities; install the package ca-certificates, or name a file "
          + "with ca_file")
    }
    return path
  }
}
