// SPDX-License-Identifier: Apache-2.0
import AudioForkMedia
import AudioForkTestKit
import AudioForkWebSocket
import NIOHTTP1
import Testing

@Suite("Retry-After")
struct RetryAfterTests {
  private static let day: Int64 = 86_400

  @Test("A number is seconds, with blanks around it or without, and never more than a day")
  func seconds() {
    #expect(RetryAfter("0") == .seconds(0))
    #expect(RetryAfter("120") == .seconds(120))
    #expect(RetryAfter("  007 ") == .seconds(7))
    #expect(RetryAfter("86400") == .seconds(Self.day))
    #expect(RetryAfter("86401") == .seconds(Self.day))
    #expect(RetryAfter("9999999999") == .seconds(Self.day))
    // Whenever it is.
    #expect(RetryAfter("120")?.wait(now: WallTime(secondsSince1970: 0)) == .seconds(120))
    #expect(RetryAfter("120")?.wait(now: WallTime(secondsSince1970: 1_700_000_000)) == .seconds(120))
  }

  @Test(
    "A number that no integer holds traps nothing and asks for no more than a day",
    arguments: [10, 11, 18, 19, 20, 21, 400, 60_000])
  func hugeNumbers(digits: Int) {
    let wait = RetryAfter(String(repeating: "9", count: digits))?.wait(now: 0) ?? 0
    #expect((0...Self.day).contains(wait.wholeSeconds))
  }

  @Test(
    "A date as HTTP writes it is seconds since 1970",
    arguments: [
      ("Thu, 01 Jan 1970 00:00:00 GMT", 0), ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777),
      ("Fri, 31 Dec 1999 23:59:60 GMT", 946_684_800), ("Tue, 29 Feb 2000 23:59:59 GMT", 951_868_799),
      ("Tue, 19 Jan 2038 03:14:07 GMT", 2_147_483_647), ("Mon, 01 Mar 2100 00:00:00 GMT", 4_107_542_400),
      ("Fri, 31 Dec 9999 23:59:59 GMT", 253_402_300_799),
    ] as [(String, Int64)])
  func dates(text: String, expected: Int64) {
    #expect(RetryAfter(text) == .at(expected))
  }

  @Test("Each day of a common year and of a leap year follows the one before")
  func calendar() {
    let names = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
    let lengths = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
    var midnight: Int64 = 1_672_531_200
    var wrong: [String] = []
    for year in [2023, 2024] {
      for (month, name) in names.enumerated() {
        for day in 1...(lengths[month] + (month == 1 && year == 2024 ? 1 : 0)) {
          let date = "Mon, \(day < 10 ? "0" : "")\(day) \(name) \(year) 00:00:01 GMT"
          if RetryAfter(date) != .at(midnight + 1) { wrong.append(date) }
          midnight += Self.day
        }
      }
    }
    #expect(wrong == [])
    #expect(midnight == 1_735_689_600, "the first day of 2025: the test's own count")
  }

  @Test("A date is waited for, a past one is now, and a distant one is a day away at most")
  func waits() throws {
    let date = try #require(RetryAfter("Sun, 06 Nov 1994 08:49:37 GMT"))
    let time: Int64 = 784_111_777
    #expect(date.wait(now: WallTime(secondsSince1970: time - 90)) == .seconds(90))
    #expect(date.wait(now: WallTime(secondsSince1970: time)) == .seconds(0))
    #expect(date.wait(now: WallTime(secondsSince1970: time + 1)) == .seconds(0))
    #expect(date.wait(now: WallTime(secondsSince1970: 1_700_000_000)) == .seconds(0))
    #expect(date.wait(now: WallTime(secondsSince1970: time - Self.day)) == .seconds(Self.day))
    #expect(date.wait(now: WallTime(secondsSince1970: time - Self.day - 1)) == .seconds(Self.day))
    #expect(
      RetryAfter("Fri, 31 Dec 9999 23:59:59 GMT")?.wait(now: WallTime(secondsSince1970: time)) == .seconds(Self.day))
  }

  @Test(
    "Anything else is nothing that was said",
    arguments: [
      "", " ", "-5", "+5", "5.0", "5s", "0x10", "１２", "1 2", "soon", "5, 6", "5;", "\u{0}5",
      // The zone, the comma, the month and the clock are as the RFC writes them.
      "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 1994 08:49:37 UTC", "Sun, 06 Nov 1994 08:49:37 GMT+1",
      "Sun 06 Nov 1994 08:49:37 GMT", "Sun, 06 nov 1994 08:49:37 GMT", "Sun, 06 11 1994 08:49:37 GMT",
      "Sun, 06 Nov 1994 08:49 GMT", "Sun, 06 Nov 1994 08:49:37:00 GMT", "Sun, 06 Nov 1994 08::37 GMT",
      "Sun, 06 Nov 1994 24:00:00 GMT", "Sun, 06 Nov 1994 08:60:00 GMT", "Sun, 06 Nov 1994 08:49:61 GMT",
      "Sun, 06 Nov 1994 -8:49:37 GMT", "Sun, 00 Nov 1994 08:49:37 GMT", "Sun, 32 Nov 1994 08:49:37 GMT",
      "Sun, 06 Nov 1969 08:49:37 GMT", "Sun, 06 Nov 10000 08:49:37 GMT", "Sun, 06 Nov 9999999999 08:49:37 GMT",
      "Sun, 06 Nov 1994 08:49:37 GMT GMT",
    ])
  func garbage(text: String) {
    #expect(RetryAfter(text) == nil)
  }

  @Test("A refusal carries what its header says, whether it is for good or not; a header that says nothing is none")
  func inTheAnswer() {
    let check = UpgradeCheck(key: "dGhlIHNhbXBsZSBub25jZQ==", subprotocolsOffered: [])
    func head(_ status: HTTPResponseStatus, _ values: String...) -> HTTPResponseHead {
      HTTPResponseHead(version: .http1_1, status: status, headers: HTTPHeaders(values.map { ("retry-after", $0) }))
    }
    func refusal(
      _ status: Int, _ phrase: String, kind: ConnectionFailure.Kind = .passing, retryAfter: RetryAfter? = nil
    ) -> ConnectionFailure {
      ConnectionFailure(
        "http: \(status) \(phrase)", kind: kind, retryAfter: retryAfter, answer: .init(status: status, text: ""))
    }
    #expect(throws: refusal(503, "Service Unavailable", retryAfter: .seconds(7))) {
      _ = try check.check(head(.serviceUnavailable, "7"))
    }
    #expect(throws: refusal(429, "Too Many Requests", retryAfter: .at(784_111_777))) {
      _ = try check.check(head(.tooManyRequests, "Sun, 06 Nov 1994 08:49:37 GMT"))
    }
    #expect(throws: refusal(403, "Forbidden", kind: .refused, retryAfter: .seconds(9))) {
      _ = try check.check(head(.forbidden, "9", "11"))
    }
    #expect(throws: refusal(503, "Service Unavailable")) {
      _ = try check.check(head(.serviceUnavailable, "soon"))
    }
    #expect(throws: refusal(503, "Service Unavailable")) {
      _ = try check.check(head(.serviceUnavailable))
    }
  }
}
