// SPDX-License-Identifier: Apache-2.0
import AudioForkDialects
import AudioForkMedia
import AudioForkSurface
import Synchronization

/// What a scripted dialect says of itself for all its connections.
protocol DialectScript: SendableMetatype {
  static var takesBinary: Bool { get }
  /// Whether the server has to say `ready` before audio.
  static var isGated: Bool { get }
  /// Whether the session says `still here` when no audio was sent for 150 ms.
  static var isKeptAlive: Bool { get }
}

extension DialectScript {
  static var takesBinary: Bool { false }
  static var isGated: Bool { false }
  static var isKeptAlive: Bool { false }
}

enum PlainScript: DialectScript {}

enum HearingScript: DialectScript {
  static var takesBinary: Bool { true }
}

enum GatedScript: DialectScript {
  static var isGated: Bool { true }
}

enum KeptAliveScript: DialectScript {
  static var isKeptAlive: Bool { true }
}

/// A dialect that does what the server's texts ask for: each is a word and, behind a blank, its argument.
struct ScriptedDialect<Script: DialectScript>: DialectSession {
  private let connection: ConnectionDescription
  private(set) var isReady = !Script.isGated
  private var due: MonotonicTime?
  private var period: Nanoseconds?
  private var sentAt: MonotonicTime?

  init(_ connection: ConnectionDescription) { self.connection = connection }

  static var takesBinary: Bool { Script.takesBinary }

  static func prepare(_ request: inout DialectRequest, for connection: ConnectionDescription) {
    request.headers = [
      DialectHeader("Made-At", String(request.now.secondsSince1970)), DialectHeader("Nonce", String(request.nonce)),
    ]
  }

  static func meaning(of refusal: UpgradeRefusal) -> UpgradeRefusal.Meaning? {
    switch (refusal.status, refusal.text) {
    case (402, _), (500, "blocked"): .final
    case (403, "maintenance"): .passing
    default: nil
    }
  }

  func meaning(ofClose code: UInt16?, reason: String) -> CloseMeaning? {
    switch code {
    case 4001: .refuses
    case 4002: .ends
    case 4003: .isUnclear
    case 1000: reason == "for now" ? .breaks : nil
    default: nil
    }
  }

  var deadline: MonotonicTime? {
    Script.isKeptAlive ? sentAt.map { $0 + .milliseconds(150) } : due
  }

  mutating func opened(now: MonotonicTime, into output: inout DialectOutput) {
    sentAt = now
    output.text("hello \(connection.number)")
  }

  mutating func audio(_ block: AudioBlock, now: MonotonicTime, into output: inout DialectOutput) {
    sentAt = now
    let bytes = block.samples.flatMap { [UInt8(truncatingIfNeeded: $0), UInt8(truncatingIfNeeded: $0 >> 8)] }
    output.binary(audioBytes: bytes.count) { $0.append(contentsOf: bytes) }
  }

  mutating func text(_ text: String, into output: inout DialectOutput) { output.text(text) }

  mutating func timeout(now: MonotonicTime, into output: inout DialectOutput) {
    let isEarly = deadline.map { now < $0 } ?? true
    ScriptLog.add(isEarly ? "early" : "timeout", of: connection.stream.forkID)
    sentAt = now
    due = period.map { now + $0 }
    output.text(Script.isKeptAlive ? "still here" : isEarly ? "early" : "timeout")
  }

  mutating func finish(at position: Position, reason: String, now: MonotonicTime, into output: inout DialectOutput) {
    output.text("end")
  }

  mutating func received(_ message: ServerMessage, now: MonotonicTime, into output: inout DialectOutput) {
    guard case .text(let text) = message else {
      if case .binary(let bytes) = message { output.text("binary of \(bytes.count)") }
      return
    }
    let words = text.split(separator: " ", maxSplits: 1).map(String.init)
    let argument = words.count > 1 ? words[1] : ""
    switch words.first {
    case "ready": isReady = true
    case "arm": due = now + .milliseconds(Int64(argument) ?? 0)
    case "repeat": period = .milliseconds(Int64(argument) ?? 0)
    case "disarm": (due, period) = (nil, nil)
    case "say": output.text(argument)
    case "tell": for word in argument.split(separator: " ") { output.act(.text(String(word))) }
    case "close": output.act(.close)
    case "finished": output.act(.finished)
    case "violate": output.act(.violation(argument))
    case "complain": output.act(.complaint(argument))
    case "play": output.act(.playback(.play(PlaybackAudio([0], encoding: .muLaw, rateHertz: 8000))))
    case "pause": output.act(.playback(.pause))
    case "hangup": output.act(.call(.hangUp))
    default: break
    }
  }
}

/// What the sessions of a fork were asked, over all connections.
enum ScriptLog {
  private static let log = Mutex<[String: [String]]>([:])

  static func add(_ word: String, of fork: String) { log.withLock { $0[fork, default: []].append(word) } }
  static func words(of fork: String) -> [String] { log.withLock { $0[fork] ?? [] } }
}
