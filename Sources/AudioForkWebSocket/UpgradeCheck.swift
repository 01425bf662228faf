// SPDX-License-Identifier: Apache-2.0
internal import NIOCore
package import NIOHTTP1
internal import NIOWebSocket

/// Why an attempt to open a connection came to nothing.
package struct ConnectionFailure: Error, Equatable, Sendable {
  /// How likely it is that a later attempt succeeds.
  package enum Kind: Sendable {
    /// It may pass: the network, a time limit, a server that is starting or full, a protocol fault.
    case passing
    /// The server refused with a 4xx other than 408, 425 and 429. It may be true only for the moment: a route is being
    /// replaced, a tunnel is not up yet. `EndpointRotation` decides when it is final.
    case refused
    /// Nothing changes it while the engine runs and the server stays what it is: no TLS in the engine, a server that
    /// does not speak the needed sub-protocol, or an answer that the dialect calls final.
    case final
  }

  /// A word, a colon and text: `http: 403 Forbidden`.
  package let reason: String
  package let kind: Kind
  /// When the server wants to be asked again; nil where it did not say.
  package let retryAfter: RetryAfter?
  /// Where a redirect leads, as the server wrote it; empty where it did not say. Nil: no redirect.
  package let location: String?
  /// The server's answer where it was another one than 101.
  package let answer: Answer?

  /// An answer to the upgrade request.
  package struct Answer: Equatable, Sendable {
    /// The HTTP status.
    package let status: Int
    /// The first line of the body that says something, without secrets; empty where there is none.
    package let text: String

    package init(status: Int, text: String) {
      self.status = status
      self.text = text
    }
  }

  package init(
    _ reason: String, kind: Kind = .passing, retryAfter: RetryAfter? = nil, location: String? = nil,
    answer: Answer? = nil
  ) {
    self.reason = reason
    self.kind = kind
    self.retryAfter = retryAfter
    self.location = location
    self.answer = answer
  }

  /// The failure, its reason followed by more words.
  package func adding(_ words: String) -> ConnectionFailure {
    ConnectionFailure(reason + words, kind: kind, retryAfter: retryAfter, location: location, answer: answer)
  }

  /// The failure as another kind.
  package func of(_ kind: Kind) -> ConnectionFailure {
    ConnectionFailure(reason, kind: kind, retryAfter: retryAfter, location: location, answer: answer)
  }
}

/// What the server's answer to the upgrade request has to say (RFC 6455 section 4.1).
package struct UpgradeCheck: Sendable {
  package let key: String
  package let subprotocolsOffered: [String]
  /// Whether one of them has to be selected.
  package let needsSubprotocol: Bool
  /// Whether the connection has no TLS.
  private let isPlain: Bool
  /// Texts that must not be shown, whatever the server says.
  private let secrets: [String]

  package init(
    key: String, subprotocolsOffered: [String], needsSubprotocol: Bool = false, isPlain: Bool = false,
    secrets: [String] = []
  ) {
    self.key = key
    self.subprotocolsOffered = subprotocolsOffered
    self.needsSubprotocol = needsSubprotocol
    self.isPlain = isPlain
    self.secrets = secrets
  }

  /// The sub-protocol that the server chose; nil where it chose none, which every server may. Blanks around a header's
  /// value are no part of it (RFC 6455 section 4.1, RFC 9110 section 5.5).
  package func check(_ answer: HTTPResponseHead) throws(ConnectionFailure) -> String? {
    guard answer.status == .switchingProtocols else { throw refusal(answer, body: []) }
    var head = answer
    head.headers = HTTPHeaders(answer.headers.map { ($0.name, String(trimmed($0.value[...]))) })
    guard head.version == .http1_1 else {
      throw ConnectionFailure("upgrade: the answer is HTTP/\(head.version.major).\(head.version.minor)")
    }
    // Nothing but this: another protocol beside it would be spoken first.
    guard head.headers["Upgrade"].map({ $0.lowercased() }) == ["websocket"] else {
      throw ConnectionFailure("upgrade: the answer has no header 'Upgrade: websocket'")
    }
    guard hasToken(head.headers["Connection"], "upgrade") else {
      throw ConnectionFailure("upgrade: the answer has no header 'Connection: Upgrade'")
    }
    // NIO computes the expected value and wants it exactly once.
    let accept = NIOWebSocketClientUpgrader(requestKey: key) { channel, _ in
      channel.eventLoop.makeSucceededVoidFuture()
    }
    guard accept.shouldAllowUpgrade(upgradeResponse: head) else {
      throw ConnectionFailure("upgrade: the answer's Sec-WebSocket-Accept is missing or does not fit our key")
    }
    guard head.headers["Sec-WebSocket-Extensions"].isEmpty else {
      throw ConnectionFailure("upgrade: the server chose an extension that was not offered")
    }
    let chosen = head.headers["Sec-WebSocket-Protocol"]
    guard chosen.count <= 1 else { throw ConnectionFailure("upgrade: the server chose more than one sub-protocol") }
    guard let subprotocol = chosen.first else {
      guard needsSubprotocol else { return nil }
      throw ConnectionFailure(
        """
        upgrade: the server did not select the sub-protocol \(subprotocolsOffered.joined(separator: " or ")) and does \
        not speak it
        """,
        kind: .final)
    }
    guard subprotocolsOffered.contains(subprotocol) else {
      let remedy = needsSubprotocol ? "" : "; where that is the right one, set subprotocol in a profile"
      throw ConnectionFailure(
        "upgrade: the server chose the sub-protocol '\(shown(subprotocol))', not offered\(remedy)")
    }
    return subprotocol
  }

  /// Whether the status is a refusal. Of the client errors only three can pass by themselves: a slow request, a server
  /// that has just started, too many requests.
  static func isRefusal(_ status: Int) -> Bool { (400...499).contains(status) && ![408, 425, 429].contains(status) }

  /// Redirects that a client may follow (RFC 9110 section 15.4).
  private static let redirects = [301, 302, 303, 307, 308]

  /// The failure for any answer other than 101, with what the beginning of its body says.
  package func refusal(_ head: HTTPResponseHead, body: [UInt8]) -> ConnectionFailure {
    let status = Int(head.status.code)
    // Several Location lines are ambiguous: treat them as none.
    let location = head.headers["Location"].count == 1 ? head.headers.first(name: "Location") : nil
    let text = RefusalText(head, body: body, secrets: secrets)
    return ConnectionFailure(
      text.line(offered: needsSubprotocol ? nil : subprotocolsOffered, isPlain: isPlain),
      kind: UpgradeCheck.isRefusal(status) ? .refused : .passing,
      retryAfter: head.headers.first(name: "Retry-After").flatMap { RetryAfter($0) },
      location: UpgradeCheck.redirects.contains(status) ? location ?? "" : nil,
      answer: ConnectionFailure.Answer(status: status, text: text.words ?? ""))
  }

  private func hasToken(_ values: [String], _ token: String) -> Bool {
    for value in values {
      for part in value.split(separator: ",") where trimmed(part).lowercased() == token { return true }
    }
    return false
  }

  private func trimmed(_ part: Substring) -> Substring {
    var part = part
    while let first = part.first, first == " " || first == "\t" { part.removeFirst() }
    while let last = part.last, last == " " || last == "\t" { part.removeLast() }
    return part
  }
}
