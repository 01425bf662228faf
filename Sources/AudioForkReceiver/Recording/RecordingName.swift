// SPDX-License-Identifier: Apache-2.0
internal import Glibc

/// File names for recordings, made of what a client says and therefore of nothing that a file system could take for
/// more than a name: only `[A-Za-z0-9._-]`, no leading dot, bounded length.
package enum RecordingName {
  /// Longest part taken from the path, and from the fork id. Both, the time and a suffix stay far below 255 bytes.
  package static let partLengthMax = 60

  /// The name without its suffix and ending: path, time in UTC, fork id (where there is one).
  /// - Parameter unixSeconds: when the stream began.
  package static func stem(path: String, forkID: String, unixSeconds: Int) -> String {
    let place = sanitised(path)
    let id = sanitised(forkID)
    let stem = "\(place.isEmpty ? "stream" : place)-\(timestamp(unixSeconds))"
    return id.isEmpty ? stem : "\(stem)-\(id)"
  }

  /// The same for a fork of `audiofork.v1`, whose file is continued by later connections: behind a `+`, which no other
  /// name has, 96 bits that stand for the path, the id and the client. So two forks never share a file, whatever
  /// their ids have in common, and neither do two clients or the two dialects.
  package static func stem(path: String, fork: ForkStart, client: ClientIdentity) -> String {
    let readable = stem(path: path, forkID: fork.id, unixSeconds: fork.epochSeconds)
    var key: [UInt8] = []
    let owner = client.key(secret: fork.secret)
    for part in [Array(path.utf8), Array(fork.id.utf8), Array("\(fork.epochSeconds)".utf8), owner] {
      key += SHA256.digest(part)
    }
    let digits = SHA256.digest(key).prefix(12).map { byte in (byte < 16 ? "0" : "") + String(byte, radix: 16) }
    return "\(readable)+\(digits.joined())"
  }

  /// The text with each run of other characters replaced by one '_', without '_' and '.' at its ends, cut.
  package static func sanitised(_ text: String) -> String {
    var kept: [UInt8] = []
    for byte in text.utf8 {
      guard kept.count < partLengthMax else { break }
      switch byte {
      case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "."), UInt8(ascii: "-"):
        kept.append(byte)
      default:
        if kept.last != UInt8(ascii: "_") { kept.append(UInt8(ascii: "_")) }
      }
    }
    let edge: (UInt8) -> Bool = { $0 == UInt8(ascii: "_") || $0 == UInt8(ascii: ".") || $0 == UInt8(ascii: "-") }
    while let last = kept.last, edge(last) { kept.removeLast() }
    return String(decoding: kept.drop(while: edge), as: UTF8.self)
  }

  /// `20260917T101530Z`.
  private static func timestamp(_ unixSeconds: Int) -> String {
    var seconds = time_t(unixSeconds)
    var parts = tm()
    guard gmtime_r(&seconds, &parts) != nil else { return "unknown-time" }
    let date = [Int(parts.tm_year) + 1900, Int(parts.tm_mon) + 1, Int(parts.tm_mday)]
    let clock = [Int(parts.tm_hour), Int(parts.tm_min), Int(parts.tm_sec)]
    return date.map(twoDigits).joined() + "T" + clock.map(twoDigits).joined() + "Z"
  }

  private static func twoDigits(_ value: Int) -> String { value < 10 ? "0\(value)" : "\(value)" }
}
