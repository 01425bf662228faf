// SPDX-License-Identifier: Apache-2.0
internal import AudioForkBytes
internal import AudioForkEngine
internal import AudioForkSurface
internal import AudioForkWebSocket
internal import NIOCore
internal import NIOEmbedded
internal import NIOHTTP1

private let bases = ["ws://example.org/a/b?c=d", "wss://u:p@[::1]:8443/", "ws://10.0.0.1:9/x/y/"].compactMap {
  try? EndpointURL.parse(Array($0.utf8))
}

/// What leads a fork elsewhere: a server's Location, a proxy's answer to CONNECT, and the files with credentials.
func fuzzRoute(_ bytes: [UInt8]) {
  var input = Decisions(bytes)
  let choice = Int(input.byte())
  let detail = Int(input.byte())
  let text = input.remainder()
  switch choice % 3 {
  case 0: location(text, detail)
  case 1: tunnel(text, cuts: UInt8(truncatingIfNeeded: detail))
  default: credentials(text)
  }
}

private func location(_ text: [UInt8], _ detail: Int) {
  let base = bases[detail % bases.count]
  let policy = RedirectPolicy.allCases[detail / 4 % RedirectPolicy.allCases.count]
  var chain = RedirectChain(base, policy)
  let location = String(decoding: text, as: UTF8.self)
  for _ in 0..<5 {
    let before = chain
    guard case .follow = chain.follow(location, allows: { _ in true }) else {
      demand(chain.url == before.url && chain.count == before.count, "a refused redirect changed \(before)")
      break
    }
    let url = chain.url
    demand(chain.count <= RedirectChain.followedMax && policy != .no, "\(chain)")
    demand(url.isSecure || !before.url.isSecure, "\(before.url) led down to \(url)")
    demand(policy != .sameHost || url.isSameHost(as: base), "\(base) led to the host of \(url)")
    demand(url.userInformation.isEmpty && !url.target.contains { $0 <= 32 || $0 == 127 }, "\(url)")
    demand(
      !chain.isTrusted || url.isSameOrigin(as: before.url)
        || !before.url.isSecure && url.isSecure
          && url.isSameHost(as: before.url),
      "secrets of \(base) go to \(url)")
    // What was resolved stays what it is.
    let again = try? LocationReference.resolve("#", against: url)
    demand(again?.target == url.target && again?.plainHost == url.plainHost && again?.port == url.port, "\(url)")
  }
}

private func tunnel(_ text: [UInt8], cuts: UInt8) {
  let whole = heard(text, pieces: { text.count })
  var state = UInt32(cuts)
  let cut = heard(text) {
    state = state &* 1_664_525 &+ 1_013_904_223
    return Int(state >> 28) + 1
  }
  demand(whole == cut, "at once: \(whole)\nin pieces: \(cut)")
}

/// The outcome, and what came behind the tunnel.
private func heard(_ text: [UInt8], pieces: () -> Int) -> [String] {
  guard let proxy = ProxyAddress(Array("http://user:s3cretword@p:1".utf8)), let url = bases.first else { return [] }
  let channel = EmbeddedChannel()
  let sink = Sink()
  let tunnel = ProxyTunnel(to: url, through: proxy, agent: "fuzz") { outcome in
    switch outcome {
    case .success:
      sink.heard.append("open")
      try? channel.pipeline.syncOperations.addHandler(sink)
    case .failure(let failure):
      demand(!failure.reason.utf8.contains { $0 < 32 }, "a reason with a control character: \(failure.reason)")
      demand(!failure.reason.contains("s3cretword"), "a secret in \(failure.reason)")
      sink.heard.append("failed \(failure)")
    }
  }
  do {
    try channel.pipeline.syncOperations.addHandler(tunnel)
    try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 80)).wait()
  } catch {
    demand(false, "\(error)")
  }
  var rest = text[...]
  while !rest.isEmpty, channel.isActive {
    let piece = rest.prefix(max(pieces(), 1))
    rest = rest.dropFirst(piece.count)
    _ = try? channel.writeInbound(ByteBuffer(bytes: piece))
  }
  channel.embeddedEventLoop.advanceTime(by: .seconds(5))
  _ = try? channel.finish()
  demand(sink.heard.count == 1, "told \(sink.heard.count) times: \(sink.heard)")
  return sink.heard + ["\(sink.bytes)"]
}

/// What is behind the tunnel.
private final class Sink: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  var heard: [String] = []
  var bytes: [UInt8] = []

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    bytes += Array(Self.unwrapInboundIn(data).readableBytesView)
  }
}

private func credentials(_ text: [UInt8]) {
  var request = UpgradeRequest(host: Array("x".utf8), target: Array("/".utf8))
  if let headers = try? CredentialFiles.headers(in: text) {
    demand(Set(headers.map { $0.name.lowercased() }).count == headers.count, "a header twice: \(headers)")
    request.givenHeaders = headers
  }
  if let token = try? CredentialFiles.token(in: text) {
    demand(!token.isEmpty && !token.contains { $0.isControl }, "the token \(token)")
    request.givenHeaders.append(RequestHeader(name: "Authorization", value: Array("Bearer ".utf8) + token))
  }
  let head = request.head(key: Conversation.key)
  for (name, value) in head.headers {
    demand(!name.isEmpty && !name.utf8.contains { $0 <= 32 || $0 == 127 || $0 == 58 }, "the header \(name)")
    demand(!value.utf8.contains { $0 < 32 || $0 == 127 }, "\(name): \(value)")
  }
}
