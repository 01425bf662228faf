// SPDX-License-Identifier: Apache-2.0
import AudioForkFaultKit

/// What is done to a running system. Each is over after a while; none but `longOutage` takes as long as the buffer.
enum ChaosFault: String, CaseIterable, Sendable {
  case engineKill = "engine killed"
  case enginePause = "engine stopped for up to 2 s"
  case engineHang = "engine stopped until it is replaced"
  case engineRestart = "audiofork engine restart"
  case moduleReload = "module reload"
  case transfer = "three calls redirected, connections reset"
  case serverKill = "server killed, back after up to 2 s"
  case serverPause = "server stopped for up to 3 s"
  case serverDrain = "server ended with 1001, back after up to 2 s"
  case latency = "latency 20-120 ms"
  case slowLink = "24 kB/s each way"
  case stall = "server reads nothing"
  case freeze = "silence both ways, then reset"
  case blackhole = "half-open connection, then reset"
  case reset = "connections reset"
  case halfClose = "connections half closed"
  case cut = "connections cut inside of frames"
  case refuse = "nobody listens"
  case closeAtOnce = "closed as soon as accepted"
  case busy = "503 with Retry-After"
  case tooMany = "429 with Retry-After"
  case redirect = "302 to elsewhere"
  case wrongAcceptKey = "upgrade with a wrong accept key"
  case noDescriptors = "no descriptor left for the engine, connections reset"
  case garbage = "bytes of no protocol"
  case slowHandshake = "handshake byte by byte"
  case slowServer = "every new connection pauses for 3-6 s"
  case notFound = "404 in mid-call"
  case forbidden = "403 in mid-call"
  case emptyClose = "Close without a code"
  case runDirectoryRemoved = "run directory removed"
  case longOutage = "nobody listens for longer than the buffer"

  /// What a run of this length is made of; only the long ones have time for what costs audio.
  static func mix(minutes: Double) -> [ChaosFault] { allCases.filter { $0 != .longOutage || minutes >= 5 } }

  /// What it does to the connections on the way, if it does.
  func onTheWay(_ random: inout some RandomNumberGenerator) -> (plan: Fault?, strike: Fault?) {
    switch self {
    case .latency:
      let fault = Fault.latency(milliseconds: .random(in: 20...100, using: &random), jitter: 20)
      return (fault, fault)
    case .slowLink: return (.rate(bytesPerSecond: 24_000), .rate(bytesPerSecond: 24_000))
    case .stall: return (.stall, .stall)
    case .freeze: return (.freeze, .freeze)
    case .blackhole: return (.blackhole, .blackhole)
    case .reset: return (nil, .reset)
    case .halfClose: return (nil, .halfClose)
    case .cut:
      let fault = Fault.cut(afterBytes: .random(in: 1...20_000, using: &random), resets: .random(using: &random))
      return (fault, .reset)
    case .refuse, .longOutage: return (.refuse, .reset)
    case .closeAtOnce: return (.closeAtOnce, .reset)
    case .busy: return (.status(503, retryAfter: 1), .reset)
    case .tooMany: return (.status(429, retryAfter: 1), .reset)
    case .redirect: return (.redirect(to: "ws://127.0.0.1:9/"), .reset)
    case .wrongAcceptKey: return (.wrongAcceptKey, .reset)
    case .garbage: return (.garbage(bytes: 300), .reset)
    case .slowServer:
      let fault = Fault.pause(
        afterBytes: .random(in: 2000...40_000, using: &random),
        milliseconds: .random(in: 3000...6000, using: &random))
      return (fault, .reset)
    case .notFound: return (.status(404), .reset)
    case .forbidden: return (.status(403), .reset)
    case .emptyClose: return (nil, .emptyClose)
    case .slowHandshake: return (.slowHandshake(millisecondsPerByte: 5), .reset)
    default: return (nil, nil)
    }
  }

  /// How long it lasts at least and at most, milliseconds, where it is a plan for connections to come.
  var duration: ClosedRange<Int> {
    switch self {
    // A first refusal is final after three seconds.
    case .notFound, .forbidden: 200...2000
    case .longOutage: Int(ChaosRun.buffer * 1000) + 2000...Int(ChaosRun.buffer * 1000) + 8000
    default: 200...3500
    }
  }

  /// Seconds until the next fault may come; nil: a moment.
  var calm: Int? {
    switch self {
    case .longOutage: 5
    // What stands in a ring without a name is lost with the engine that reads it.
    case .runDirectoryRemoved: 4
    default: nil
    }
  }

  /// Whether the engine may die on top of it without a loss.
  var standsKills: Bool { self != .longOutage && self != .runDirectoryRemoved }

  /// Seconds between two of the kind; nil: any.
  var apart: Double? {
    // The second Close without a code within a minute ends a fork.
    self == .emptyClose ? 61 : nil
  }

  /// After it the connections that are there cannot be saved.
  var needsReset: Bool { self == .freeze || self == .blackhole }
}
