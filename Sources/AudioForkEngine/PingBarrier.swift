// SPDX-License-Identifier: Apache-2.0
package import AudioForkCore

/// Pings that carry the stream's position: a pong proves that the server's WebSocket stack has parsed all that was sent
/// before (RFC 6455 section 5.5.3, and the order of TCP). Of one connection; without I/O and clock.
///
/// One ping is out at a time. A late pong is back-pressure and no death: the connection is dead only when a server
/// that has spoken before says nothing at all for `silenceMax` while a ping is out. Only where waiting longer would cost
/// audio, and the server speaks all the time, is it taken for one that does not pong any more (`hasStoppedPonging`).
package struct PingBarrier: Sendable {
  /// Between two pings while audio is in flight.
  package static let interval = Nanoseconds.milliseconds(250)
  /// Between two pings on a connection that carries nothing: proxies cut one that is silent for a minute.
  package static let idleInterval = Nanoseconds.seconds(20)
  /// How long a server may take for its first pong before it counts as one that does not pong.
  package static let firstAnswerMax = Nanoseconds.seconds(1)
  /// The longest `silenceMax` that makes sense.
  package static let deadAfter = Nanoseconds.seconds(20)

  private struct Ping {
    var position: Position
    var at: MonotonicTime
  }

  private var outstanding: Ping?
  private let openedAt: MonotonicTime
  private var firstAt: MonotonicTime?
  private var lastAt: MonotonicTime
  private var heardAt: MonotonicTime
  private var activity: UInt64 = 0
  /// Position of the newest ping that was answered.
  private var answered: Position?
  /// How many pings were sent.
  package private(set) var count = 0
  /// Between two pings while audio is in flight.
  package let interval: Nanoseconds
  /// Whether this connection is pinged at all.
  package let isOn: Bool
  /// Whether the server may be one that pongs: an earlier connection to it has not shown the contrary.
  private let isHopeful: Bool
  /// Whether an earlier connection has shown that this server pongs.
  private let isKnown: Bool
  /// Silence of a server that has spoken, with a ping out and audio that waits, that means a dead connection.
  package let silenceMax: Nanoseconds
  /// Whether the server has answered one.
  package private(set) var hasPonged = false

  /// Begins with a connection. `isHopeful`: no earlier one has shown that this server does not pong; `isKnown`: one has
  /// shown that it does.
  package init(
    isOn: Bool, isHopeful: Bool = true, isKnown: Bool = false, silenceMax: Nanoseconds = PingBarrier.deadAfter,
    interval: Nanoseconds = PingBarrier.interval, now: MonotonicTime
  ) {
    self.isOn = isOn
    self.interval = interval
    self.silenceMax = silenceMax
    self.isKnown = isKnown
    self.isHopeful = isHopeful
    openedAt = now
    lastAt = now - interval
    heardAt = now
  }

  /// Whether a ping with this position is to be sent now. `unconfirmed`: audio is in flight. `isUrgent`: delivery waits
  /// for the answer, so that the interval does not matter.
  package func isDue(position: Position, now: MonotonicTime, unconfirmed: Bool, isUrgent: Bool) -> Bool {
    guard isOn else { return false }
    if let outstanding {
      // One that does not pong is asked again now and then: for the proxies on the way.
      return !hasPonged && now - outstanding.at >= PingBarrier.idleInterval
    }
    guard unconfirmed, answered != position else { return now - lastAt >= PingBarrier.idleInterval }
    return isUrgent || now - lastAt >= interval
  }

  /// Whether the server pongs, was asked a moment ago, and owes no answer for longer than usual: nobody need ask its kernel.
  /// (A connection whose buffers are full is not pinged any more.)
  package func isAnswered(now: MonotonicTime) -> Bool {
    hasPonged && now - (outstanding?.at ?? lastAt) < interval * 2
  }

  /// A ping was sent behind all audio up to `position`.
  package mutating func sent(position: Position, now: MonotonicTime) {
    outstanding = Ping(position: position, at: now)
    count &+= 1
    firstAt = firstAt ?? now
    lastAt = now
  }

  /// A pong came; `payload` is its payload. Returns the position up to which the server has parsed the stream; nil for
  /// a pong that answers no ping of ours.
  package mutating func pong(_ payload: some Sequence<UInt8>) -> Position? {
    guard let position = PingBarrier.position(payload), let ping = outstanding, position <= ping.position else { return nil }
    // Servers need answer only the latest ping, and only one is out; an earlier position proves what it says.
    if position == ping.position { outstanding = nil }
    hasPonged = true
    answered = max(answered ?? .zero, position)
    return position
  }

  /// Notes how much has been heard of the server so far, as a count that changes with each frame.
  package mutating func heard(_ count: UInt64, now: MonotonicTime) {
    guard count != activity else { return }
    activity = count
    heardAt = now
  }

  /// Whether it may still turn out that the server pongs: until then its kernel's word is not taken for its own.
  package func isUndecided(now: MonotonicTime) -> Bool {
    isOn && !hasPonged
      && (isKnown && !speaksInstead(now: now) || isHopeful && now - (firstAt ?? openedAt) < PingBarrier.firstAnswerMax)
  }

  /// Whether a server that has ponged on an earlier connection says all kinds of things, but has left this one's first
  /// ping without an answer for too long: it is not the one that it was.
  private func speaksInstead(now: MonotonicTime) -> Bool {
    guard let outstanding else { return false }
    return now - outstanding.at >= silenceMax && isSpeaking(since: outstanding.at, now: now)
  }

  /// What one sends before it reads a ping, and dies, is no sign of life behind that ping.
  private func isSpeaking(since: MonotonicTime, now: MonotonicTime) -> Bool { heardAt > since && now - heardAt < silenceMax / 2 }

  /// Whether a server that has ponged on an earlier connection has left this one's first ping without an answer for too
  /// long.
  package func hasFallenSilent(now: MonotonicTime) -> Bool {
    guard isKnown, !hasPonged, let outstanding else { return false }
    return now - outstanding.at >= silenceMax
  }

  /// Whether a server that has ponged on this connection goes on speaking and has left a ping without an answer for
  /// `limit` (`silenceMax` or more): nothing that it takes would be confirmed any more.
  package func hasStoppedPonging(now: MonotonicTime, limit: Nanoseconds) -> Bool {
    guard hasPonged, let outstanding else { return false }
    return now - outstanding.at >= limit && isSpeaking(since: outstanding.at, now: now)
  }

  /// Whether it has turned out that the server does not pong.
  package func isMute(now: MonotonicTime) -> Bool { isOn && !hasPonged && firstAt != nil && !isUndecided(now: now) }

  /// Whether the server has fallen silent for good. `speaks`: it acknowledges by itself, whether it pongs or not.
  /// `since`: when audio began to wait for it; nil: none does, and there is more time.
  package func isDead(now: MonotonicTime, speaks: Bool, since: MonotonicTime?) -> Bool {
    guard let outstanding else { return false }
    guard let since else {
      return hasPonged && now - max(outstanding.at, heardAt) >= PingBarrier.deadAfter
    }
    guard hasPonged || isKnown || speaks else { return false }
    // Who acknowledges by himself was silent before he was asked.
    let asked = speaks ? outstanding.at + silenceMax / 2 : outstanding.at + silenceMax
    return now >= max(asked, max(heardAt, since) + silenceMax)
  }

  /// Whether a server that acknowledges by itself has said nothing for so long that it is asked. `since`: when audio began
  /// to wait for it.
  package func isQuiet(now: MonotonicTime, since: MonotonicTime) -> Bool { now - max(heardAt, since) >= silenceMax / 2 }

  /// Whether the first ping of all is out, sent not long ago: a server that closes now may be one that cannot stand
  /// pings.
  package func mayHaveOffended(now: MonotonicTime) -> Bool {
    guard isOn, !hasPonged, !isKnown, let outstanding else { return false }
    return now - outstanding.at < .seconds(1)
  }

  /// The position as a payload: 8 bytes, most significant first.
  package static func payload(_ position: Position) -> [UInt8] {
    stride(from: 56 as UInt64, through: 0, by: -8).map { UInt8(truncatingIfNeeded: position.frames &>> $0) }
  }

  private static func position(_ payload: some Sequence<UInt8>) -> Position? {
    var position: UInt64 = 0
    var count = 0
    for byte in payload {
      guard count < 8 else { return nil }
      position = position &<< 8 | UInt64(byte)
      count += 1
    }
    return count == 8 ? Position(position) : nil
  }
}
