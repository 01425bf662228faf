// SPDX-License-Identifier: Apache-2.0
internal import AudioForkMedia
internal import Glibc

/// A ring as text, for people: header, one line per entry, counters. Works on a ring that is being written.
package struct RingDump {
  /// What `next` came to.
  package enum Step: Equatable, Sendable {
    /// Lines to print: an entry, or what was overwritten before it could be read.
    case lines([String])
    /// The end for now: capture goes on.
    case notYet
    /// Capture has ended, or continues in another ring, and everything has been shown.
    case ended
    /// The ring cannot be followed beyond this entry.
    case broken(String)
  }

  private let reader: RingReader
  private let showsSamples: Bool
  private var sequence: UInt64
  private var samples: [Int16] = []
  /// Entries that were overwritten before they could be shown.
  package private(set) var overwritten: UInt64 = 0

  /// `showsSamples`: the samples stand below each entry, sixteen in a line.
  package init(_ reader: RingReader, showsSamples: Bool = false) {
    self.reader = reader
    sequence = reader.firstSequence
    self.showsSamples = showsSamples
  }

  /// The ring's header and facts. `parameters` are URLs, settings and options, without their secrets: those only the
  /// grammar knows.
  package func heading(path: String, parameters: [(name: String, value: String)]) -> [String] {
    let facts = reader.facts
    var fields: [(String, String)] = [
      ("ring", path), ("size", "\(reader.indexEntries) entries, \(reader.areaBytes) bytes of samples"),
      ("fork", facts.id),
    ]
    fields += parameters.map { ($0.name, $0.value) }
    fields += [
      ("channel", facts.channel), ("uniqueid", facts.uniqueID), ("linkedid", facts.linkedID),
      ("rate", "\(facts.rateHertz) Hz"),
      ("drain", "\(facts.drainSeconds) s"),
      ("align", "\(facts.alignMilliseconds ?? RingFacts.alignMillisecondsDefault) ms"),
      ("epoch", "\(seconds(reader.epoch.wall)) s since 1970, \(seconds(reader.epoch.monotonic)) s since boot"),
      ("state", reader.closedAt.map { "capture ended at \(seconds($0)) s" } ?? "capturing"),
    ]
    return fields.map { padded($0.0, 9) + printable($0.1) } + ["", RingDump.columns]
  }

  private static let columns = "   entry dir     media s   arrival s rate Hz samples peak dBFS flags"

  /// The next entry.
  package mutating func next() -> Step {
    // Asked before reading: whoever sees the end and nothing behind it has seen everything.
    let isClosed = reader.closedAt != nil || reader.continuedIn != nil
    let number = sequence
    switch reader.read(number, into: &samples) {
    case .entry(let entry):
      sequence = number &+ 1
      return .lines([line(entry)] + (showsSamples ? sampleLines(count: entry.count) : []))
    case .digit(let digit):
      sequence = number &+ 1
      let direction = digit.direction == .in ? "in " : "out"
      return .lines([
        aligned("\(number)", 8)
          + " \(direction) digit \(Character(Unicode.Scalar(digit.digit))), \(digit.milliseconds) ms"
      ])
    case .notAudio:
      sequence = number &+ 1
      return .lines([aligned("\(number)", 8) + "   - (not audio)"])
    case .lapped(let oldest):
      overwritten &+= oldest &- number
      sequence = oldest
      // Where the dump begins, nothing was lost: those entries are simply no longer there.
      let what = number == reader.firstSequence ? "no longer in the ring" : "overwritten before they could be read"
      return .lines(["         - (\(oldest &- number) entries \(what))"])
    case .notYet: return isClosed ? .ended : .notYet
    case .broken(let reason): return .broken(reason)
    }
  }

  /// Where capture stands now.
  package func counters() -> [String] {
    var lines = ["", "\(reader.published) entries published, \(overwritten) of them not shown"]
    for direction in Direction.allCases {
      lines.append(
        "\(padded("\(direction)", 4))\(reader.captured(direction)) samples captured, "
          + "\(reader.ahead(direction)) refused as more than 2 s ahead")
    }
    if let next = reader.continuedIn {
      lines.append("capture goes on in generation \(next): \(RingName.name(of: reader.facts.id, next))")
    } else {
      lines.append(reader.closedAt.map { "capture ended at \(seconds($0)) s" } ?? "capture goes on")
    }
    return lines
  }

  // MARK: - Lines

  private func line(_ entry: CapturedEntry) -> String {
    var flags: [String] = []
    if entry.startsRun { flags.append("run") }
    if entry.hasMore { flags.append("more") }
    if entry.isMuted { flags.append("muted") }
    if entry.isAhead { flags.append("ahead") }
    let media = entry.runStart + SampleRate(hertz: entry.rateHertz).duration(ofFrames: entry.runIndex)
    let text =
      aligned("\(entry.sequence)", 8) + " " + padded("\(entry.direction)", 4)
      + aligned(entry.isAhead ? "-" : seconds(media), 11) + " " + aligned(seconds(entry.arrival), 11)
      + " " + aligned("\(entry.rateHertz)", 7) + " " + aligned("\(entry.count)", 7)
      + " " + aligned(peak(count: entry.count), 9) + " " + flags.joined(separator: ",")
    return flags.isEmpty ? String(text.dropLast()) : text
  }

  /// The largest sample's level against full scale, one decimal; -inf for silence.
  private func peak(count: Int) -> String {
    let largest = samples.prefix(count).reduce(0) { max($0, $1.magnitude) }
    guard largest > 0 else { return "-inf" }
    let tenths = Int((200 * log10(Double(largest) / 32768)).rounded())
    return "\(tenths < 0 ? "-" : "")\(tenths.magnitude / 10).\(tenths.magnitude % 10)"
  }

  private func sampleLines(count: Int) -> [String] {
    stride(from: 0, to: count, by: 16).map { start in
      "         " + samples[start..<min(start + 16, count)].map { "\($0)" }.joined(separator: " ")
    }
  }

  /// A time as seconds with six decimals, cut.
  private func seconds(_ time: some TimePoint) -> String {
    let nanoseconds = time.nanoseconds
    let whole = nanoseconds.magnitude / 1_000_000_000
    let digits = aligned("\(nanoseconds.magnitude % 1_000_000_000)", 9, "0").prefix(6)
    return "\(nanoseconds < 0 ? "-" : "")\(whole).\(digits)"
  }

  private func padded(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(1, width - text.utf8.count))
  }

  private func aligned(_ text: String, _ width: Int, _ filler: String = " ") -> String {
    String(repeating: filler, count: max(0, width - text.utf8.count)) + text
  }

  /// What came from outside must not drive a terminal.
  private func printable(_ text: String) -> String {
    String(String.UnicodeScalarView(text.unicodeScalars.map { $0.properties.generalCategory == .control ? "?" : $0 }))
  }
}
