// SPDX-License-Identifier: Apache-2.0
internal import AudioForkBytes
internal import AudioForkSurface
package import NIOHTTP1
internal import NIOWebSocket

/// A field of the request. The value may be anything: it is escaped when the request is made.
package struct RequestHeader: Sendable, Equatable {
  package let name: String
  package let value: [UInt8]
  /// The value is percent-encoded already: its '%' stay what they are.
  package let isEncoded: Bool

  package init(name: String, value: [UInt8], isEncoded: Bool = false) {
    self.name = name
    self.value = value
    self.isEncoded = isEncoded
  }
}

/// The request that opens a WebSocket connection (RFC 6455 section 4.1).
///
/// Whatever the fields are made of, the request stays one request: values are escaped here and nowhere else.
package struct UpgradeRequest: Sendable, Equatable {
  /// Value of the Host header.
  package var host: [UInt8]
  /// Path and query.
  package var target: [UInt8]
  /// `user[:password]` of the URL, percent-encoded as it stood there; empty: no Authorization header.
  package var userInformation: [UInt8] = []
  /// Sub-protocols offered, in order of preference.
  package var subprotocols: [String] = []
  /// Whether a server that selects none of them is of no use.
  package var needsSubprotocol = false
  /// Further headers. Values may be anything; names are ours.
  package var headers: [RequestHeader] = []
  /// Headers as the user gave them: names and values go out as they are, but for what would end a line, and values that
  /// are not UTF-8 with percent-encoding. An Authorization here takes the place of the one that the URL's user
  /// information would make, a User-Agent of ours.
  package var givenHeaders: [RequestHeader] = []
  /// Value of User-Agent.
  package var agent = "audiofork"
  /// Further texts in it that must not be shown: values of secret parameters, as they stand in the URL.
  package var secrets: [[UInt8]] = []

  package init(host: [UInt8], target: [UInt8]) {
    self.host = host
    self.target = target
  }

  /// A fresh Sec-WebSocket-Key.
  package static func makeKey(using random: inout some RandomNumberGenerator) -> String {
    NIOWebSocketClientUpgrader.randomRequestKey(using: &random)
  }

  /// The request's head with this Sec-WebSocket-Key.
  package func head(key: String) -> HTTPRequestHead {
    var fields = HTTPHeaders()
    fields.add(name: "Host", value: escaped(host, keeping: { $0 > 32 && $0 < 127 }))
    fields.add(name: "Upgrade", value: "websocket")
    fields.add(name: "Connection", value: "Upgrade")
    fields.add(name: "Sec-WebSocket-Key", value: key)
    fields.add(name: "Sec-WebSocket-Version", value: "13")
    if !subprotocols.isEmpty {
      fields.add(name: "Sec-WebSocket-Protocol", value: subprotocols.joined(separator: ", "))
    }
    if let credentials = BasicCredentials(userInformation), !isGiven("authorization") {
      fields.add(name: "Authorization", value: credentials.value)
    }
    if !isGiven("user-agent") { fields.add(name: "User-Agent", value: agent) }
    for header in headers {
      let value =
        header.isEncoded ? escaped(header.value, keeping: { $0 > 32 && $0 < 127 }) : headerValue(header.value)
      fields.add(name: header.name, value: value)
    }
    for header in givenHeaders {
      let isUTF8 = String(validating: header.value, as: UTF8.self) != nil
      fields.add(
        name: escaped(Array(header.name.utf8)) { $0 > 32 && $0 < 127 && $0 != UInt8(ascii: ":") },
        value: escaped(header.value) { $0 >= 32 && $0 != 127 && ($0 < 128 || isUTF8) })
    }
    return HTTPRequestHead(
      version: .http1_1, method: .GET, uri: escaped(target, keeping: { $0 > 32 && $0 < 127 }), headers: fields)
  }

  /// Texts of the request that must not be shown in a log, should the server repeat them.
  var secretTexts: [String] {
    var texts = secrets + secrets.map(percentDecoded) + (BasicCredentials(userInformation)?.secrets ?? [])
    for header in givenHeaders {
      // A value may be a scheme and a secret: `Bearer …`.
      texts += [header.value] + header.value.split(separator: UInt8(ascii: " ")).dropFirst().map(Array.init)
    }
    return sortedSecrets(texts)
  }

  /// The request without the user's headers and the URL's user information. They still are texts that must not be
  /// shown: a server that knows them may have sent us here with them.
  package var withoutCredentials: UpgradeRequest {
    var request = self
    request.secrets = secretTexts.map { Array($0.utf8) }
    request.givenHeaders = []
    request.userInformation = []
    return request
  }

  /// A server's text without what must not be shown, however it is escaped.
  package func withoutSecrets(_ text: String) -> String { RefusalText.cleaned(text, secrets: secretTexts) }

  /// Whether the user gave a header with this name, here in lower case.
  private func isGiven(_ name: String) -> Bool { givenHeaders.contains { $0.name.lowercased() == name } }
}

/// A header value that cannot end its line: visible ASCII stays as it is; blanks, '%', control characters and all
/// that is not ASCII are percent-encoded, so that the server can restore them.
package func headerValue(_ value: [UInt8]) -> String {
  escaped(value, keeping: { $0 > 32 && $0 < 127 && $0 != UInt8(ascii: "%") })
}

private func escaped(_ bytes: [UInt8], keeping isKept: (UInt8) -> Bool) -> String {
  String(decoding: percentEncoded(bytes, keeping: isKept), as: UTF8.self)
}
