// SPDX-License-Identifier: Apache-2.0
import AudioForkBytes
import AudioForkSurface
import Testing

private func bytes(_ text: String) -> Bytes { Bytes(text.utf8) }
private func string(_ bytes: Bytes) -> String { String(decoding: bytes, as: UTF8.self) }

/// Lines of a profile and an option string. In both, `^{X}` has the value `X`.
struct GivenFork: Sendable, CustomTestStringConvertible {
  var lines: [String]
  var options = ""
  /// What the fork is made from in the end, as the engine is told it; nil: the fork is refused.
  var kept: [String]?
  /// Beginnings of the warnings, or of the refusal.
  var says: [String]

  var testDescription: String { lines.joined(separator: ", ") + " | " + options }

  func settled() throws -> ForkSources {
    var given = ForkSources()
    let value = { (call: ChannelCall) in call.name }
    for line in lines {
      let sign = try #require(line.firstIndex(of: "="))
      let template = ArgumentTemplate(bytes(String(line[line.index(after: sign)...])))
      let key = try #require(ProfileKey.named(bytes(String(line[..<sign]))))
      try given.add(key, template.text(value), isEvaluated: template.hasExpressions, place: bytes("profile p: "))
    }
    if options.contains("^{") {
      try given.add(options: bytes(options), evaluating: value)
    } else {
      try given.add(options: bytes(options))
    }
    try given.settle()
    return given
  }
}

extension ForkSource {
  fileprivate var told: String {
    switch text {
    case .url(let url): string(url)
    case .setting(let key, let value): "\(key.name)=\(string(value))"
    case .options(let options): string(options)
    case .option(let option): String(UnicodeScalar(option.letter)) + string(option.argument)
    }
  }
}

@Suite("Evaluated texts that contradict others")
struct ForkSourcesTests {
  private static let plain = "option T asks for TLS, but the URL begins with ws://"
  private static let subprotocol = "subprotocol cannot be chosen with dialect audiofork"
  private static let confirmation = "acknowledge = persisted needs dialect = audiofork"
  private static let pair = "cert_file and key_file belong together"

