// SPDX-License-Identifier: Apache-2.0
internal import AudioForkBytes
internal import AudioForkDialects
package import AudioForkSurface
package import NIOHTTP1

/// What the upgrade request says about a stream.
package struct StreamRequest: Equatable, Sendable {
  /// The path, without the query (which may carry secrets).
  package let path: String
  /// Header AudioFork-ID; empty where absent.
  package let forkID: String
  /// Header AudioFork-Channel; empty where absent.
  package let channel: String
  /// Sample frames per second.
  package let rateHertz: Int
  package let channelCount: Int
  /// From the header AudioFork-Format; linear for the slin formats and where it is absent.
  package let encoding: SampleEncoding
  /// The sub-protocol that is selected: `audiofork.v1` where the client offers it, else the first one; nil where it
  /// offers none.
  package let subprotocol: String?
  /// What was not as expected and what was assumed instead, one sentence each.
  package let notes: [String]

  /// Rates that a WAV is made for, from half of telephony's to the highest of Asterisk.
  package static let rates = 4000...192_000
  package static let channelCounts = 1...8

  /// Reads the request. Nothing in it can make it fail: what is absent or wrong is assumed to be 8000 Hz, mono.
  package init(_ head: HTTPRequestHead) {
    path = String(head.uri.prefix { $0 != "?" && $0 != "#" })
    forkID = head.headers.first(name: "AudioFork-ID") ?? ""
    channel = head.headers.first(name: "AudioFork-Channel") ?? ""
    let offered = head.headers[canonicalForm: "Sec-WebSocket-Protocol"].map(String.init)
    let isFork = offered.contains(AudioForkDialect.subprotocol)
    subprotocol =
      isFork ? AudioForkDialect.subprotocol : offered.first.flatMap { StreamRequest.isToken($0) ? $0 : nil }
    var notes: [String] = []
    rateHertz = StreamRequest.number(
      in: head.headers, named: "AudioFork-Rate", within: StreamRequest.rates, assumed: 8000, &notes)
    channelCount = StreamRequest.number(
      in: head.headers, named: "AudioFork-Channels", within: StreamRequest.channelCounts, assumed: 1, &notes)
    let format = head.headers.first(name: "AudioFork-Format") ?? "slin"
    switch format {
    case "ulaw": encoding = .muLaw
    case "alaw": encoding = .aLaw
    default:
      encoding = .linear
      if !format.hasPrefix("slin") {
        notes.append("AudioFork-Format is '\(format.prefix(32))'; the bytes are stored as 16-bit linear all the same")
      }
    }
    self.notes = notes
  }

  /// Whether the client speaks `audiofork.v1`.
  package var isForkStream: Bool { subprotocol == AudioForkDialect.subprotocol }

  private static func number(
    in headers: HTTPHeaders, named name: String, within range: ClosedRange<Int>, assumed: Int, _ notes: inout [String]
  ) -> Int {
    guard let text = headers.first(name: name) else { return assumed }
    if let value = Int(text), range.contains(value) { return value }
    let accepted = "a number from \(range.lowerBound) to \(range.upperBound)"
    notes.append("\(name) is '\(text.prefix(32))', not \(accepted); \(assumed) is assumed")
    return assumed
  }

  /// Whether the text is a token as RFC 9110 (5.6.2) defines it: what a sub-protocol must be.
  private static func isToken(_ text: String) -> Bool {
    !text.isEmpty
      && text.utf8.allSatisfy { byte in
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
          UInt8(ascii: "a")...UInt8(ascii: "z"):
          true
        default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
        }
      }
  }
}
