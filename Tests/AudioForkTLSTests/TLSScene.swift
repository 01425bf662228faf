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

/// Certificates that `openssl` has made, servers with them, and calls to these servers.
struct TLSScene {
  let certificates: TestCertificates

  init() throws { certificates = try TestCertificates() }

  typealias Security = @Sendable () -> any ChannelHandler

  func security(_ identity: TestCertificates.Identity, clientAuthorities: String? = nil) throws -> Security {
    let server = try TLSServer(
      certificate: identity.certificate, key: identity.key, clientAuthorities: clientAuthorities)
    return { server.makeHandler() }
  }

  /// A server's TLS that the program itself would not offer.
  func unusual(
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

  /// The setting with which a fork trusts the first authority.
  var trusting: String { "ca_file=\(certificates.authority.certificate)" }

  /// Sends a call of half a second that is over already; gives the fork's end and the engine's lines.
  func deliver(
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
}
