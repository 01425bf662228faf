// SPDX-License-Identifier: Apache-2.0
internal import NIOHTTP1

/// What a server says about its refusal, in a form for one line of a log.
///
/// All of it is a stranger's text: control characters are replaced, it is cut, and what the request held that could be
/// a secret is taken out, because pages for debugging repeat a request's headers.
struct RefusalText {
  /// Longest piece of a body in a log, bytes.
  static let bytesMax = 200

  private let head: HTTPResponseHead
  private let body: String
  private let secrets: [String]
  /// The body may go on behind what was read of it.
  private let isCut: Bool

  /// `secrets`: texts that must not be shown, whatever the server says.
  init(_ head: HTTPResponseHead, body: [UInt8], secrets: [String]) {
    self.head = head
    // A compressed body says nothing to a reader; nobody asked for it.
    let isReadable = head.headers["Content-Encoding"].allSatisfy { $0.lowercased() == "identity" }
    isCut = head.headers.first(name: "Content-Length").flatMap { Int($0) } != body.count
    let text = isReadable ? String(decoding: body, as: UTF8.self) : ""
    self.body = RefusalText.isMarkup(text) ? RefusalText.withoutMarkup(text) : text
    self.secrets = secrets
  }

  /// The answer in one line: status, the server's words or the redirect's target, and what to do where these tell.
  /// `offered`: our sub-protocols, nil where they cannot be changed. `isPlain`: the connection has no TLS.
  func line(offered: [String]?, isPlain: Bool) -> String {
    var line = "http: \(status)"
    if (300..<400).contains(head.status.code) {
      guard let location = head.headers.first(name: "Location") else { return line }
      return line + " to '\(shown(cleaned(RefusalText.withoutQuery(location)), bytesMax: RefusalText.bytesMax))'"
    }
    if let words { line += ": \(words)" }
    if let hint = hint(offered: offered, isPlain: isPlain) { line += "; \(hint)" }
    return line
  }

  /// Status and the server's words.
  var summary: String { words.map { "\(status): \($0)" } ?? status }

  private var status: String {
    let phrase = shown(cleaned(head.status.reasonPhrase))
    return "\(head.status.code)\(phrase.isEmpty ? "" : " ")\(phrase)"
  }

  /// The body's first line that says more than the status does.
  var words: String? {
    let known = [head.status.reasonPhrase.lowercased(), "\(head.status.code)"]
    for line in body.split(whereSeparator: \.isNewline) {
      var text = line.split(whereSeparator: \.isWhitespace).joined(separator: " ")
      // Pages of nginx and others repeat the number.
      if text.hasPrefix("\(head.status.code) ") { text.removeFirst(4) }
      let bare = text.lowercased().filter { $0 != "." && $0 != "!" }
      guard text.contains(where: { $0.isLetter || $0.isNumber }), !known.contains(bare) else { continue }
      return shown(cleaned(text, isCut: isCut && line.endIndex == body.endIndex), bytesMax: RefusalText.bytesMax)
    }
    return nil
  }

  /// What administrators get wrong most often, by the words of nginx, Apache, Go, Caddy and Python's websockets.
  private func hint(offered: [String]?, isPlain: Bool) -> String? {
    let text = body.lowercased()
    func mentions(_ words: String...) -> Bool { words.contains { text.contains($0) } }
    if isPlain,
      head.status.code == 497
        || mentions(
          "plain http request was sent to https", "plain http to an ssl", "http request to an https",
          "http request was sent to https")
    {
      return RefusalText.needsTLS
    }
    if !isPlain, head.status.code == 496 || mentions("no required ssl certificate was sent") {
      return "the server wants a client certificate: set cert_file and key_file in a profile"
    }
    if !isPlain, head.status.code == 495 || mentions("ssl certificate error", "client certificate") {
      return
        "the server wants another client certificate: cert_file in a profile has to be from an authority that it trusts"
    }
    if let offered, mentions("subprotocol", "sub-protocol", "sec-websocket-protocol") {
      let ours = offered.isEmpty ? "none was" : "'\(offered.joined(separator: ", "))' was"
      return "\(ours) offered: set the one that the server wants with subprotocol in a profile"
    }
    return nil
  }

  static let needsTLS = "this port speaks TLS: use wss://"

  // MARK: - Cleaning

  /// Without the secrets, however the server has escaped them. `isCut`: what it ends with may begin a secret.
  private func cleaned(_ text: String, isCut: Bool = false) -> String {
    RefusalText.cleaned(text, secrets: secrets, isCut: isCut)
  }

  /// Any text without the secrets. `secrets`: the longest first.
  static func cleaned(_ text: String, secrets: [String], isCut: Bool = false) -> String {
    var text = text
    for secret in secrets { text = text.replacing(secret, with: "***") }
    for secret in secrets { text = EscapedText(text).replacing(EscapedText(secret), isCut: isCut) }
    return text
  }

  /// A URL without query, fragment, and what stands before an at sign, wherever that is: it could be a password.
  private static func withoutQuery(_ url: String) -> String {
    let end = url.firstIndex { $0 == "?" || $0 == "#" } ?? url.endIndex
    var start = url[..<end]
    if let slashes = start.firstRange(of: "//"), let at = start.lastIndex(of: "@"), at >= slashes.upperBound {
      start = start[..<slashes.upperBound] + "..." + start[at...]
    }
    return end < url.endIndex && url[end] == "?" ? start + "?..." : String(start)
  }

  private static func isMarkup(_ text: String) -> Bool { text.first { !$0.isWhitespace && $0 != "\u{FEFF}" } == "<" }

  /// Tags that do not end a line.
  private static let inlineTags: Set<String> = ["a", "b", "i", "em", "strong", "code", "span", "tt", "small", "u"]
  /// Elements whose content is not for readers.
  private static let hiddenTags: Set<String> = ["script", "style"]

  /// HTML as text: a line for each block, without scripts, styles and comments.
  private static func withoutMarkup(_ html: String) -> String {
    var text = ""
    var rest = html[...]
    while let open = rest.firstIndex(of: "<") {
      text += rest[..<open]
      rest = rest[open...]
      if rest.hasPrefix("<!--") {
        rest = rest.firstRange(of: "-->").map { rest[$0.upperBound...] } ?? ""
        continue
      }
      let end = rest.firstIndex(of: ">") ?? rest.endIndex
      let tag = rest[..<end].dropFirst()
      let name = tag.drop { $0 == "/" }.prefix { $0.isLetter || $0.isNumber }.lowercased()
      rest = end < rest.endIndex ? rest[rest.index(after: end)...] : ""
      if tag.first != "/", hiddenTags.contains(name) { rest = skipped(rest, to: "</\(name)") }
      if !inlineTags.contains(name) { text += "\n" }
    }
    text += rest
    for (entity, character) in [
      ("&nbsp;", " "), ("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&"),
    ] {
      text = text.replacing(entity, with: character)
    }
    return text
  }

  /// The text from `end` on, whatever its letter case; empty without it.
  private static func skipped(_ text: Substring, to end: String) -> Substring {
    var rest = text
    while let open = rest.firstIndex(of: "<") {
      rest = rest[open...]
      if rest.prefix(end.count).lowercased() == end { return rest }
      rest = rest.dropFirst()
    }
    return ""
  }
}
