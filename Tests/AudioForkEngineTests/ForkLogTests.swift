// SPDX-License-Identifier: Apache-2.0
import AudioForkMedia
import AudioForkEngine
import AudioForkLink
import AudioForkTestKit
import Testing

@Suite("Lines for Asterisk's log")
struct ForkLogTests {
  private let journal = ForkLog(id: "af-1", channel: "PJSIP/a-1", endpoint: "ws://x/")

  private func limits(_ attemptsMax: Int?, outage: Int? = nil) -> ForkLimits {
    ForkLimits(
      attemptsMax: attemptsMax, outageMax: outage.map { .seconds($0) }, waitMax: .seconds(5), drain: .seconds(10))
  }

  private func text(_ message: EngineMessage?) -> String {
    if case .log(_, _, let text)? = message { return text }
    return ""
  }

  @Test(
    "A refusal comes with what to do about it, which is no part of the reason",
    arguments: [
      ("http: 401 Unauthorized", "credentials"), ("http: 403 Forbidden", "credentials"),
      ("http: 404 Not Found", "path"),
      ("http: 302 Found", "give the URL that it leads to"), ("http: 426 Upgrade Required", "TLS"),
      ("connection: refused; nothing listens there", "that the server runs"),
      ("dns: the host name 'x' is not known", "check the name"),
    ])
  func advice(reason: String, advice: String) {
    let began = text(journal.outageBegan(reason, .limits(limits(3))))
    #expect(began.contains(reason))
    #expect(began.contains(advice))
    let ended = text(journal.ended(.unreachable(attempts: 2, reason: reason), undeliveredMilliseconds: 0))
    #expect(ended.contains(advice))
    #expect(!ForkLog.reason(.refused(reason), undeliveredMilliseconds: 0).contains(advice))
  }

