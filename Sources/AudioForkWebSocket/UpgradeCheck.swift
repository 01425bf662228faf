// SPDX-License-Identifier: Apache-2.0
internal import NIOCore
package import NIOHTTP1
internal import NIOWebSocket

/// Why an attempt to open a connection came to nothing.
package struct ConnectionFailure: Error, Equatable, Sendable {
  /// A word, a colon and text: `http: 403 Forbidden`.
  package let reason: String
  /// Whether another attempt would get the same answer.
  package let isPermanent: Bool
  /// When the server wants to be asked again; nil where it did not say.
  package let retryAfter: RetryAfter?

  package init(_ reason: String, isPermanent: Bool = false, retryAfter: RetryAfter? = nil) {
    self.reason = reason
    self.isPermanent = isPermanent
    self.retryAfter = retryAfter
  }
}

/// What the server's answer to the upgrade request has to say (RFC 6455 section 4.1).
package struct UpgradeCheck: Sendable {
  package let key: String
  package let subprotocolsOffered: [String]
  /// Whether one of them has to be selected.
  package let needsSubprotocol: Bool

  package init(key: String, subprotocolsOffered: [String], needsSubprotocol: Bool = false) {
    self.key = key
    self.subprotocolsOffered = subprotocolsOffered
    self.needsSubprotocol = needsSubprotocol
  }

  /// The sub-protocol that the server chose; nil where it chose none, which every server may.
  package func check(_ head: HTTPResponseHead) throws(ConnectionFailure) -> String? {
    guard head.status == .switchingProtocols else { throw UpgradeCheck.refusal(head) }
    guard head.version == .http1_1 else {
      throw ConnectionFailure("upgrade: the answer is HTTP/\(head.version.major).\(head.version.minor)")
    }
    // Nothing but this: another protocol beside it would be spoken first.
    guard head.headers["Upgrade"].map({ trimmed($0[...]).lowercased() }) == ["websocket"] else {
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
        "upgrade: the server did not select the sub-protocol \(subprotocolsOffered.joined(separator: " or ")) and does not speak it",
        isPermanent: true)
    }
    guard subprotocolsOffered.contains(subprotocol) else {
      throw ConnectionFailure("upgrade: the server chose the sub-protocol '\(shown(subprotocol))', not offered")
    }
    return subprotocol
  }

  /// Any answer other than 101. Of the client errors only three can pass by themselves: a slow request, a server
  /// that has just started, too many requests.
  private static func refusal(_ head: HTTPResponseHead) -> ConnectionFailure {
    let status = head.status
    let isPermanent = (400...499).contains(status.code) && ![408, 425, 429].contains(status.code)
    let phrase = shown(status.reasonPhrase)
    return ConnectionFailure(
      "http: \(status.code)\(phrase.isEmpty ? "" : " ")\(phrase)", isPermanent: isPermanent,
      retryAfter: head.headers.first(name: "Retry-After").flatMap { RetryAfter($0) })
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

/// A peer's words in a form that can stand in one line of a log: no control characters, at most 80 of them.
package func shown(_ text: String) -> String {
  var result = ""
  for scalar in text.unicodeScalars.prefix(80) {
    let isControl = scalar.value < 32 || (127...159).contains(scalar.value) || (0x2028...0x202E).contains(scalar.value)
    result.unicodeScalars.append(isControl ? "?" : scalar)
  }
  return text.unicodeScalars.count > 80 ? result + "..." : result
}