  private static let goesOn: [GivenFork] = [
    // Option T and a URL without TLS.
    GivenFork(
      lines: ["url=ws://h/"], options: "T(^{on})n", kept: ["ws://h/", "n"], says: ["option T(on) is left out: \(plain)"]
    ),
    GivenFork(
      lines: ["url=ws://h/"], options: "T(^{yes})", kept: ["ws://h/"], says: ["option T(yes) is left out: \(plain)"]),
    GivenFork(
      lines: ["url=ws://a/^{x}", "url=wss://b/"], options: "T", kept: ["wss://b/", "T"],
      says: ["profile p: url = 'ws://a/x' is left out: \(plain)"]),
    GivenFork(
      lines: ["url=ws://a/^{x}", "url=ws://b/?token=^{y}", "url=wss://c/"], options: "T(^{on})",
      kept: ["wss://c/", "Ton"],
      says: [
        "profile p: url = 'ws://b/?token=***' is left out: \(plain)",
        "profile p: url = 'ws://a/x' is left out: \(plain)",
      ]),
    GivenFork(
      lines: ["url=ws://a/^{x}"], options: "T(^{on})", kept: ["ws://a/x"],
      says: ["option T(on) is left out: \(plain)"]),
    GivenFork(
      lines: ["url=ws://a/", "url=wss://b/^{x}"], options: "T(^{on})", kept: ["ws://a/", "wss://b/x"],
      says: ["option T(on) is left out: \(plain)"]),
    // A sub-protocol and the dialect that is one.
    GivenFork(
      lines: ["url=ws://h/", "subprotocol=echo"], options: "w(^{audiofork})r(3)",
      kept: ["ws://h/", "subprotocol=echo", "r3"],
      says: ["option w(audiofork) is left out: \(subprotocol)"]),
    GivenFork(
      lines: ["url=ws://h/", "subprotocol=^{echo}"], options: "w(audiofork)", kept: ["ws://h/", "w(audiofork)"],
      says: ["profile p: subprotocol = 'echo' is left out: \(subprotocol)"]),
    GivenFork(
      lines: ["url=ws://h/", "subprotocol=^{echo}"], options: "w(^{audiofork})", kept: ["ws://h/", "waudiofork"],
      says: ["profile p: subprotocol = 'echo' is left out: \(subprotocol)"]),
    GivenFork(
      lines: ["url=ws://h/", "dialect=^{audiofork}", "subprotocol=echo"], options: "w(^{audiofork})",
      kept: ["ws://h/", "subprotocol=echo"],
      says: [
        "option w(audiofork) is left out: \(subprotocol)",
        "profile p: dialect = 'audiofork' is left out: \(subprotocol)",
      ]),
    // Texts that the dialect does not take.
    GivenFork(
      lines: ["url=ws://h/", "first_text=^{hello}", "last_text=^{eof}"], options: "w(audiofork)m(40)",
      kept: ["ws://h/", "w(audiofork)m(40)"],
      says: [
        "profile p: first_text = '...' is left out: first_text cannot be given with dialect audiofork",
        "profile p: last_text = '...' is left out: last_text cannot be given with dialect audiofork",
      ]),
    GivenFork(
      lines: ["url=ws://h/", "last_text=eof"], options: "w(^{audiofork})", kept: ["ws://h/", "last_text=eof"],
      says: ["option w(audiofork) is left out: last_text cannot be given with dialect audiofork"]),
    // A confirmation that the dialect does not have.
    GivenFork(
      lines: ["url=ws://h/", "acknowledge=^{persisted}"], kept: ["ws://h/", ""],
      says: ["profile p: acknowledge = 'persisted' is left out: \(confirmation)"]),
    GivenFork(
      lines: ["url=ws://h/", "dialect=audiofork", "acknowledge=persisted"], options: "w(^{raw})",
      kept: ["ws://h/", "dialect=audiofork", "acknowledge=persisted"],
      says: ["option w(raw) is left out: \(confirmation)"]),
    GivenFork(
      lines: ["url=ws://h/", "dialect=^{raw}", "acknowledge=persisted"], kept: ["ws://h/", "dialect=raw", ""],
      says: ["profile p: acknowledge = 'persisted' is left out: \(confirmation)"]),
    GivenFork(
      lines: ["url=ws://h/", "dialect=^{junk}", "acknowledge=persisted"], kept: ["ws://h/", ""],
      says: [
        "profile p: dialect = 'junk' is not accepted",
        "profile p: acknowledge = 'persisted' is left out: \(confirmation)",
      ]),
    GivenFork(
      lines: ["url=ws://h/", "acknowledge=persisted"], options: "w(^{junk})", kept: ["ws://h/"],
      says: [
        "option w is left out: its value 'junk'", "profile p: acknowledge = 'persisted' is left out: \(confirmation)",
      ]),
    // A certificate and its key.
    GivenFork(
      lines: ["url=wss://h/", "cert_file=/c", "key_file=^{junk}"], kept: ["wss://h/", ""],
      says: ["profile p: key_file = 'junk' is not accepted", "profile p: cert_file = '/c' is left out: \(pair)"]),
    GivenFork(
      lines: ["url=wss://h/", "cert_file=/c^{x}"], kept: ["wss://h/", ""],
      says: ["profile p: cert_file = '/cx' is left out: \(pair)"]),
    // Two at once.
    GivenFork(
      lines: ["url=ws://h/", "dialect=^{audiofork}", "subprotocol=echo", "acknowledge=persisted"], options: "T(^{on})",
      kept: ["ws://h/", "subprotocol=echo"],
      says: [
        "option T(on) is left out: \(plain)", "profile p: dialect = 'audiofork' is left out: \(subprotocol)",
        "profile p: acknowledge = 'persisted' is left out: \(confirmation)",
      ]),
    // What fits stays, and nothing is said.
    GivenFork(lines: ["url=wss://h/"], options: "T(^{on})w(^{raw})", kept: ["wss://h/", "Ton", "wraw"], says: []),
    GivenFork(
      lines: ["url=wss://h/", "dialect=^{raw}"], options: "w(audiofork)",
      kept: ["wss://h/", "dialect=raw", "w(audiofork)"],
      says: []),
  ]

