// SPDX-License-Identifier: Apache-2.0
package import AudioForkMedia
package import AudioForkLink
internal import AudioForkSurface

/// Makes the lines about one fork in Asterisk's log. It keeps three promises: normal operation causes no warning; an
/// outage causes two lines however many attempts it takes, and one more for each break worth telling
/// (`ForkStateMachine.isWorthTelling`); gaps are summed up.
package struct ForkLog {
  /// Minimum time between two lines about gaps. The first one comes at once.
  package static let gapSpacing = Nanoseconds.seconds(5)

  private let id: String
  private let channel: String
  /// The URL named in the lines, without secrets.
  package var endpoint: String
  private var gapsDue = 0
  private var samplesDue: UInt64 = 0
  private var reasonsDue: Set<Gap.Reason> = []
  private var gapsReportedAt: MonotonicTime?
  /// Scheme, host and port of each place to which a redirect has led, as far as the log has them.
  private var redirectOrigins: Set<String> = []

  /// `endpoint` is the URL without user information.
  package init(id: String, channel: String, endpoint: String) {
    self.id = id
    self.channel = channel
    self.endpoint = endpoint
  }

  private var subject: String {
    channel.isEmpty ? "AudioFork \(id) to \(endpoint)" : "AudioFork \(id) on \(channel) to \(endpoint)"
  }

  /// How long a fork tries to connect.
  package enum Endurance: Sendable {
    /// As long as these limits allow.
    case limits(ForkLimits)
    /// Until the refusal is final (`EndpointRotation`).
    case refusal
  }

  /// An outage began. `endpointCount`: number of URLs. `nextSilence`: as in `brokeAgain`.
  package func outageBegan(
    _ reason: String, _ endurance: Endurance, endpointCount: Int = 1, nextSilence: Nanoseconds? = nil
  ) -> EngineMessage {
    let text =
      switch endurance {
      case .limits(let limits): ForkLog.endurance(limits, endpointCount: endpointCount)
      case .refusal where endpointCount > 1: ": the fork ends if each of \(endpointCount) URLs refuses so for 3 s"
      case .refusal: ": the fork ends if it is refused so for 3 s"
      }
    return line(
      .warning,
      """
      \(reason)\(ForkLog.advice(reason)); trying again\(text). The audio waits in the ring \
      meanwhile\(ForkLog.patience(nextSilence))
      """)
  }

  /// A connection broke in an outage. `breaks`: connections that have broken in it so far. `wait`: until the next
  /// attempt. `nextSilence`: the server had not answered, and may be silent for so long on its next connection.
  package func brokeAgain(
    _ reason: String, breaks: Int, wait: Duration, nextSilence: Nanoseconds? = nil
  ) -> EngineMessage {
    let milliseconds = wait.components.seconds * 1000 + wait.components.attoseconds / 1_000_000_000_000_000
    let time = milliseconds == 0 ? "at once" : "in \(milliseconds) ms"
    return line(
      .warning,
      "\(reason)\(ForkLog.advice(reason)); reconnecting \(time), break \(breaks) of this outage"
        + ForkLog.patience(nextSilence))
  }

  private static func patience(_ silence: Nanoseconds?) -> String {
    silence.map { ". On its next connection the server may take \($0.shownSeconds) to answer" } ?? ""
  }

  private static func endurance(_ limits: ForkLimits, endpointCount: Int) -> String {
    let time = limits.outageMax.map { "for up to \($0.components.seconds) s" }
    guard let most = limits.attemptsMax else { return " \(time ?? "until the call ends")" }
    let times = most == 1 ? "once" : "at most \(most) times"
    let urls = endpointCount > 1 ? " at each of \(endpointCount) URLs" : ""
    return ", \(times)\(urls)\(time.map { ", \($0)" } ?? "")"
  }

  /// The outage is over. `isFirst`: this is the fork's first connection. A warning like `outageBegan`, so that a log of
  /// warnings also shows the end of an outage.
  package func outageOver(attempts: Int, lagMilliseconds: UInt64, isFirst: Bool) -> EngineMessage {
    let isBehind = lagMilliseconds >= ForkLog.lagWorthTelling
    return line(
      .warning,
      "connected \(isFirst ? "" : "again ")after \(ForkLog.count(attempts, "attempt"))"
        + (isBehind ? ", \(lagMilliseconds) ms behind; catching up" : ""))
  }

  /// Milliseconds of lag from which a line names it. Less is sent within a few ticks.
  private static let lagWorthTelling: UInt64 = 100

  /// The fork ended. Nil for a normal end, which ENDED describes completely.
  package func ended(_ ending: ForkEnding, undeliveredMilliseconds: Int64) -> EngineMessage? {
    let reason = ForkLog.reason(ending, undeliveredMilliseconds: undeliveredMilliseconds)
    switch ending {
    case .delivered, .shutdown, .forgotten: return nil
    case .closedByServer: return line(.notice, "\(reason); the fork ends")
    case .unreachable(_, _, let cause), .refused(let cause), .broken(let cause):
      return line(
        .error,
        "\(reason)\(ForkLog.advice(cause)); the fork ends, the call goes on. \(undelivered(undeliveredMilliseconds))")
    case .drainExpired:
      return line(
        undeliveredMilliseconds > 0 ? .warning : .notice, "\(reason); the time for draining is over, the fork ends")
    }
  }

  /// A fork of a dead Asterisk ended. For other forks the module writes this line.
  package func adoptedEnded(
    _ ending: ForkEnding, undeliveredMilliseconds: Int64, _ counters: ForkCounters
  ) -> EngineMessage {
    line(
      .notice,
      """
      what an Asterisk that died left of it is finished: \
      \(ForkLog.reason(ending, undeliveredMilliseconds: undeliveredMilliseconds)); \(counters.position) sample frames \
      sent, \(counters.lost) samples lost in \(counters.gaps) \(counters.gaps == 1 ? "gap" : "gaps")
      """)
  }

  /// Adds gaps to the next line, and returns that line when it is due.
  package mutating func noteGaps(_ gaps: [Gap], now: MonotonicTime) -> EngineMessage? {
    for gap in gaps {
      gapsDue += 1
      samplesDue &+= gap.count
      reasonsDue.insert(gap.reason)
    }
    return dueGapLine(now: now, isLast: false)
  }

  /// Returns the line about gaps noted so far when it is due; nil otherwise. `isLast`: it is due in any case.
  package mutating func dueGapLine(now: MonotonicTime, isLast: Bool) -> EngineMessage? {
    guard gapsDue > 0 else { return nil }
    if let last = gapsReportedAt, now - last < ForkLog.gapSpacing, !isLast { return nil }
    defer {
      gapsDue = 0
      samplesDue = 0
      reasonsDue = []
      gapsReportedAt = now
    }
    let causes = [
      reasonsDue.contains(.overrun) ? "overwritten in the ring before they could be sent (raise buffer)" : nil,
      reasonsDue.contains(.unconfirmed)
        ? "sent before a break and not confirmed, perhaps there all the same (replay = none)" : nil,
      reasonsDue.contains(.ahead) ? "more than two seconds ahead of the clock" : nil,
    ].compactMap { $0 }.joined(separator: ", or ")
    return line(
      .warning, "\(samplesDue) captured samples lost in \(gapsDue) \(gapsDue == 1 ? "gap" : "gaps"): \(causes)")
  }

  /// The server's certificate is not verified.
  package func notVerified() -> EngineMessage {
    line(
      .notice,
      "the server's certificate is not verified (T(insecure) or verify = no): the audio goes to whoever answers")
  }

  /// Places to which redirects lead that the log tells. Further ones are only in `audiofork show fork`.
  package static let redirectsToldMax = 8

  /// The server has sent the fork elsewhere, and the connection there is open. `place`: its URL, without secrets. Nil
  /// if the log has told this scheme, host and port, or `redirectsToldMax` others.
  package mutating func redirected(to place: String) -> EngineMessage? {
    let parts = place.split(maxSplits: 3, omittingEmptySubsequences: false) { $0 == "/" || $0 == "?" }
    guard redirectOrigins.count < ForkLog.redirectsToldMax,
      redirectOrigins.insert(parts.prefix(3).joined(separator: "/")).inserted
    else { return nil }
    let isLast = redirectOrigins.count == ForkLog.redirectsToldMax
    return line(
      .notice,
      "redirected to \(place); each new connection asks the first server again (redirects = no in a profile refuses "
        + "this)\(isLast ? ". Other servers are not logged any more: see 'audiofork show fork'" : "")")
  }

  /// A file with credentials cannot be used while an outage lasts.
  package func credentialsFailed(_ reason: String) -> EngineMessage {
    line(.warning, "\(reason)\(ForkLog.advice(reason)); trying again")
  }

  /// The server refuses pings.
  package func pingRefused() -> EngineMessage {
    line(
      .notice,
      "the server closed when it was pinged; it is not pinged again. Delivery is confirmed by its kernel alone "
        + "(ping = no in a profile says so from the beginning)")
  }

  /// The server is pinged less often. `interval`: time between two pings from now on.
  package func pingsSlowed(interval: Nanoseconds) -> EngineMessage {
    line(
      .notice,
      "the server has closed again after many pings; it is pinged every \(interval.wholeMilliseconds) ms from now on. "
        + "More may come twice after a break (ping = no in a profile sends none)")
  }

  /// The ring overwrites audio that was not sent.
  package func bufferFull() -> EngineMessage {
    line(
      .warning,
      """
      the buffer is full: from now on audio is lost, the oldest first, until the server takes it (raise buffer for \
      longer outages)
      """)
  }

  /// News of the fork's spool.
  package func spool(_ news: SpoolNews) -> EngineMessage {
    switch news {
    case .failed(let reason):
      line(.error, "\(reason). Until then only the buffer keeps what the server does not take")
    case .evicted:
      line(
        .warning,
        "what its spool held is gone: spool_limit was reached, and the oldest stream goes first (raise spool_limit, or "
          + "lower spool_time)")
    case .full:
      line(
        .warning,
        "spool_limit is reached, and no other stream is older: what the buffer cannot keep is lost (raise spool_limit)")
    }
  }

  /// Texts of the server are dropped.
  package func textsDropped() -> EngineMessage {
    line(
      .warning,
      "the server sends more than \(ServerTexts.perSecond) texts in a second, all servers together send more than "
        + "\(TextLimit.perSecond), or Asterisk does not take them; what is too much is dropped and counted")
  }

  /// The cursor cannot be saved.
  package func cursorFailed() -> EngineMessage {
    line(
      .error, "the cursor cannot be saved; after a crash of the engine audio would be repeated. Make room in run_dir")
  }

  /// Returns a line that names the fork, its channel and URL, followed by `text`.
  package func line(_ level: LogLevel, _ text: String) -> EngineMessage {
    .log(level, id: id, text: "\(subject): \(text)")
  }

  private func undelivered(_ milliseconds: Int64) -> String {
    milliseconds > 0 ? "\(milliseconds) ms of audio were not delivered" : "Nothing captured was left undelivered"
  }
}
