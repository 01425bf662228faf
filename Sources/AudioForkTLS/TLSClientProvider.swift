// SPDX-License-Identifier: Apache-2.0
package import AudioForkWebSocket
package import NIOCore
internal import NIOPosix
internal import NIOSSL
internal import Synchronization

/// TLS by BoringSSL. What settings and files amount to is read once, off the event loops, and shared by all forks that
/// have the same; a file that changes is read again for the next attempt.
package final class TLSClientProvider: TLSProvider {
  private struct Entry {
    let stamps: [PEMFile.Stamp?]
    let prepared: PreparedClient
  }

  /// More than an installation has of profiles; beyond it everything is read again.
  private static let entriesMax = 64

  private let pool: NIOThreadPool
  private let entries = Mutex<[TLSSettings: Entry]>([:])
  private let reads = Mutex(0)

  package init() { pool = .singleton }

  /// How often files were read, for tests.
  package var readCount: Int { reads.withLock { $0 } }

  package func prepare(_ settings: TLSSettings, on loop: any EventLoop) -> EventLoopFuture<any PreparedTLS> {
    pool.runIfActive(eventLoop: loop) { try self.lookUp(settings) }
  }

  /// Blocks. Failures are not kept: the next attempt may find the files right.
  private func lookUp(_ settings: TLSSettings) throws(ConnectionFailure) -> any PreparedTLS {
    let files = try TLSClientFiles(settings)
    // Before they are read: a file that changes meanwhile is read once more.
    let stamps = files.all.map(\.stamp)
    if let entry = entries.withLock({ $0[settings] }), entry.stamps == stamps, !stamps.contains(nil) {
      return entry.prepared
    }
    let prepared = try PreparedClient(files, verifies: settings.verifies)
    reads.withLock { $0 += 1 }
    entries.withLock {
      if $0.count >= TLSClientProvider.entriesMax { $0 = [:] }
      $0[settings] = Entry(stamps: stamps, prepared: prepared)
    }
    return prepared
  }
}

/// The files that a connection's settings amount to.
struct TLSClientFiles {
  /// Nil where nothing is verified.
  let authorities: PEMFile?
  let certificate: PEMFile?
  let key: PEMFile?

  init(_ settings: TLSSettings) throws(ConnectionFailure) {
    if !settings.verifies {
      authorities = nil
    } else if settings.caFile.isEmpty {
      authorities = PEMFile(setting: "the system's store", path: try SystemStore.path())
    } else {
      authorities = PEMFile(setting: "ca_file", path: settings.caFile)
    }
    let isMutual = !settings.certificateFile.isEmpty
    certificate = isMutual ? PEMFile(setting: "cert_file", path: settings.certificateFile) : nil
    key = isMutual ? PEMFile(setting: "key_file", path: settings.keyFile) : nil
  }

  var all: [PEMFile] { [authorities, certificate, key].compactMap { $0 } }
}

/// What connections with the same settings share.
struct PreparedClient: PreparedTLS {
  /// How long the peer may take to answer our close_notify.
  private static let closeWait = TimeAmount.seconds(1)

  /// All that BoringSSL can verify: what it offers by itself, and Ed25519 and P-521, which it does not. SHA-1 comes
  /// last and for TLS 1.2 only. There is no Ed448 in it.
  private static let signatures: [SignatureAlgorithm] = [
    .ecdsaSecp256R1Sha256, .rsaPssRsaeSha256, .rsaPkcs1Sha256, .ecdsaSecp384R1Sha384, .rsaPssRsaeSha384,
    .rsaPkcs1Sha384, .ed25519, .ecdsaSecp521R1Sha512, .rsaPssRsaeSha512, .rsaPkcs1Sha512, .rsaPkcs1Sha1,
  ]
  /// NIOSSL's own, and P-521. There is no X448 in BoringSSL.
  private static let curves: [NIOTLSCurve] = [.x25519_MLKEM768, .x25519, .secp256r1, .secp384r1, .secp521r1]

  private let context: NIOSSLContext
  private let facts: TLSClientFacts

