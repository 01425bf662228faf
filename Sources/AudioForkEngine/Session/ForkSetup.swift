// SPDX-License-Identifier: Apache-2.0
internal import AudioForkMedia
package import AudioForkDialects
internal import AudioForkLink
package import AudioForkSurface
internal import AudioForkRing
package import AudioForkWebSocket
internal import NIOCore

/// A fork's configuration, derived from the facts in its ring: endpoints, options, limits, dialect, upgrade request.
struct ForkSetup {
  /// In failover order, at least one.
  let endpoints: [EndpointURL]
  let options: ForkOptions
  let stream: StreamDescription
  let limits: ForkLimits
  /// Milliseconds that a direction waits for the other. The ring says it, so that an engine with another default makes
  /// the same stream. A ring of an earlier module says nothing: its engines waited as long as they still do by default.
  let alignMilliseconds: Int
  /// What holds for all connections of the fork's dialect.
  let traits: DialectTraits
  /// The sessions of the dialect.
  let dialect: any DialectSession.Type

  /// Checks the options. Throws a `ForkFailure` if they are invalid. `epoch` and `secret` are those of the ring.
  /// `dialects` gives the sessions of a dialect.
  init(
    _ facts: RingFacts, id: String, epoch: StreamEpoch, secret: (UInt64, UInt64),
    dialects: (DialectName) -> any DialectSession.Type
  ) throws(ForkFailure) {
    do throws(OptionError) {
      options = try ForkSettings.resolve(facts.settings.texts)
      try options.check()
    } catch {
      throw ForkFailure(reason: "options: \(String(decoding: error.message, as: UTF8.self))")
    }
    guard !options.endpoints.isEmpty else { throw ForkFailure(reason: "options: the fork has no URL") }
    endpoints = options.endpoints
    alignMilliseconds =
      facts.alignMilliseconds ?? options.alignMillisecondsGiven ?? RenderLimit.alignMillisecondsDefault
    traits = options.dialectTraits
    dialect = dialects(options.dialect)
    var stream = StreamDescription(
      forkID: id, channel: facts.channel, uniqueID: facts.uniqueID, linkedID: facts.linkedID,
      direction: options.direction)
    stream.format = options.format.name.description
    stream.rateHertz = options.format.rateHertz
    stream.channelCount = options.direction.channelCount
    stream.encoding = options.format.encoding
    stream.firstText = String(decoding: options.firstText, as: UTF8.self)
    stream.lastText = String(decoding: options.lastText, as: UTF8.self)
    stream.parameters = options.parameters
    stream.epochMilliseconds = epoch.wall.millisecondsSince1970
    if secret != (0, 0) { stream.secret = ForkSetup.hexadecimal(secret.0) + ForkSetup.hexadecimal(secret.1) }
    stream.acknowledgement = options.wantsPersisted ? .persisted : .received
    self.stream = stream
    limits = ForkLimits(
      attemptsMax: options.reconnectAttempts,
      outageMax: options.outageSeconds.map { .seconds($0) }, waitMax: .seconds(options.reconnectWaitSeconds),
      drain: .seconds(facts.drainSeconds), endpointCount: endpoints.count)
  }

  private static func hexadecimal(_ word: UInt64) -> String {
    let digits = String(word, radix: 16)
    return String(repeating: "0", count: 16 - digits.utf8.count) + digits
  }

  /// How captured audio becomes the stream.
  var rendering: RenderConfiguration {
    RenderConfiguration(
      directions: DirectionSet(rawValue: options.direction.directions), wireRateHertz: stream.rateHertz,
      fill: options.fill, isStereo: options.direction == .stereo, gainIn: Gain(options.gainIn),
      gainOut: Gain(options.gainOut), alignMilliseconds: alignMilliseconds)
  }

  /// The spool that keeps audio for longer than the ring; nil if the fork has none.
  var spool: ForkSpool.Settings? {
    guard !options.spoolFolder.isEmpty else { return nil }
    return ForkSpool.Settings(
      folder: String(decoding: options.spoolFolder, as: UTF8.self), limit: options.spoolLimitMegabytes * 1_048_576,
      isSynced: options.spoolIsSynced)
  }

  /// Time limit of each attempt to connect.
  var attemptTimeout: TimeAmount { .seconds(Int64(options.attemptSeconds)) }

