// SPDX-License-Identifier: Apache-2.0
internal import AudioForkDialects
package import AudioForkSurface

/// The message `start` of `audiofork.v1`: which fork a connection carries, and what its stream is made of.
package struct ForkStart: Equatable, Sendable {
  /// Names the fork for all of its life, over connections and restarts of either side.
  package let id: String
  /// When position 0 was, seconds since 1970.
  package let epochSeconds: Int
  package let rateHertz: Int
  package let channelCount: Int
  package let encoding: SampleEncoding
  /// What is before it the client has delivered already.
  package let position: UInt64
  /// Whether only what is on the disk is to be acknowledged.
  package let wantsPersisted: Bool
  /// Digest of what only the fork knows beside its servers; nil where it says nothing of the kind.
  package let secret: [UInt8]?
}

/// What a client says in a text message of `audiofork.v1` (docs/receiving/audiofork-v1.md).
package enum ForkMessage: Equatable, Sendable {
  case start(ForkStart)
  case gap(direction: String, position: UInt64, start: UInt64, samples: UInt64, reason: String)
  case fill(direction: String, position: UInt64, frames: UInt64)
  case mute(direction: String, position: UInt64, frames: UInt64)
  case digit(direction: String, position: UInt64, digit: String, milliseconds: UInt64)
  case text(String)
  case stop(position: UInt64, reason: String)
  /// Of a later version.
  case unknown(type: String)

  /// Why a text is no such message; for the Close frame.
  package struct Nonsense: Error, Equatable, Sendable {
    package let reason: String
  }

  /// Members that any of the messages has.
  private static let names = [
    "type", "position", "direction", "start", "samples", "frames", "reason", "digit", "milliseconds", "text", "id",
    "epoch", "rate", "channels", "format", "acknowledge", "secret",
  ]

  /// Reads a text message. Keeps only the members that it needs, so that a long text costs little whatever is in it.
  package init(_ text: String) throws(Nonsense) {
    let found: JSONValue?
    do {
      found = try JSONValue.members(of: text, named: ForkMessage.names)
    } catch {
      throw Nonsense(reason: "a text message is not JSON")
    }
    guard let value = found, let type = value["type"]?.text else {
      throw Nonsense(reason: "a text message has no type")
    }
    func number(_ name: String) throws(Nonsense) -> UInt64 {
      guard let number = value[name]?.wholeNumber, number <= ForkMessage.positionMax else {
        throw Nonsense(reason: "\(type) needs \(name), a whole number")
      }
      return number
    }
    func word(_ name: String) throws(Nonsense) -> String {
      guard let word = value[name]?.text else { throw Nonsense(reason: "\(type) needs \(name), a string") }
      return word
    }
    switch type {
    case "start": self = .start(try ForkStart(value))
    case "gap":
      self = .gap(
        direction: try word("direction"), position: try number("position"), start: try number("start"),
        samples: try number("samples"), reason: try word("reason"))
    case "fill":
      self = .fill(direction: try word("direction"), position: try number("position"), frames: try number("frames"))
    case "mute":
      self = .mute(direction: try word("direction"), position: try number("position"), frames: try number("frames"))
    case "dtmf":
      self = .digit(
        direction: try word("direction"), position: try number("position"), digit: try word("digit"),
        milliseconds: try number("milliseconds"))
    case "text": self = .text(try word("text"))
    case "stop": self = .stop(position: try number("position"), reason: value["reason"]?.text ?? "")
    default: self = .unknown(type: type)
    }
  }

  /// Bytes of its strings.
  var byteCount: Int {
    switch self {
    case .start(let start): start.id.utf8.count
    case .gap(let direction, _, _, _, let reason): direction.utf8.count + reason.utf8.count
    case .fill(let direction, _, _), .mute(let direction, _, _): direction.utf8.count
    case .digit(let direction, _, let digit, _): direction.utf8.count + digit.utf8.count
    case .text(let text): text.utf8.count
    case .stop(_, let reason): reason.utf8.count
    case .unknown(let type): type.utf8.count
    }
  }

  /// Beyond any call; keeps arithmetic with positions from overflowing.
  package static let positionMax: UInt64 = 1 << 53

  /// `{"type":"resume",…}`: the server has the stream up to `position`.
  package static func resume(position: UInt64) -> String {
    var message = JSONObject(type: "resume")
    message.add("position", position)
    return message.encoded
  }

  /// `{"type":"ack",…}`.
  package static func acknowledgement(position: UInt64, isPersisted: Bool) -> String {
    var message = JSONObject(type: "ack")
    message.add("position", position)
    message.add("level", isPersisted ? "persisted" : "received")
    return message.encoded
  }
}

extension ForkStart {
  fileprivate init(_ value: JSONValue) throws(ForkMessage.Nonsense) {
    func number(_ name: String, _ range: ClosedRange<UInt64>) throws(ForkMessage.Nonsense) -> UInt64 {
      guard let number = value[name]?.wholeNumber, range.contains(number) else {
        throw ForkMessage.Nonsense(
          reason: "start needs \(name), a number from \(range.lowerBound) to \(range.upperBound)")
      }
      return number
    }
    guard let id = value["id"]?.text, !id.isEmpty, id.utf8.count <= 256 else {
      throw ForkMessage.Nonsense(reason: "start needs id, a string of at most 256 bytes")
    }
    self.id = id
    epochSeconds = Int(try number("epoch", 0...(1 << 53)) / 1000)
    rateHertz = Int(try number("rate", UInt64(StreamRequest.rates.lowerBound)...UInt64(StreamRequest.rates.upperBound)))
    channelCount = Int(
      try number(
        "channels", UInt64(StreamRequest.channelCounts.lowerBound)...UInt64(StreamRequest.channelCounts.upperBound)))
    position = try number("position", 0...ForkMessage.positionMax)
    guard let format = value["format"]?.text, let encoding = SampleEncoding(format: format) else {
      throw ForkMessage.Nonsense(reason: "start needs format: slin, slin12 ... slin192, ulaw or alaw")
    }
    self.encoding = encoding
    wantsPersisted = value["acknowledge"]?.text == "persisted"
    secret = value["secret"]?.text.flatMap { $0.isEmpty ? nil : SHA256.digest($0.utf8) }
  }
}

extension SampleEncoding {
  /// From Asterisk's name of a format; nil for one that is not linear nor G.711.
  init?(format: String) {
    switch format {
    case "ulaw": self = .muLaw
    case "alaw": self = .aLaw
    case _ where format.hasPrefix("slin") && format.utf8.dropFirst(4).allSatisfy({ (48...57).contains($0) }):
      self = .linear
    default: return nil
    }
  }
}