  /// Blocks.
  init(_ files: TLSClientFiles, verifies: Bool) throws(ConnectionFailure) {
    var configuration = TLSConfiguration.makeClientConfiguration()
    configuration.minimumTLSVersion = .tlsv12
    configuration.certificateVerification = verifies ? .fullVerification : .none
    configuration.shutdownTimeout = PreparedClient.closeWait
    configuration.verifySignatureAlgorithms = PreparedClient.signatures
    configuration.curves = PreparedClient.curves
    var known: Set<[UInt8]> = []
    if let authorities = files.authorities {
      let roots = try authorities.certificates()
      configuration.trustRoots = .certificates(roots)
      known = Set(roots.compactMap { CertificateFacts($0)?.subject })
    }
    if let certificate = files.certificate, let key = files.key {
      configuration.certificateChain = try certificate.certificates().map { .certificate($0) }
      configuration.privateKey = .privateKey(try key.privateKey())
    }
    facts = TLSClientFacts(
      verifies: verifies, store: files.authorities.map { "\($0.setting) \(shown($0.path))" } ?? "",
      knownAuthorities: known, certificateFile: files.certificate?.path)
    do {
      context = try NIOSSLContext(configuration: configuration)
    } catch NIOSSLError.failedToLoadPrivateKey where files.key != nil {
      throw ConnectionFailure(
        "tls: key_file \(shown(files.key?.path ?? "")) is not the key of the certificate in cert_file "
          + "\(shown(files.certificate?.path ?? "")); name files that belong together")
    } catch {
      throw ConnectionFailure("tls: the certificates cannot be used: \(shown("\(error)"))")
    }
  }

  func makeHandlers(host: String, isAddress: Bool) throws(ConnectionFailure) -> [any ChannelHandler] {
    let witness = CertificateWitness()
    let maker: any VerifyingHandlerMaker = WitnessedHandler()
    // A name's final dot is not part of it here (RFC 6066 section 3).
    let name = host.hasSuffix(".") ? String(host.dropLast()) : host
    do {
      let handler = try maker.make(context, host: isAddress ? nil : name, witness)
      let verdict = TLSVerdictHandler(handler, witness, facts, host: host, isAddress: isAddress)
      return [handler, verdict]
    } catch {
      throw ConnectionFailure("tls: '\(shown(host))' is no host name that a certificate can be for")
    }
  }
}

/// What the words about a failure need to know of the settings.
struct TLSClientFacts: Sendable {
  let verifies: Bool
  /// The store of authorities by setting and path.
  let store: String
  /// Subjects in the store.
  let knownAuthorities: Set<[UInt8]>
  /// Our own certificate's.
  let certificateFile: String?
}

/// The certificate that BoringSSL did not like, or whose key is too short.
final class CertificateWitness {
  private(set) var refused: NIOSSLCertificate?

  /// Called for each certificate of the chain, the authority's first. Refuses short RSA keys, which BoringSSL takes,
  /// and what cannot be read. Otherwise leaves the verdict as it is.
  func record(_ verdict: NIOSSLVerificationResult, _ certificate: NIOSSLCertificate) -> NIOSSLVerificationResult {
    let isStrong = CertificateFacts(certificate).map { !$0.isWeak } ?? false
    let isGood = verdict != .failed && isStrong
    if !isGood, refused == nil { refused = certificate }
    return isGood ? verdict : .failed
  }
}

private protocol VerifyingHandlerMaker {
  func make(_ context: NIOSSLContext, host: String?, _ witness: CertificateWitness) throws -> NIOSSLClientHandler
}

private struct WitnessedHandler: VerifyingHandlerMaker {
  /// The one callback that looks on while BoringSSL verifies; its successors replace the verification, which is not
  /// ours to write. It is deprecated for being hard to program with. Behind a protocol, so that the warning is given
  /// here and nowhere else.
  @available(*, deprecated)
  func make(_ context: NIOSSLContext, host: String?, _ witness: CertificateWitness) throws -> NIOSSLClientHandler {
    try NIOSSLClientHandler(
      context: context, serverHostname: host, verificationCallback: { witness.record($0, $1) })
  }
}
