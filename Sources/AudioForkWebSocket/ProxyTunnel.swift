// SPDX-License-Identifier: Apache-2.0
package import AudioForkSurface
package import NIOCore
internal import NIOHTTP1

/// Asks an HTTP proxy for a connection to a server (CONNECT, RFC 9110 section 9.3.6), on a channel that is connected to
/// the proxy. When the proxy agrees it reports that, passes on what came behind the answer, and leaves.
///
/// The time allowed for it is the owner's business: it closes the channel.
package final class ProxyTunnel: ChannelInboundHandler, RemovableChannelHandler {
  package typealias InboundIn = ByteBuffer
  package typealias InboundOut = ByteBuffer
  package typealias OutboundOut = ByteBuffer

  private enum Phase {
    case idle
    /// The request is out.
    case waiting
    case over
  }

  private var phase = Phase.idle
  private let proxy: ProxyAddress
  /// `host:port` of the server.
  private let authority: String
  private let credentials: BasicCredentials?
  private let agent: String
  private var onOutcome: ((Result<Void, ConnectionFailure>) -> Void)?
  private var reader = AnswerReader(of: .tunnel)
  private var bodyTimer: Scheduled<Void>?

  /// `onOutcome` is called once. On success handlers for the server's side may be added behind this one at once.
  package init(
    to url: EndpointURL, through proxy: ProxyAddress, agent: String,
    onOutcome: @escaping (Result<Void, ConnectionFailure>) -> Void
  ) {
    self.proxy = proxy
    self.agent = agent
    self.onOutcome = onOutcome
    let host = String(decoding: url.host, as: UTF8.self)
    authority = "\(url.isIPv6Literal ? "[\(host)]" : host):\(url.port)"
    credentials = BasicCredentials(proxy.userInformation)
  }

  package func handlerAdded(context: ChannelHandlerContext) {
    if context.channel.isActive { send(context: context) }
  }

  package func handlerRemoved(context: ChannelHandlerContext) {
    bodyTimer?.cancel()
    onOutcome = nil
  }

  package func channelActive(context: ChannelHandlerContext) {
    send(context: context)
    context.fireChannelActive()
  }

  private func send(context: ChannelHandlerContext) {
    guard case .idle = phase else { return }
    phase = .waiting
    var bytes = context.channel.allocator.buffer(capacity: 256)
    bytes.writeString("CONNECT \(authority) HTTP/1.1\r\nHost: \(authority)\r\nUser-Agent: \(agent)\r\n")
    if let credentials { bytes.writeString("Proxy-Authorization: \(credentials.value)\r\n") }
    bytes.writeString("\r\n")
    context.writeAndFlush(Self.wrapOutboundOut(bytes), promise: nil)
  }

  package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard case .waiting = phase else { return context.fireChannelRead(data) }
    var bytes = Self.unwrapInboundIn(data)
    do throws(ConnectionFailure) {
      switch try reader.take(&bytes) {
      case .switching?: finish(context: context, bytes)
      case .refusal(let head, let body)?: throw refusal(head, body)
      case nil: limitBody(context: context)
      }
    } catch {
      fail(context: context, error)
    }
  }

  /// What the proxy has refused with, while the rest of its answer is waited for.
  package var refusalSoFar: ConnectionFailure? {
    guard case .refusal(let head, let body)? = reader.refusalSoFar else { return nil }
    return refusal(head, body)
  }

  private func limitBody(context: ChannelHandlerContext) {
    guard bodyTimer == nil, reader.refusalSoFar != nil else { return }
    bodyTimer = context.eventLoop.assumeIsolated().scheduleTask(in: UpgradeHandler.bodyWait) {
      if let refusal = self.refusalSoFar { self.fail(context: context, refusal) }
    }
  }

  private func finish(context: ChannelHandlerContext, _ rest: ByteBuffer) {
    phase = .over
    report(.success(()))
    if rest.readableBytes > 0 { context.fireChannelRead(Self.wrapInboundOut(rest)) }
    context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
  }

  package func errorCaught(context: ChannelHandlerContext, error: any Error) {
    guard case .waiting = phase else { return context.fireErrorCaught(error) }
    fail(context: context, refusalSoFar ?? failed(connectionReason(error)))
  }

  package func channelInactive(context: ChannelHandlerContext) {
    if case .waiting = phase {
      do throws(ConnectionFailure) {
        if case .refusal(let head, let body) = try reader.ended() { fail(context: context, refusal(head, body)) }
      } catch {
        fail(context: context, error)
      }
    }
    context.fireChannelInactive()
  }

  private func fail(context: ChannelHandlerContext, _ failure: ConnectionFailure) {
    if case .over = phase { return }
    phase = .over
    bodyTimer?.cancel()
    let isNamed = failure.reason.hasPrefix("proxy: ")
    report(.failure(isNamed ? failure : failed(failure.reason)))
    context.close(promise: nil)
  }

  private func report(_ outcome: Result<Void, ConnectionFailure>) {
    let onOutcome = onOutcome
    self.onOutcome = nil
    onOutcome?(outcome)
  }

  // MARK: - Reasons

  private func failed(_ reason: String) -> ConnectionFailure {
    ConnectionFailure(ProxyTunnel.reason(proxy, reason))
  }

  /// A reason that names the proxy, without its user information.
  package static func reason(_ proxy: ProxyAddress, _ reason: String) -> String {
    "proxy: \(shown(String(decoding: proxy.shown, as: UTF8.self), bytesMax: 300)): \(reason)"
  }

  /// 4xx is a refusal as a server's is; what is wrong between the proxy and the server may pass.
  private func refusal(_ head: HTTPResponseHead, _ body: [UInt8]) -> ConnectionFailure {
    let text = RefusalText(head, body: body, secrets: sortedSecrets(credentials?.secrets ?? []))
    let hint =
      switch head.status.code {
      case 407 where credentials == nil: "; it wants a user: proxy = http://user:password@host:port"
      case 407: "; it does not accept the user or the password in proxy"
      case 403: "; it does not let \(shown(authority)) through: have it allowed there, or name the host in no_proxy"
      case 400, 404, 405, 501: "; is that an HTTP proxy, and may it CONNECT to this port?"
      case 502, 503, 504: "; it does not reach \(shown(authority))"
      default: ""
      }
    return ConnectionFailure(
      ProxyTunnel.reason(proxy, "\(text.summary)\(hint)"),
      kind: UpgradeCheck.isRefusal(Int(head.status.code)) ? .refused : .passing,
      retryAfter: head.headers.first(name: "Retry-After").flatMap { RetryAfter($0) })
  }
}
