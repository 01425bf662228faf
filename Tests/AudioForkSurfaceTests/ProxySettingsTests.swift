// SPDX-License-Identifier: Apache-2.0
import AudioForkBytes
import AudioForkSurface
import Testing

private func bytes(_ text: String) -> Bytes { Bytes(text.utf8) }
private func string(_ bytes: Bytes) -> String { String(decoding: bytes, as: UTF8.self) }

@Suite("Settings of the way to a server")
struct ProxySettingsTests {
  private func apply(_ key: String, _ value: String) throws -> ForkOptions {
    var options = ForkOptions()
    try options.apply(#require(ProfileKey.named(bytes(key))), bytes(value))
    return options
  }

  @Test(
    "A proxy is a host and a port, with a user that no log shows",
    arguments: [
      ("http://proxy.example:3128", "proxy.example", 3128, "", "http://proxy.example:3128"),
      ("HTTP://u:p%40w@10.0.0.1:80/", "10.0.0.1", 80, "u:p%40w", "http://10.0.0.1:80"),
      ("http://a@b:c@[::1]:8080", "::1", 8080, "a@b:c", "http://[::1]:8080"),
    ])
  func proxy(text: String, host: String, port: Int, user: String, shown: String) throws {
    let proxy = try #require(try apply("proxy", text).proxy)
    #expect(string(proxy.host) == host && proxy.port == port && string(proxy.userInformation) == user)
    #expect(string(proxy.shown) == shown)
    var options = try apply("proxy", text)
    try options.apply(#require(ProfileKey.named(bytes("proxy"))), [])
    #expect(options.proxy == nil, "an empty value is none")
  }

  @Test(
    "What is no proxy is refused, and not shown",
    arguments: [
      "proxy.example:3128", "https://proxy.example:3128", "http://proxy.example", "http://:3128", "http://p:0",
      "http://p:65536", "http://p:3128/x", "http://s3cret@p", "http://u:s3cret@p:1?x", "http://p:1#x", "http://p :1",
      "http://p:1\r\nX: y", "http://u:s3/cret@p:1", "http://[::1:1", "socks5://p:1", "http://",
    ])
  func noProxyAddress(text: String) throws {
    let key = try #require(ProfileKey.named(bytes("proxy")))
    var options = ForkOptions()
    let error = #expect(throws: OptionError.self) { try options.apply(key, bytes(text)) }
    #expect(
      string(try #require(error).message)
        == "proxy does not accept what it was given; it takes http://[user:password@]host:port, or nothing")
  }

  @Test(
    "no_proxy is compared with the host as the URL names it",
    arguments: [
      ("*", "ws://any.example/", true), ("", "ws://any.example/", false),
      ("a.example, b.example", "ws://B.Example:81/", true), ("a.example b.example", "wss://b.example./", true),
      ("example", "ws://a.example/", false), ("a.example.", "ws://a.example/", true),
      (".example", "ws://a.b.example/", true), (".example", "ws://example/", false),
      ("*.example", "ws://a.example/", true), (".example", "ws://badexample/", false),
      ("10.0.0.0/8", "ws://10.200.3.4/", true), ("10.0.0.0/8", "ws://11.0.0.1/", false),
      ("10.0.0.0/9", "ws://10.128.0.1/", false), ("10.0.0.0/9", "ws://10.127.255.255/", true),
      ("0.0.0.0/0", "ws://1.2.3.4/", true), ("0.0.0.0/0", "ws://name/", false), ("0.0.0.0/0", "ws://[::1]/", false),
      ("192.0.2.7", "ws://192.0.2.7:99/", true), ("192.0.2.7", "ws://192.0.2.70/", false),
      ("[2001:db8::1]", "ws://[2001:DB8:0:0::1]/", true), ("2001:db8::/33", "ws://[2001:db8:8000::1]/", false),
      ("2001:db8::/33", "ws://[2001:db8:7fff::1]/", true), ("::ffff:10.0.0.0/104", "ws://10.1.1.1/", true),
      ("10.0.0.0/8", "ws://[::ffff:10.1.1.1]/", true), (".1", "ws://10.0.0.1/", false),
      ("fe80::1", "ws://[fe80::1%25]/", true),
    ])
  func noProxy(list: String, url: String, isDirect: Bool) throws {
    let options = try apply("no_proxy", list)
    #expect(options.noProxy.contains(try EndpointURL.parse(bytes(url))) == isDirect)
  }

  @Test(
    "What is no such list is refused",
    arguments: [
      "host:80", "10.0.0.0/33", "10.0.0/8", "::/129", "::1/x", "ex*mple", ".", "*.", "a..", "..a", "http://x", "-\u{7}",
      "::ffff:10.0.0.0/8", "1.2.3.4/", "[", "a/8",
    ])
  func noList(text: String) throws {
    #expect(throws: OptionError.self) { try apply("no_proxy", text) }
  }

  @Test(
    "Addresses",
    arguments: [
      ("1.2.3.4", 4), ("255.255.255.255", 4), ("256.1.1.1", nil), ("1.2.3", nil), ("01.2.3.4", nil), ("1.2.3.4.5", nil),
      ("::", 16), ("::1", 16), ("1::", 16), ("1:2:3:4:5:6:7:8", 16), ("1:2:3:4:5:6:7", nil), ("1:2:3:4:5:6:7:8:9", nil),
      ("1:2:3:4:5:6:7::", 16), ("1:2:3:4:5:6:7:8::", nil), ("1::2::3", nil), (":::", nil), ("1:2:3:4:5:6:1.2.3.4", 16),
      ("::1.2.3.4", 16), ("::ffff:1.2.3.4", 4), ("1.2.3.4::", nil), ("::12345", nil), ("::g", nil),
      ("fe80::1%eth0", 16),
      ("", nil), (":", nil), ("1:", nil), (":1", nil),
    ] as [(String, Int?)])
  func addresses(text: String, count: Int?) {
    #expect(InternetAddress(bytes(text))?.bytes.count == count)
  }

  @Test("redirects, token_file and header_file take their forms, and the engine may read the files")
  func others() throws {
    #expect(ForkOptions().redirects == .sameHost)
    for (word, policy) in [("no", RedirectPolicy.no), ("Same-Host", .sameHost), ("yes", .yes)] {
      #expect(try apply("redirects", word).redirects == policy)
    }
    for (key, value) in [
      ("redirects", "maybe"), ("redirects", ""), ("token_file", "relative"), ("token_file", "/etc/../etc/shadow"),
      ("header_file", "/a/.."), ("header_file", ""), ("token_file", "/a\nb"),
    ] {
      #expect(throws: OptionError.self, "\(key) = \(value)") { try apply(key, value) }
    }
    #expect(try string(apply("token_file", "/run/secrets/token").tokenFile) == "/run/secrets/token")
    // The engine may read the files that settings name.
    for key in ["token_file", "header_file"] { #expect(ProfileKey.named(bytes(key))?.kind.pathUse == .file) }
    for key in ["token_file", "header_file", "proxy", "no_proxy", "redirects"] {
      #expect(ProfileKey.named(bytes(key))?.kind.takesExpressions == false, "\(key)")
    }
    #expect(ProfileKey.named(bytes("header"))?.kind.takesExpressions == true)
  }

  @Test("The lines allow reach the engine, which allows what they name")
  func allow() throws {
    let key = try #require(GeneralKey.named(bytes("allow")))
    var settings = EngineSettings()
    let url = try EndpointURL.parse(bytes("wss://a.example/x"))
    #expect(settings.allows(url))
    for (line, isAccepted) in [("ws://b.example", true), ("nonsense", false), ("wss://*.example/*", true)] {
      let wasAccepted = settings.set(key, bytes(line))
      #expect(wasAccepted == isAccepted, "\(line)")
    }
    let inEngine = EngineSettings(lines: settings.lines)
    #expect(inEngine == settings && inEngine.allows(url))
    #expect(try !inEngine.allows(EndpointURL.parse(bytes("ws://a.example/x"))))
    #expect(try inEngine.allows(EndpointURL.parse(bytes("ws://b.example/x"))))
    // A message of the link has room for all lines.
    let long = bytes("ws://" + String(repeating: "a", count: 900))
    var count = 0
    while settings.set(key, long) { count += 1 }
    #expect((100..<300).contains(count))
    #expect(settings.lines.reduce(0) { $0 + $1.count + 16 } < 262_144)
  }
}