  @Test("Every ending that leaves audio undelivered says in the log how much; a delivery says nothing")
  func undelivered() {
    let endings: [ForkEnding] = [
      .closedByServer(.normal), .closedByServer(.withoutCode), .closedByServer(.twiceWithoutCode),
      .closedByServer(.withoutCodeThenRefused("http: 404")), .unreachable(attempts: 2, reason: "dns: x"),
      .unreachable(attempts: 0, reason: "dns: x"),
      .refused("http: 403"), .drainExpired(nil), .drainExpired("dns: x"), .broken("x"),
    ]
    for ending in endings {
      #expect(text(journal.ended(ending, undeliveredMilliseconds: 120)).contains("120 ms"), "\(ending)")
    }
    for ending in [ForkEnding.delivered, .shutdown, .forgotten] {
      #expect(journal.ended(ending, undeliveredMilliseconds: 0) == nil)
    }
    #expect(
      ForkLog.reason(.closedByServer(.normal), undeliveredMilliseconds: 120)
        == "server: closed with 1000; 120 ms unconfirmed")
    func reason(_ close: ServerClose) -> String { ForkLog.reason(.closedByServer(close), undeliveredMilliseconds: 0) }
    #expect(reason(.normal) == "server: closed with 1000")
    #expect(reason(.withoutCode) == "server: closed without a code, and no attempt to reconnect is left")
    #expect(reason(.twiceWithoutCode) == "server: closed without a code twice within a minute")
    #expect(
      reason(.withoutCodeThenRefused("http: 404 Not Found"))
        == "server: closed without a code, then refused: http: 404 Not Found")
  }

  @Test("A first connection is not one again, and lines name the endpoint that they are about")
  func connected() {
    var journal = journal
    journal.endpoint = "ws://y/"
    let first = text(journal.outageOver(attempts: 2, lagMilliseconds: 100, isFirst: true))
    #expect(first == "AudioFork af-1 on PJSIP/a-1 to ws://y/: connected after 2 attempts, 100 ms behind; catching up")
    #expect(
      text(journal.outageOver(attempts: 1, lagMilliseconds: 100, isFirst: false)).contains(
        "connected again after 1 attempt,"))
    let level = text(journal.outageOver(attempts: 1, lagMilliseconds: 99, isFirst: false))
    #expect(level.hasSuffix(": connected again after 1 attempt"), "there is nothing to catch up")
  }

  @Test("Attempts are counted in words that are true for one, for several, and for several URLs")
  func attempts() {
    func began(_ attemptsMax: Int?, _ endpointCount: Int, outage: Int? = nil) -> String {
      let limits = limits(attemptsMax, outage: outage)
      return text(journal.outageBegan("dns: x", .limits(limits), endpointCount: endpointCount))
    }
    #expect(began(1, 1).contains("; trying again, once. The audio"))
    #expect(began(20, 1).contains("; trying again, at most 20 times. The audio"))
    #expect(began(2, 2).contains("; trying again, at most 2 times at each of 2 URLs. The audio"))
    #expect(began(1, 2).contains("; trying again, once at each of 2 URLs. The audio"))
    func ended(_ attempts: Int, _ time: Duration) -> String {
      ForkLog.reason(.unreachable(attempts: attempts, after: time, reason: "x"), undeliveredMilliseconds: 0)
    }
    #expect(ended(1, .zero) == "unreachable: 1 attempt failed in 1 s, the last one: x")
    #expect(ended(61, .milliseconds(300_001)) == "unreachable: 61 attempts failed in 301 s, the last one: x")
  }

  @Test("An outage says for how long the fork tries, and a refusal what ends it")
  func endurance() {
    func began(_ reason: String, _ endurance: ForkLog.Endurance, _ endpointCount: Int = 1) -> String {
      text(journal.outageBegan(reason, endurance, endpointCount: endpointCount))
    }
    #expect(began("dns: x", .limits(limits(nil, outage: 300)), 2).contains("; trying again for up to 300 s. The audio"))
    #expect(began("dns: x", .limits(limits(nil))).contains("; trying again until the call ends. The audio"))
    #expect(
      began("dns: x", .limits(limits(9, outage: 60))).contains("; trying again, at most 9 times, for up to 60 s. The"))
    #expect(
      began("http: 404 Not Found", .refusal).contains(
        "(check the URL's path); trying again: the fork ends if it is refused so for 3 s. The audio"))
    #expect(began("http: 404 Not Found", .refusal, 2).contains(": the fork ends if each of 2 URLs refuses so for 3 s."))
    #expect(began(ForkLog.emptyClose, .limits(limits(nil))).contains("on_close = reconnect"))
  }

  @Test("A redirect is told once for each server, whatever its path, and of many servers only the first ones")
  func redirects() {
    var journal = journal
    func told(_ place: String) -> String? { journal.redirected(to: place).map { text($0) } }
    #expect(told("ws://a.example:1/x/1?...")?.contains(": redirected to ws://a.example:1/x/1?...; each new") == true)
    for place in ["ws://a.example:1/x/2?...", "ws://a.example:1/y", "ws://a.example:1", "ws://a.example:1?..."] {
      #expect(told(place) == nil, "\(place)")
    }
    #expect(told("wss://a.example:1/x/1") != nil && told("ws://a.example:2/x/1") != nil)
    let lines = (0..<100).compactMap { told("ws://node\($0).example/x") }
    #expect(lines.count == ForkLog.redirectsToldMax - 3)
    #expect(lines.last?.hasSuffix("Other servers are not logged any more: see 'audiofork show fork'") == true)
    #expect(!lines.dropLast().contains { $0.contains("any more") })
  }

  @Test("Each break says how long the fork waits, and one for silence how long the server may take next time")
  func breaks() {
    let silence = "connection: the server has not answered for 10 s"
    #expect(
      text(journal.outageBegan(silence, .limits(limits(nil, outage: 300)), nextSilence: .seconds(20))).hasSuffix(
        "trying again for up to 300 s. The audio waits in the ring meanwhile. On its next connection the server may "
          + "take 20 s to answer"))
    #expect(
      text(journal.brokeAgain(silence, breaks: 2, wait: .milliseconds(430), nextSilence: .milliseconds(14_000)))
        .hasSuffix(
          ": connection: the server has not answered for 10 s; reconnecting in 430 ms, break 2 of this outage. On its "
            + "next connection the server may take 14 s to answer"))
    #expect(
      text(journal.brokeAgain("connection: reset", breaks: 9, wait: .zero)).hasSuffix(
        ": connection: reset; reconnecting at once, break 9 of this outage"))
    #expect(Nanoseconds.milliseconds(10_500).shownSeconds == "10.5 s" && Nanoseconds.seconds(7).shownSeconds == "7 s")
  }

  @Test("Gaps are one line at once, then summed up, and the rest is told at the end")
  func gaps() {
    var journal = journal
    func gap(_ reason: Gap.Reason) -> Gap { Gap(direction: .in, start: 0, count: 80, reason: reason, position: 0) }
    let second: Int64 = 1_000_000_000
    let first = text(journal.noteGaps([gap(.overrun)], now: at(second)))
    #expect(first.contains("80 captured samples lost in 1 gap: overwritten in the ring"))
    #expect(journal.noteGaps([gap(.ahead), gap(.ahead)], now: at(2 * second)) == nil)
    #expect(journal.dueGapLine(now: at(5 * second), isLast: false) == nil)
    let later = text(journal.dueGapLine(now: at(6 * second), isLast: false))
    #expect(later.contains("160 captured samples lost in 2 gaps: more than two seconds ahead of the clock"))
    #expect(journal.noteGaps([gap(.overrun)], now: at(7 * second)) == nil)
    #expect(text(journal.dueGapLine(now: at(7 * second), isLast: true)).contains("80 captured samples lost in 1 gap"))
    #expect(journal.dueGapLine(now: at(60 * second), isLast: true) == nil)
  }
}
