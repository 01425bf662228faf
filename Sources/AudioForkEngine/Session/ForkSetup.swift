// SPDX-License-Identifier: Apache-2.0
internal import AudioForkMedia
internal import AudioForkDialects
internal import AudioForkLink
internal import AudioForkSurface
internal import AudioForkRing
internal import AudioForkWebSocket
internal import NIOCore

/// What the ring's header says about a fork, checked and made into what the engine needs.
struct ForkSetup {
  /// In failover order, at least one.
  let endpoints: [EndpointURL]
  let options: ForkOptions
  let stream: StreamDescription
  let limits: ForkLimits

  /// `epoch` and `secret`: as in the ring.
  init(
    _ facts: RingFacts, id: String, epoch: StreamEpoch, secret: (UInt64, UInt64)
  ) throws(ForkFailure) {
    do throws(OptionError) {
      options = try ForkSettings.resolve(facts.settings.texts)
      try options.check()
    } catch {
      throw ForkFailure(reason: "options: \(String(decoding: error.message, as: UTF8.self))")
    }
    guard !options.endpoints.isEmpty else { throw ForkFailure(reason: "options: the fork has no URL") }
    endpoints = options.endpoints
    var stream = StreamDescription(
      forkID: id, channel: facts.channel, uniqueID: facts.uniqueID, linkedID: facts.linkedID,
      direction: options.direction)
    stream.format = options.format.name.description
    stream.rateHertz = options.format.rateHertz
    stream.channelCount = options.direction.channelCount
    stream.parameters = options.parameters
    stream.epochMilliseconds = epoch.wall.millisecondsSince1970
    if secret != (0, 0) { stream.secret = ForkSetup.hexadecimal(secret.0) + ForkSetup.hexadecimal(secret.1) }
    stream.acknowledgement = options.wantsPersisted ? .persisted : .received
    self.stream = stream
    limits = ForkLimits(
      attemptsMax: options.reconnectAttempts, waitMax: .seconds(options.reconnectWaitSeconds),
      drain: .seconds(facts.drainSeconds), endpointCount: endpoints.count)
  }

  private static func hexadecimal(_ word: UInt64) -> String {
    let digits = String(word, radix: 16)
    return String(repeating: "0", count: 16 - digits.utf8.count) + digits
  }

  /// What is said on the wire.
  func makeDialect() -> any Dialect {
    switch options.dialect {
    case .raw: RawDialect(encoding: options.format.encoding)
    case .audiofork: AudioForkDialect(encoding: options.format.encoding)
    }
  }

  var rendering: RenderConfiguration {
    RenderConfiguration(
      directions: DirectionSet(rawValue: options.direction.directions), wireRateHertz: stream.rateHertz,
      fill: options.fill, isStereo: options.direction == .stereo, gainIn: Gain(options.gainIn),
      gainOut: Gain(options.gainOut))
  }

  /// Where audio is kept for longer than the ring holds it; nil: nowhere.
  var spool: ForkSpool.Settings? {
    guard !options.spoolFolder.isEmpty else { return nil }
    return ForkSpool.Settings(
      folder: String(decoding: options.spoolFolder, as: UTF8.self), limit: options.spoolLimitMegabytes * 1_048_576,
      isSynced: options.spoolIsSynced)
  }

  /// `R(s)` caps each attempt as it caps each wait.
  var attemptTimeout: TimeAmount { .seconds(Int64(options.attemptSeconds)) }

  /// For how long a network may acknowledge nothing before the connection counts as dead: half of what the ring holds,
  /// so that what was sent can be sent again.
  var patienceMilliseconds: UInt64 { UInt64(min(max(options.bufferSeconds * 500, 2000), 20_000)) }

  /// For how long a server that has spoken may say nothing, with audio on its way, before the connection counts as
  /// dead: something between us may keep TCP alive. Short enough for the ring to hold what has to be sent again.
  var silenceMax: Nanoseconds {
    min(max(.milliseconds(Int64(options.bufferSeconds) * 700), .seconds(3)), PingBarrier.deadAfter)
  }

  /// Between two pings for a server that cannot stand more. What they confirm has to be in the ring until then.
  var sparsePingInterval: Nanoseconds {
    min(max(.milliseconds(Int64(options.bufferSeconds) * 250), PingBarrier.interval), PingTolerance.sparseInterval)
  }

  /// The numbers by which delivery is decided.
  var delivery: DeliveryController.Settings {
    DeliveryController.Settings(
      rate: SampleRate(hertz: stream.rateHertz), acknowledgement: stream.acknowledgement, silenceMax: silenceMax,
      // The ring is about to overwrite what waits. A spool keeps it for longer.
      unansweredMax: spool == nil ? silenceMax : PingBarrier.deadAfter, sparseInterval: sparsePingInterval)
  }

  func request(to url: EndpointURL, _ dialect: any Dialect) -> UpgradeRequest {
    var request = UpgradeRequest(host: url.hostHeader, target: url.target)
    request.userInformation = url.userInformation
    request.subprotocols =
      options.subprotocols.map { $0.map { String(decoding: $0, as: UTF8.self) } } ?? dialect.subprotocols
    request.needsSubprotocol = dialect.needsSubprotocol
    request.agent = "audiofork/\(audioforkVersion)"
    request.headers = dialect.requestHeaders(stream).map { RequestHeader($0) }
    request.givenHeaders = options.headers.map {
      RequestHeader(name: String(decoding: $0.name, as: UTF8.self), value: $0.value)
    }
    request.secrets = url.secrets + options.parameters.filter { EndpointURL.isSecretName($0.name) }.map(\.value)
    return request
  }
}

extension EndpointURL {
  /// `shown` as text: without secrets.
  var shownText: String { String(decoding: shown, as: UTF8.self) }
}

extension RequestHeader {
  fileprivate init(_ header: DialectHeader) {
    self.init(name: header.name, value: Array(header.value.utf8), isEncoded: header.isEncoded)
  }
}
