// SPDX-License-Identifier: Apache-2.0
internal import AudioForkWebSocket
package import NIOCore
internal import NIOSSL

/// TLS for a receiver: its certificate, and whose certificates its clients must have.
package struct TLSServer: Sendable {
  /// Why it cannot be made: option, file, cause and remedy.
  package struct Failure: Error, Equatable {
    package let reason: String
  }

  private let context: NIOSSLContext
  /// Whether clients without a certificate are refused.
  package let asksForCertificates: Bool

  /// Reads PEM files; blocks. With `clientAuthorities` a client without a certificate of theirs is refused.
  package init(certificate: String, key: String, clientAuthorities: String? = nil) throws(Failure) {
    asksForCertificates = clientAuthorities != nil
    do throws(ConnectionFailure) {
      context = try TLSServer.context(
        PEMFile(setting: "--certificate", path: certificate), PEMFile(setting: "--key", path: key),
        clientAuthorities.map { PEMFile(setting: "--client-ca", path: $0) })
    } catch {
      throw Failure(reason: error.reason)
    }
  }

  /// A handler for one connection.
  package func makeHandler() -> any ChannelHandler { NIOSSLServerHandler(context: context) }

  /// Returns who the client of a connection is by its verified certificate: the names in it, which a renewed
  /// certificate has too, or the whole certificate where it has none. Nil where no certificate was asked for. On the
  /// connection's event loop.
  package func clientName(of channel: any Channel) -> [UInt8]? {
    guard asksForCertificates,
      let handler = try? channel.pipeline.syncOperations.handler(type: NIOSSLServerHandler.self),
      let certificate = handler.peerCertificate, let encoded = try? certificate.toDERBytes()
    else { return nil }
    guard let facts = CertificateFacts(certificate) else { return encoded }
    if facts.subject.isEmpty, facts.alternativeNames.isEmpty { return encoded }
    // A renewal may have the names in another order. With their lengths, no two lists of names are the same bytes.
    let names = [facts.subject] + facts.alternativeNames.sorted { $0.lexicographicallyPrecedes($1) }
    return names.flatMap { Array("\($0.count) ".utf8) + $0 }
  }

  private static func context(
    _ certificate: PEMFile, _ key: PEMFile, _ authorities: PEMFile?
  ) throws(ConnectionFailure) -> NIOSSLContext {
    var configuration = TLSConfiguration.makeServerConfiguration(
      certificateChain: try certificate.certificates().map { .certificate($0) },
      privateKey: .privateKey(try key.privateKey()))
    configuration.minimumTLSVersion = .tlsv12
    configuration.shutdownTimeout = .seconds(1)
    if let authorities {
      configuration.trustRoots = .certificates(try authorities.certificates())
      configuration.certificateVerification = .noHostnameVerification
      configuration.sendCANameList = true
    }
    do {
      return try NIOSSLContext(configuration: configuration)
    } catch NIOSSLError.failedToLoadPrivateKey {
      throw key.failure("is not the key of the certificate in \(shown(certificate.path))")
    } catch {
      throw ConnectionFailure("tls: the certificates cannot be used: \(shown("\(error)"))")
    }
  }
}
