// SPDX-License-Identifier: Apache-2.0
internal import AudioForkWebSocket
internal import Glibc
internal import NIOCore
internal import NIOSSL
internal import NIOTLS

/// Sits above NIOSSL's handler:
///  1. says when TLS stands, after a look of its own at the server's name,
///  2. puts into words what only TLS knows: which certificate, what is wrong with it, what to do,
///  3. makes an end without close_notify an end like TCP's. Our frames say themselves where they end.
final class TLSVerdictHandler: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer

  private let tls: NIOSSLClientHandler
  private let witness: CertificateWitness
  private let facts: TLSClientFacts
  private let host: String
  private let isAddress: Bool
  private var isEstablished = false
  private var hasRead = false

  init(
    _ tls: NIOSSLClientHandler, _ witness: CertificateWitness, _ facts: TLSClientFacts, host: String, isAddress: Bool
  ) {
    self.tls = tls
    self.witness = witness
    self.facts = facts
    self.host = host
    self.isAddress = isAddress
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    guard case .handshakeCompleted? = event as? TLSUserEvent else {
      return context.fireUserInboundEventTriggered(event)
    }
    // NIOSSL also accepts a common name, or a certificate for the resolved IP address. An attacker who controls DNS
    // could have such a certificate.
    if facts.verifies, !isAddress, tls.peerCertificate.flatMap(CertificateFacts.init)?.isFor(host: host) != true {
      context.fireErrorCaught(wrongHost())
      return context.close(promise: nil)
    }
    isEstablished = true
    context.fireUserInboundEventTriggered(TLSEstablished())
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    hasRead = true
    context.fireChannelRead(data)
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    switch error {
    case NIOSSLError.uncleanShutdown, NIOSSLError.shutdownFailed, is NIOSSLCloseTimedOutError: break
    case NIOSSLError.handshakeFailed(let cause): context.fireErrorCaught(reason(cause))
    case let cause as BoringSSLError: context.fireErrorCaught(reason(cause))
    case let error as NIOSSLExtraError where error == .failedToValidateHostname:
      context.fireErrorCaught(wrongHost())
    case let error as NIOSSLExtraError where error == .serverHostnameImpossibleToMatch:
      context.fireErrorCaught(
        ConnectionFailure("tls: '\(shown(host))' has characters that host names in certificates don't have"))
    case let error as IOError where !hasRead && error.errnoCode == ECONNRESET:
      context.fireErrorCaught(resetEarly())
    case is NIOSSLError, is NIOSSLExtraError: context.fireErrorCaught(ConnectionFailure("tls: \(shown("\(error)"))"))
    default: context.fireErrorCaught(error)
    }
  }

  // MARK: - Words

  private func wrongHost() -> ConnectionFailure {
    let certificate = tls.peerCertificate.flatMap(CertificateFacts.init)
    return ConnectionFailure(
      """
      tls: wrong host name: the certificate is for \(certificate?.purpose ?? "somebody else"), not for \
      '\(shown(host))'; use a name that it is for in the URL, or give the server a certificate for this one
      """)
  }

  /// With TLS 1.3 a server refuses our missing certificate after our handshake is over, and its alert may be overtaken.
  private func resetEarly() -> ConnectionFailure {
    guard isEstablished else {
      return ConnectionFailure("tls: the server reset the connection during the handshake; \(TLSVerdictHandler.notTLS)")
    }
    return ConnectionFailure(
      """
      tls: the server reset the connection right after the handshake; it may want a client certificate: \
      \(ownCertificate)
      """
    )
  }

  private static let notTLS = "is it a server with TLS? One without takes ws://"

  private var ownCertificate: String {
    facts.certificateFile.map { "the one in cert_file \(shown($0)) has to be from an authority that the server trusts" }
      ?? "set cert_file and key_file in a profile"
  }

  private func reason(_ cause: BoringSSLError) -> ConnectionFailure {
    let stack =
      switch cause {
      case .sslError(let stack), .unknownError(let stack): stack
      default: [] as NIOBoringSSLErrorStack
      }
    if stack.contains(.eofDuringHandshake) {
      return ConnectionFailure(
        "tls: the server closed the connection during the handshake; \(TLSVerdictHandler.notTLS)")
    }
    return ConnectionFailure("tls: \(words(TLSVerdictHandler.name(stack)))")
  }

  private func words(_ name: String) -> String {
    switch name {
    case "CERTIFICATE_VERIFY_FAILED": refusal()
    case "TLSV1_ALERT_CERTIFICATE_REQUIRED": "the server wants a client certificate: \(ownCertificate)"
    case "SSLV3_ALERT_HANDSHAKE_FAILURE", "TLSV1_ALERT_ACCESS_DENIED":
      """
      the server refused the handshake; either it wants a client certificate (\(ownCertificate)), or it has no \
      version, cipher, curve or signature algorithm in common with us (docs/sending/tls.md lists ours)
      """
    case "SSLV3_ALERT_BAD_CERTIFICATE", "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE", "SSLV3_ALERT_CERTIFICATE_REVOKED",
      "SSLV3_ALERT_CERTIFICATE_EXPIRED", "SSLV3_ALERT_CERTIFICATE_UNKNOWN", "TLSV1_ALERT_UNKNOWN_CA":
      "the server refused our certificate (\(name)): \(ownCertificate)"
    case "TLSV1_ALERT_PROTOCOL_VERSION", "UNSUPPORTED_PROTOCOL":
      "the server speaks neither TLS 1.2 nor TLS 1.3; it needs an update or another configuration"
    case "TLSV1_ALERT_UNRECOGNIZED_NAME": "the server does not know the name '\(shown(host))'; correct the URL's host"
    case "WRONG_VERSION_NUMBER", "HTTP_REQUEST", "HTTPS_PROXY_REQUEST", "UNEXPECTED_MESSAGE", "UNEXPECTED_RECORD",
      "DECODE_ERROR", "RECORD_TOO_LARGE", "ENCRYPTED_LENGTH_TOO_LONG", "EXCESSIVE_MESSAGE_SIZE",
      "INVALID_OUTER_RECORD_TYPE":
      isEstablished
        ? "the server broke the protocol (\(name))"
        : "what the server answered is not TLS (\(name)); a server without TLS takes ws://"
    default: "\(isEstablished ? "the connection" : "the handshake") failed: \(name)"
    }
  }

  /// Why BoringSSL refused the chain, as far as the certificate shows that it did not like.
  private func refusal() -> String {
    guard let refused = witness.refused.flatMap(CertificateFacts.init) else {
      return "the server's certificate was refused"
    }
    let subject = "'\(refused.subjectName)'"
    if refused.isWeak, let bits = refused.rsaBits {
      return
        """
        the RSA key of \(subject) in the server's chain has \(bits) bits, which is too short to be trusted; the server \
        needs a certificate whose RSA keys have \(CertificateFacts.rsaBitsMin) bits or more, or ECDSA
        """
    }
    if let trouble = refused.validity(at: time(nil)) {
      return
        "the server's certificate \(subject) \(trouble); the server needs a valid one, if this machine's clock is right"
    }
    if refused.isSelfSigned, !facts.knownAuthorities.contains(refused.subject) {
      return "unknown issuer: the server's certificate comes from \(subject), which is self-signed and not in "
        + "\(facts.store); name a file that holds it with ca_file"
    }
    if !facts.knownAuthorities.contains(refused.issuer) {
      return
        "unknown issuer: \(subject) was issued by '\(refused.issuerName)', which is not in \(facts.store); name a file "
        + "that holds that authority with ca_file, or let the server send the whole chain"
    }
    return
      """
      \(subject) was refused although its issuer '\(refused.issuerName)' is in \(facts.store): its signature is wrong, \
      or it is not made for servers
      """
  }

  /// BoringSSL's name for the first error of a stack: "… :SSL routines:OPENSSL_internal:NAME at file:line".
  private static func name(_ stack: NIOBoringSSLErrorStack) -> String {
    guard let text = stack.first.map({ "\($0)" }) else { return "no reason given" }
    let behind =
      text.split(separator: ":", omittingEmptySubsequences: false).first { $0.contains(" at ") } ?? Substring(text)
    let name = behind.prefix { $0 != " " }
    return name.isEmpty ? shown(text) : String(name)
  }
}
