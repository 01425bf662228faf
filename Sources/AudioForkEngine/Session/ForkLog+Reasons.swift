// SPDX-License-Identifier: Apache-2.0
package import AudioForkMedia

/// Reasons in words, and what to do about them.
extension ForkLog {
  /// The reason of an outage that a Close without a code began.
  package static let emptyClose = "server: closed without a code"

  /// Returns the reason in ENDED: a word, a colon and text.
  package static func reason(_ ending: ForkEnding, undeliveredMilliseconds: Int64) -> String {
    switch ending {
    case .delivered: "done: all audio was delivered"
    case .closedByServer(let close):
      "server: \(words(close))\(undeliveredMilliseconds > 0 ? "; \(undeliveredMilliseconds) ms unconfirmed" : "")"
    case .unreachable(0, _, let reason): "unreachable: \(reason); no attempts to reconnect are allowed"
    case .unreachable(let attempts, let time, let reason):
      "unreachable: \(count(attempts, "attempt")) failed in \(wholeSeconds(time)) s, the last one: \(reason)"
    case .refused(let reason): reason
    case .drainExpired(let reason) where undeliveredMilliseconds == 0:
      "done: all audio was delivered; there was no connection to say so\(reason.map { ": \($0)" } ?? "")"
    case .drainExpired(nil): "drain: \(undeliveredMilliseconds) ms undelivered"
    case .drainExpired(let reason?): "drain: \(undeliveredMilliseconds) ms undelivered; \(reason)"
    case .broken(let reason): "ring: \(reason)"
    case .shutdown: "engine: stopping"
    case .forgotten: "forgotten: the module does not know the fork any more"
    }
  }

  private static func words(_ close: ServerClose) -> String {
    switch close {
    case .normal: "closed with 1000"
    case .withoutCode: "closed without a code, and no attempt to reconnect is left"
    case .twiceWithoutCode: "closed without a code twice within a minute"
    case .withoutCodeThenRefused(let reason): "closed without a code, then refused: \(reason)"
    }
  }

  /// Rounded up, at least one.
  private static func wholeSeconds(_ time: Duration) -> Int64 {
    let parts = time.components
    return max(parts.seconds + (parts.attoseconds > 0 ? 1 : 0), 1)
  }

  /// Returns what an administrator can do about a reason; empty if the reason says it.
  static func advice(_ reason: String) -> String {
    let advices = [
      ("http: 401", " (give credentials: a header in a profile, or user:password@ in the URL)"),
      ("http: 403", " (the server knows the request and refuses it: check the credentials and what they allow)"),
      ("http: 404", " (check the URL's path)"), ("http: 426", " (the server wants another WebSocket version or TLS)"),
      ("http: 3", " (give the URL that it leads to, or see redirects in audiofork.conf)"),
      ("credentials: ", " (the file has to be readable for Asterisk's user; it is read again at each attempt)"),
      ("connection: refused", " (check host and port, and that the server runs)"),
      ("dns: ", " (check the name, or give an address)"),
      (emptyClose, " (a second one within 60 s ends the fork; on_close = reconnect in a profile keeps it)"),
    ]
    return advices.first { reason.hasPrefix($0.0) }?.1 ?? ""
  }

  static func count(_ number: Int, _ thing: String) -> String { "\(number) \(thing)\(number == 1 ? "" : "s")" }
}

extension Nanoseconds {
  /// Seconds with a unit, with one decimal where they are not whole.
  package var shownSeconds: String {
    let tenths = wholeMilliseconds / 100
    return tenths % 10 == 0 ? "\(tenths / 10) s" : "\(tenths / 10).\(tenths % 10) s"
  }
}