  /// Time without any acknowledgement after which the network counts as dead: half of the buffer, so that the ring
  /// still holds what has to be sent again. 2 to 20 seconds.
  var pathPatience: Nanoseconds {
    min(max(.milliseconds(Int64(options.bufferSeconds) * 500), .seconds(2)), .seconds(20))
  }

  /// How long a server may leave audio without an answer, although its kernel, or a proxy, acknowledges everything.
  ///
  /// Without `silence` in the configuration it is what the buffer holds: a shorter stall then costs nothing, and a
  /// longer one costs audio in any case. At least 10 seconds: a server that is busy is more frequent than one that is
  /// dead behind a proxy. Less where another URL could take over with all audio still in the ring.
  var silenceMax: Nanoseconds {
    if let given = options.silenceSecondsGiven { return .seconds(Int64(given)) }
    if spool != nil { return .seconds(30) }
    let buffer = max(Int64(options.bufferSeconds), 10)
    return endpoints.count > 1 ? .milliseconds(buffer * 700) : .seconds(buffer)
  }

  /// Time between two pings without trouble: a tenth of the buffer, at most a second.
  var steadyPingInterval: Nanoseconds {
    min(
      max(.milliseconds(Int64(options.bufferSeconds) * 100), PingBarrier.shortInterval), PingBarrier.steadyInterval)
  }

  /// Time between two pings for a server that closes after many. Short enough for the ring to hold what they confirm.
  var sparsePingInterval: Nanoseconds {
    min(max(.milliseconds(Int64(options.bufferSeconds) * 250), PingBarrier.shortInterval), PingTolerance.sparseInterval)
  }

  /// The settings of `DeliveryController`.
  var delivery: DeliveryController.Settings {
    DeliveryController.Settings(
      rate: SampleRate(hertz: stream.rateHertz), acknowledgement: stream.acknowledgement, silenceMax: silenceMax,
      steadyInterval: steadyPingInterval, sparseInterval: sparsePingInterval)
  }

  /// Value of User-Agent.
  var agent: String { "audiofork/\(audioforkVersion)" }

  /// Returns the upgrade request of a connection to `url`: the fork's own, `given`, or one that a redirect led to.
  /// `isTrusted`: it gets the fork's secrets, and `credentials`, which were read from files.
  func request(
    to url: EndpointURL, for given: EndpointURL, _ connection: ConnectionDescription, isTrusted: Bool,
    _ credentials: [RequestHeader]
  ) -> UpgradeRequest {
    var request = UpgradeRequest(host: url.hostHeader, target: url.target)
    request.complete(by: dialect, for: isTrusted ? connection : connection.withoutSecrets, url: url)
    if let names = options.subprotocols { request.subprotocols = names.map { String(decoding: $0, as: UTF8.self) } }
    request.agent = agent
    let secretParameters = options.parameters.filter { EndpointURL.isSecretName($0.name) }.map(\.value)
    request.secrets = given.secrets + secretParameters
    // Only the server that made this query knows what in it is a secret.
    if url != given { request.secrets += url.queryValues }
    request.userInformation = given.userInformation
    request.givenHeaders = CredentialFiles.merged(
      options.headers.map { RequestHeader(name: String(decoding: $0.name, as: UTF8.self), value: $0.value) },
      with: credentials)
    return isTrusted ? request : request.withoutCredentials
  }
}

extension UpgradeRequest {
  /// Adds what the dialect has to say about the connection.
  package mutating func complete(
    by dialect: any DialectSession.Type, for connection: ConnectionDescription, url: EndpointURL
  ) {
    var request = DialectRequest(
      url: String(decoding: url.dialed, as: UTF8.self), target: target, now: .now, nonce: .random(in: 0 ... .max))
    dialect.prepare(&request, for: connection)
    target = request.target
    subprotocols = request.subprotocols
    needsSubprotocol = request.needsSubprotocol
    headers = request.headers.map { RequestHeader($0) }
  }
}

extension EndpointURL {
  /// The URL without secrets.
  var shownText: String { String(decoding: shown, as: UTF8.self) }
}

extension RequestHeader {
  fileprivate init(_ header: DialectHeader) {
    self.init(name: header.name, value: Array(header.value.utf8), isEncoded: header.isEncoded)
  }
}
