// SPDX-License-Identifier: Apache-2.0
package import AudioForkMedia

/// When a server that refuses wants to be asked again: the header Retry-After (RFC 9110 section 10.2.3).
package enum RetryAfter: Equatable, Sendable {
  case seconds(Int64)
  /// A date: seconds since 1970.
  case at(Int64)

  /// A longer wait is a mistake of the server.
  private static let secondsMax: Int64 = 86_400

  /// Reads the header's value: a number of seconds, or a date as HTTP writes it today
  /// (`Sun, 06 Nov 1994 08:49:37 GMT`). Nil for anything else.
  package init?(_ value: String) {
    let words = value.split(separator: " ")
    if words.count == 1, let seconds = RetryAfter.number(words[0]) {
      self = .seconds(min(seconds, RetryAfter.secondsMax))
      return
    }
    guard words.count == 6, words[0].hasSuffix(","), words[5] == "GMT", let day = RetryAfter.number(words[1]),
      let month = RetryAfter.months.firstIndex(of: String(words[2])), let year = RetryAfter.number(words[3]),
      (1...31).contains(day), (1970...9999).contains(year)
    else { return nil }
    let clock = words[4].split(separator: ":", omittingEmptySubsequences: false).map { RetryAfter.number($0) }
    guard clock.count == 3, let hour = clock[0], let minute = clock[1], let second = clock[2], hour < 24, minute < 60,
      second <= 60
    else { return nil }
    self = .at(
      RetryAfter.days(year, Int64(month) + 1, day) * 86_400 + hour * 3600 + minute * 60 + second)
  }

  /// How long to wait from `now` on, at least 0.
  package func wait(now: WallTime) -> Nanoseconds {
    switch self {
    case .seconds(let seconds): .seconds(seconds)
    case .at(let time): .seconds(min(max(time - now.secondsSince1970, 0), RetryAfter.secondsMax))
    }
  }

  private static let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

  private static func number(_ text: some StringProtocol) -> Int64? {
    guard !text.isEmpty, text.utf8.count <= 10, text.utf8.allSatisfy({ (48...57).contains($0) }) else { return nil }
    return Int64(text)
  }

  /// Days since 1970 of a date in the Gregorian calendar; years begin in March here, so that a leap day is the last.
  private static func days(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64 {
    let y = month <= 2 ? year - 1 : year
    let ofYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
    return y * 365 + y / 4 - y / 100 + y / 400 + ofYear - 719_468
  }
}