  @Test(
    "An evaluated text that contradicts another one is left out with one warning, and the fork goes on",
    arguments: goesOn)
  func leftOut(given: GivenFork) throws {
    let settled = try given.settled()
    #expect(settled.sources.map { $0.told } == given.kept)
    let warnings = settled.options.warnings.map(string)
    #expect(warnings.count == given.says.count, "\(warnings)")
    for (warning, beginning) in zip(warnings, given.says) { #expect(warning.hasPrefix(beginning)) }
    #expect(settled.options.brokenRule == nil)
  }

  private static let refused: [GivenFork] = [
    GivenFork(lines: ["url=ws://h/", "header=A: ^{x}"], options: "T", says: [plain]),
    GivenFork(lines: ["url=ws://h/"], options: "T(^{on})T", says: [plain]),
    GivenFork(lines: ["url=ws://h/"], options: "TH(A: ^{x})", says: [plain]),
    // No value turns TLS off.
    GivenFork(lines: ["url=ws://h/^{x}"], options: "T", says: [plain]),
    GivenFork(lines: ["url=ws://a/", "url=wss://b/^{x}"], options: "T", says: [plain]),
    GivenFork(lines: ["url=ws://h/^{x}", "subprotocol=echo"], options: "w(audiofork)", says: [subprotocol]),
    GivenFork(
      lines: ["url=ws://h/", "dialect=audiofork", "subprotocol=echo"], options: "w(^{audiofork})", says: [subprotocol]),
    GivenFork(lines: ["url=ws://h/", "acknowledge=persisted"], options: "D(^{in})", says: [confirmation]),
    GivenFork(lines: ["url=ws://h/^{x}", "cert_file=/c"], says: [pair]),
    GivenFork(
      lines: ["url=ws://h/", "dialect=^{raw}", "acknowledge=persisted"], options: "w(raw)H(bad)", says: ["option H"]),
  ]

  @Test("What contradicts itself as it was written is refused, whatever is evaluated besides", arguments: refused)
  func refusedAsWritten(given: GivenFork) throws {
    let error = #expect(throws: OptionError.self) { try given.settled() }
    #expect(
      error.map { string($0.message).hasPrefix(given.says[0]) } == true, "\(error.map { string($0.message) } ?? "")")
  }

  @Test("Without its evaluated size the buffer is the one before; the last URL is never left out")
  func parts() throws {
    var given = try GivenFork(lines: ["url=ws://h/^{x}", "buffer=2", "buffer=^{600}"], says: []).settled()
    #expect(given.options.bufferSeconds == 600)
    var isLeftOut = given.leaveOutEvaluated(.buffer, because: bytes("no room"))
    #expect(isLeftOut && given.options.bufferSeconds == 2)
    #expect(given.options.warnings.map(string) == ["profile p: buffer = '600' is left out: no room"])
    isLeftOut = given.leaveOutEvaluated(.buffer, because: bytes("no room"))
    #expect(!isLeftOut && given.options.bufferSeconds == 2)
    isLeftOut = given.leaveOut(given.options.endpoints[0], because: bytes("not allowed"))
    #expect(!isLeftOut && given.options.endpoints.count == 1 && given.options.warnings.count == 1)
  }

  @Test("on_failure evaluated to nonsense is strict, also when the options are made again")
  func strict() throws {
    let given = try GivenFork(lines: ["url=ws://h/", "on_failure=^{junk}"], options: "T(^{on})", says: []).settled()
    #expect(given.options.hangsUpOnFailure && given.options.tls == .none)
  }
}
