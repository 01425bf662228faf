// SPDX-License-Identifier: Apache-2.0
import AudioForkEngine
import AudioForkSurface
import Testing

private func url(_ text: String) throws -> EndpointURL { try EndpointURL.parse(Array(text.utf8)) }

/// A URL as it would be written, its port always there.
private func written(_ url: EndpointURL) -> String {
  let text = String(decoding: url.host, as: UTF8.self)
  let host = url.isIPv6Literal ? "[\(text)]" : text
  return "\(url.isSecure ? "wss" : "ws")://\(host):\(url.port)\(String(decoding: url.target, as: UTF8.self))"
}

@Suite("Where a Location leads")
struct LocationReferenceTests {
  @Test(
    "It is resolved against the URL that was asked",
    arguments: [
      ("wss://b.example/x?y", "wss://b.example:443/x?y"), ("https://b.example:8443", "wss://b.example:8443/"),
      ("HTTP://b.example/", "ws://b.example:80/"), ("ws://b.example#f", "ws://b.example:80/"),
      ("//b.example/x", "ws://b.example:80/x"), ("/x/y?z", "ws://a.example:8080/x/y?z"),
      ("x", "ws://a.example:8080/b/x"),
      ("../x", "ws://a.example:8080/x"), ("../../../x", "ws://a.example:8080/x"), (".", "ws://a.example:8080/b/"),
      ("..", "ws://a.example:8080/"), ("./x/../y/", "ws://a.example:8080/b/y/"),
      ("?q=1", "ws://a.example:8080/b/c?q=1"),
      ("#f", "ws://a.example:8080/b/c?d=e"), ("/a/./b/../c", "ws://a.example:8080/a/c"),
      ("/..", "ws://a.example:8080/"),
      ("x/y:z", "ws://a.example:8080/b/x/y:z"), ("1a:b", "ws://a.example:8080/b/1a:b"),
      ("//[2001:db8::1]:81/x", "ws://[2001:db8::1]:81/x"), (" \t/x ", "ws://a.example:8080/x"),
      ("/%2e%2e/x", "ws://a.example:8080/%2e%2e/x"),
      ("/ü", "ws://a.example:8080/ü"), ("/?a=../b", "ws://a.example:8080/?a=../b"),
      ("//b.example?a/../b", "ws://b.example:80/?a/../b"),
    ])
  func resolved(location: String, expected: String) throws {
    let base = try url("ws://user:pass@a.example:8080/b/c?d=e")
    #expect(try written(LocationReference.resolve(location, against: base)) == expected)
  }

  @Test(
    "What is none is refused",
    arguments: [
      ("", "does not say"), ("  ", "does not say"), ("javascript:alert(1)", "no URL"), ("data:text/html,x", "no URL"),
      ("ftp://a.example/", "no URL"),
      ("http:/x", "no URL"), ("https:x", "no URL"), ("ws://", "no URL"), ("//", "no URL"), ("///x", "no URL"),
      ("ws://b.example:0/", "no URL"),
      ("ws://b.example:99999/", "no URL"), ("ws://b.example:80:80/", "no URL"), ("ws://bücher.example/", "no URL"),
      ("ws://b.example/\r\nX: y", "no URL"), ("/a b", "no URL"), ("/a\u{0}b", "no URL"), ("ws://[::1/", "no URL"),
      ("ws://[g]/", "no URL"),
      ("ws://u:p@a.example/", "user information"), ("//u@a.example/", "user information"),
      ("ws://a.example\\@b.example/", "user information"), ("ws://a.example%2f@b.example/", "user information"),
    ])
  func refused(location: String, reason: String) throws {
    let base = try url("ws://a.example/")
    let failure = #expect(throws: LocationReference.Failure.self) {
      try LocationReference.resolve(location, against: base)
    }
    #expect(try #require(failure).reason.contains(reason))
    #expect(try #require(failure).reason.utf8.count < 100, "nothing of the Location is in it")
  }

  @Test("64 KiB are refused, and so is a path that is too long only behind the host")
  func tooLong() throws {
    #expect(throws: LocationReference.Failure(reason: "its Location is longer than 4096 characters")) {
      try LocationReference.resolve("/" + String(repeating: "a", count: 65_536), against: try url("ws://a.example/"))
    }
    let base = try url("ws://a.example/" + String(repeating: "a", count: 3000) + "/")
    #expect(throws: LocationReference.Failure.self) {
      try LocationReference.resolve(String(repeating: "b", count: 2000), against: base)
    }
  }
}

