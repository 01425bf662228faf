// SPDX-License-Identifier: MIT
package import AudioForkBytes

/// The directions that a fork carries. `in` is what the party says (READ), `out` what it hears (WRITE).
package enum ForkDirection: UInt8, Sendable, Equatable, CaseIterable {
  case `in` = 1
  case out = 2
  /// The sum of both.
  case both = 3
  /// Both, interleaved: in left, out right.
  case stereo = 4

  /// The word in `D(…)`, in events and in the request header.
  package var word: StaticString {
    switch self {
    case .in: "in"
    case .out: "out"
    case .both: "both"
    case .stereo: "stereo"
    }
  }

  /// Bit 0: in, bit 1: out.
  package var directions: UInt8 {
    switch self {
    case .in: 1
    case .out: 2
    case .both, .stereo: 3
    }
  }

  /// Audio channels on the wire.
  package var channelCount: Int { self == .stereo ? 2 : 1 }
}

/// What option T asks for.
package enum TLSRequest: UInt8, Sendable, Equatable {
  case none, on, insecure
}

/// The settings of one fork: defaults, then `[general]`, then its profile, then its options, each overriding the one
/// before. Module and engine make them from the same texts (`SettingFields` in AudioForkLink).
package struct ForkOptions: Sendable, Equatable {
  // MARK: The server
  /// In failover order.
  package var endpoints = [EndpointURL]()
  package var headers = [RequestField]()
  package var parameters = [RequestField]()
  package var dialect = DialectName.raw
  /// Sub-protocols to offer; nil: those of the dialect.
  package var subprotocols: [Bytes]?
  package var tls = TLSRequest.none
  /// Whether the server's certificate and name are verified.
  package var verifies = true
  /// PEM files; empty: none.
  package var caFile = Bytes()
  package var certificateFile = Bytes()
  package var keyFile = Bytes()
  /// Files with credentials, read for each attempt to connect; empty: none.
  package var tokenFile = Bytes()
  package var headerFile = Bytes()
  package var redirects = RedirectPolicy.sameHost
  package var proxy: ProxyAddress?
  /// Hosts that are reached without the proxy.
  package var noProxy = NoProxyList()

  // MARK: The audio
  package var direction = ForkDirection.both
  package var format = WireFormat.slin
  /// `n` turns it off: then positions count captured audio only.
  package var fill = true
  /// Volume as a power of two, -4 … 4.
  package var gainIn = 0
  package var gainOut = 0
  /// Milliseconds that a direction waits for the other, as given; nil: not given.
  package var alignMillisecondsGiven: Int?
  /// Milliseconds that a direction waits for the other. The module writes them into the ring: a later engine may have
  /// another default.
  package var alignMilliseconds: Int { alignMillisecondsGiven ?? dialectTraits.alignMilliseconds }
  /// `b`: frames count only while the channel is bridged.
  package var onlyBridged = false
  /// Length of one binary message, as given; nil: not given.
  package var messageMillisecondsGiven: Int?
  /// Length of one binary message: a multiple of `ForkOptions.messageStep`.
  package var messageMilliseconds: Int { messageMillisecondsGiven ?? dialectTraits.messageMilliseconds }

  // MARK: Delivery
  /// Cap of each wait between attempts, and of each attempt where `connectTimeoutSeconds` is nil.
  package var reconnectWaitSeconds = 5
  /// Attempts within one outage, as given; nil: not given.
  package var reconnectAttemptsGiven: Int?
  /// Attempts in one outage; nil: no limit.
  package var reconnectAttempts: Int? { reconnectAttemptsGiven }
  /// Seconds of one outage, as given, 0: no limit; nil: not given.
  package var outageSecondsGiven: Int?
  /// Seconds of failed attempts after which an outage ends the fork; nil: no limit, as where attempts are counted and
  /// with a spool, whose `spool_time` is the limit.
  package var outageSeconds: Int? {
    let isOtherwiseLimited = reconnectAttemptsGiven != nil || !spoolFolder.isEmpty
    let seconds = outageSecondsGiven ?? (isOtherwiseLimited ? 0 : ForkOptions.outageSecondsDefault)
    return seconds == 0 ? nil : seconds
  }
  /// Whether a Close of the server with 1000 or without a code is a break like any other.
  package var reconnectsOnClose = false
  package var connectTimeoutSeconds: Int?
  /// Seconds without an answer to a ping after which the fork reconnects, as given; nil: not given.
  package var silenceSecondsGiven: Int?
  package var bufferSeconds = 10
  package var drainSeconds = 10
  /// Seconds that the rest may take after the end of capture, with what the spool has.
  package var drainSecondsMax: Int { spoolFolder.isEmpty ? drainSeconds : max(drainSeconds, spoolSeconds) }
  /// Folder on a disk for audio that the buffer cannot keep; empty: none.
  package var spoolFolder = Bytes()
  package var spoolSeconds = 3600
  /// For all forks with this folder together.
  package var spoolLimitMegabytes = 4096
  /// Whether a write to the spool waits for the disk.
  package var spoolIsSynced = false
  /// Whether the server is pinged.
  package var pings = true
  /// Whether what was sent and not confirmed is sent again after a break, by a dialect in which the server cannot say.
  package var replays = true
  /// How many times as fast as real time audio that waited is sent, in hundredths; nil: as fast as the connection and
  /// the loop allow.
  package var catchUpHundredths: Int?
  /// A text for the server before any audio of each connection, UTF-8; empty: none. May be a secret.
  package var firstText = Bytes()
  /// A text for the server behind the last audio, UTF-8; empty: none. May be a secret.
  package var lastText = Bytes()
  /// Seconds that the server may still answer after the last audio, as given.
  package var lingerSecondsGiven = 0
  /// Seconds that the server may still answer after the last audio, by a dialect in which it may.
  package var lingerSeconds: Int { dialectTraits.takes(.linger) ? lingerSecondsGiven : 0 }
  /// Whether the server is told of DTMF digits, by a dialect that can (`w(audiofork)`).
  package var sendsDigits = true
  /// Whether only audio that the server has forced to its disk counts as delivered (`w(audiofork)`).
  package var wantsPersisted = false

  // MARK: In the call
  /// Whether the call is hung up when its audio is not delivered.
  package var hangsUpOnFailure = false
  /// `B`: seconds between beeps; nil: none.
  package var beepSeconds: Int?
  package var beepsAtStart = false
  package var beepsAtStop = false
  /// Channel variable for the fork's id; empty: none.
  package var idVariable = Bytes()
  /// Channel variable for server texts, besides AUDIOFORK_RESPONSE; empty: none.
  package var textVariable = Bytes()

  /// Lines for the log about texts that were accepted or left out.
  package var warnings = [Bytes]()

  package init() {}

  /// Longest attempt to connect, seconds.
  package var attemptSeconds: Int { connectTimeoutSeconds ?? reconnectWaitSeconds }

  /// Values of `align`.
  package static let alignMillisecondsRange = 20...500
  /// Default of `outage`, seconds.
  package static let outageSecondsDefault = 300
  /// The longest `outage`, seconds.
  package static let outageSecondsMax = 86_400
  /// The longest `spool_time`, seconds.
  package static let spoolSecondsMax = 86_400
  /// The longest `linger`, seconds.
  package static let lingerSecondsMax = 60
  /// The shortest and the longest message, milliseconds, and the step between two lengths.
  package static let messageRange = 20...1000
  package static let messageStep = 20
  /// The slowest and the fastest `catch_up`, in hundredths of real time.
  package static let catchUpRange = 100...10_000
  /// Shortest time between two beeps, as Asterisk's own recording has it.
  package static let beepSecondsMin = 5
  package static let beepSecondsDefault = 15
}

/// Why an argument was refused.
package struct OptionError: Error, Sendable, Equatable {
  /// A sentence for the log. It names the option, the value and the accepted form.
  package let message: Bytes
}
