// SPDX-License-Identifier: Apache-2.0
internal import AudioForkDialects

/// What a terminal shows: event lines that scroll, and below them one line for each open stream, redrawn in place.
/// Events in, characters out; no I/O.
package struct LiveBlock: Sendable {
  private struct Row {
    let facts: StreamFacts
    let file: String
    var progress = StreamProgress()
  }

  private var rows: [Row] = []
  private var linesDrawn = 0
  private var drawnAt: Int64?

  /// Shortest time between two drawings that progress alone asks for, in nanoseconds: with many streams, most events
  /// come just after another.
  package static let drawingInterval: Int64 = 100_000_000

  package init() {}

  /// What to write after an event.
  /// - Parameters:
  ///   - columns: the terminal's width; longer rows are cut, because a wrapped line cannot be redrawn in place.
  ///   - lines: the terminal's height; streams beyond it are counted in one row.
  ///   - now: nanoseconds of a clock that only rises.
  package mutating func characters(for event: ReceiverEvent, columns: Int, lines: Int, now: Int64) -> String {
    if case .progress(let facts, let progress) = event {
      if let index = rows.firstIndex(where: { $0.facts.number == facts.number }) { rows[index].progress = progress }
      if let drawnAt, now - drawnAt < LiveBlock.drawingInterval { return "" }
    }
    drawnAt = now
    var output = linesDrawn > 0 ? "\u{1B}[\(linesDrawn)A\r\u{1B}[J" : ""
    switch event {
    case .started(let facts, let file):
      rows.append(Row(facts: facts, file: file))
      output += EventLines.plain(event) + "\n"
    case .progress:
      break
    case .ended(let facts, _, _, _, _):
      rows.removeAll { $0.facts.number == facts.number }
      output += EventLines.plain(event) + "\n"
    case .listening, .text, .message, .warning, .dropped:
      output += EventLines.plain(event) + "\n"
    }
    let room = max(1, lines - 2)
    let shown = rows.count <= room ? rows.count : room - 1
    for row in rows.prefix(shown) { output += LiveBlock.line(row, columns: columns) + "\n" }
    linesDrawn = shown
    if shown < rows.count {
      output += "… and \(rows.count - shown) more\n"
      linesDrawn += 1
    }
    return output
  }

  private static func line(_ row: Row, columns: Int) -> String {
    let name = row.file.split(separator: "/").last.map(String.init) ?? row.file
    let seconds = fixed(row.progress.seconds(row.facts), places: 1)
    let measured =
      padded("\(seconds) s", 10) + "  " + meter(row.progress.level) + "  "
      + padded(EventLines.decibels(row.progress.level), 11)
    return String("\(measured)  \(name)".prefix(max(1, columns - 1)))
  }

  /// The level from -60 dBFS to 0 as a bar.
  static func meter(_ level: LevelMeter) -> String {
    let width = 20
    let share = level.rootMeanSquare.map { ($0 + 60) / 60 } ?? 0
    let filled = Int((min(max(share, 0), 1) * Double(width)).rounded())
    return "[" + String(repeating: "█", count: filled) + String(repeating: "░", count: width - filled) + "]"
  }

  private static func padded(_ text: String, _ width: Int) -> String {
    String(repeating: " ", count: max(0, width - text.count)) + text
  }
}