@Suite("Which redirects are followed")
struct RedirectChainTests {
  @Test(
    "By policy, host and scheme; secrets go to the same origin, and from ws to wss on one host",
    arguments: [
      ("ws://a.example/", "/x", RedirectPolicy.sameHost, nil, true),
      ("ws://a.example/", "/x", .no, "redirects = no", true),
      ("ws://a.example/", "ws://A.Example.:81/", .sameHost, nil, false),
      ("ws://a.example/", "https://a.example/", .sameHost, nil, true),
      ("ws://a.example:8080/", "https://a.example:8443/", .sameHost, nil, true),
      ("ws://a.example/", "ws://b.example/", .sameHost, "another host", true),
      ("ws://a.example/", "ws://b.example/", .yes, nil, false),
      ("ws://a.example/", "wss://b.example/", .yes, nil, false),
      ("wss://a.example/", "ws://a.example/", .yes, "from wss:// to ws://", true),
      ("wss://a.example/", "http://a.example:443/", .sameHost, "from wss:// to ws://", true),
      ("wss://a.example/", "//a.example:444/", .sameHost, nil, false),
      ("ws://a.example:80/", "ws://a.example/", .sameHost, nil, true),
      ("ws://a.example/", "ws://a.example.evil.example/", .sameHost, "another host", true),
      ("ws://[::1]/", "ws://[::1]/x", .sameHost, nil, true),
      ("ws://a.example/", "ws://forbidden.example/", .yes, "no line allow", true),
      ("ws://a.example/", "javascript:x", .yes, "no URL", true),
    ] as [(String, String, RedirectPolicy, String?, Bool)])
  func once(from: String, location: String, policy: RedirectPolicy, refusal: String?, isTrusted: Bool) throws {
    let start = try url(from)
    var chain = RedirectChain(start, policy)
    let decision = chain.follow(location) { $0.host != Array("forbidden.example".utf8) }
    if let refusal {
      guard case .refuse(let why) = decision else { return #expect(Bool(false), "\(decision)") }
      #expect(why.contains(refusal))
      #expect(chain.url == start && chain.count == 0)
    } else {
      #expect(decision == .follow)
      #expect(chain.count == 1)
    }
    #expect(chain.isTrusted == isTrusted)
  }

  @Test("Three in a row, and no fourth")
  func loop() throws {
    var chain = RedirectChain(try url("ws://a.example/1"), .sameHost)
    for number in 2...4 {
      let decision = chain.follow("/\(number)") { _ in true }
      #expect(decision == .follow)
    }
    let last = chain.follow("/5") { _ in true }
    #expect(last == .refuse("it is the 4th redirect in a row"))
    #expect(written(chain.url) == "ws://a.example:80/4")
  }

  @Test("Who has left the origin gets no secrets any more, although it is led back; after an upgrade it does")
  func back() throws {
    var away = RedirectChain(try url("wss://a.example/"), .yes)
    _ = away.follow("wss://b.example/") { _ in true }
    _ = away.follow("wss://a.example/") { _ in true }
    #expect(away.count == 2 && !away.isTrusted)
    var upgraded = RedirectChain(try url("ws://a.example/"), .sameHost)
    _ = upgraded.follow("wss://a.example/") { _ in true }
    _ = upgraded.follow("/x") { _ in true }
    #expect(upgraded.count == 2 && upgraded.isTrusted)
    _ = upgraded.follow("wss://a.example:444/x") { _ in true }
    #expect(!upgraded.isTrusted)
    // Same-host is the host of the URL that was asked, which is always the fork's own.
    #expect(written(upgraded.url) == "wss://a.example:444/x")
  }
}
