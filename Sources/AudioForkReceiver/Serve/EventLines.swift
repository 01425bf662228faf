// SPDX-License-Identifier: Apache-2.0
internal import AudioForkCore

/// Events as lines of text.
package enum EventLines {
  /// One JSON object; docs/receiving/serve.md lists its keys.
  package static func json(_ event: ReceiverEvent) -> String {
    var line = JSONLine()
    switch event {
    case .listening(let url, let port, let folder):
      line.add("event", "listening")
      line.add("url", url)
      line.add("port", port)
      line.add("folder", folder)
      line.add("message", plain(event))
    case .started(let facts, let file):
      line.add("event", "started")
      add(facts, to: &line)
      line.add("file", file)
      line.add("notes", facts.request.notes)
    case .progress(let facts, let progress):
      line.add("event", "progress")
      line.add("stream", facts.number)
      add(progress, of: facts, to: &line)
    case .text(let facts, let text):
      line.add("event", "text")
      line.add("stream", facts.number)
      line.add("text", text)
    case .ended(let facts, let progress, let ending, let file, let trouble):
      line.add("event", "ended")
      add(facts, to: &line)
      line.add("file", file ?? "")
      add(progress, of: facts, to: &line)
      line.add("code", Int(ending.code))
      line.add("by", ending.side.rawValue)
      line.add("reason", ending.reason)
      line.add("error", trouble ?? "")
    case .dropped(let count):
      line.add("event", "dropped")
      line.add("count", count)
    }
    return line.line
  }

  /// One line for people and logs; several where a stream begins with notes.
  package static func plain(_ event: ReceiverEvent) -> String {
    switch event {
    case .listening(let url, _, let folder):
      return "listening on \(url) - recordings go to \(folder)"
    case .started(let facts, let file):
      let encoding = facts.request.encoding == .linear ? "" : ", \(word(facts.request.encoding))"
      let form = "\(facts.request.rateHertz) Hz, \(channels(facts.request.channelCount))\(encoding)"
      let first = "[\(facts.number)] started \(printable(facts.request.path)) from \(facts.remote), \(form) -> \(file)"
      return ([first] + facts.request.notes.map { "[\(facts.number)] note: \(printable($0))" }).joined(separator: "\n")
    case .progress(let facts, let progress):
      return "[\(facts.number)] \(fixed(progress.seconds(facts), places: 2)) s  \(decibels(progress.level))"
    case .text(let facts, let text):
      return "[\(facts.number)] text: \(printable(String(text.prefix(textShownMax))))"
    case .ended(let facts, let progress, let ending, let file, let trouble):
      var line = "[\(facts.number)] ended \(file ?? "without a file")  \(fixed(progress.seconds(facts), places: 2)) s, "
      line += "\(progress.bytes(facts)) bytes, \(progress.messages) messages, \(decibels(progress.level)); "
      line += closing(ending)
      return trouble.map { line + "\n[\(facts.number)] error: \(printable($0))" } ?? line
    case .dropped(let count):
      return "\(count) lines were dropped, because standard output did not take them in time"
    }
  }

  /// Characters of a text message that the plain form shows.
  static let textShownMax = 500

  /// The level as text.
  static func decibels(_ level: LevelMeter) -> String {
    level.rootMeanSquare.map { "\(fixed($0, places: 1)) dBFS" } ?? "silence"
  }

  /// The text without what could move a terminal's cursor or break a line.
  static func printable(_ text: String) -> String {
    String(
      String.UnicodeScalarView(
        text.unicodeScalars.map { scalar in
          switch scalar.properties.generalCategory {
          case .control, .format, .lineSeparator, .paragraphSeparator, .privateUse, .unassigned, .surrogate: "?"
          default: scalar
          }
        }))
  }

  private static func closing(_ ending: StreamEnding) -> String {
    let reason = ending.reason.isEmpty ? "" : " (\(printable(ending.reason)))"
    switch ending.side {
    case .client: return "closed by the client with \(ending.code)\(reason)"
    case .server: return "closed by the receiver with \(ending.code)\(reason)"
    case .lost: return "the connection was lost"
    }
  }

  private static func channels(_ count: Int) -> String { count == 1 ? "1 channel" : "\(count) channels" }

  /// How samples come on the wire, in Asterisk's words where it has one.
  private static func word(_ encoding: SampleEncoding) -> String {
    switch encoding {
    case .linear: "linear"
    case .muLaw: "ulaw"
    case .aLaw: "alaw"
    }
  }

  private static func add(_ facts: StreamFacts, to line: inout JSONLine) {
    line.add("stream", facts.number)
    line.add("path", facts.request.path)
    line.add("id", facts.request.forkID)
    line.add("channel", facts.request.channel)
    line.add("remote", facts.remote)
    line.add("rate", facts.request.rateHertz)
    line.add("channels", facts.request.channelCount)
    line.add("encoding", word(facts.request.encoding))
    line.add("subprotocol", facts.request.subprotocol ?? "")
  }

  private static func add(_ progress: StreamProgress, of facts: StreamFacts, to line: inout JSONLine) {
    line.add("seconds", progress.seconds(facts), places: 3)
    line.add("bytes", progress.bytes(facts))
    line.add("messages", progress.messages)
    line.add("texts", progress.texts)
    line.add("level", progress.level.rootMeanSquare, places: 1)
    line.add("peak", progress.level.peakLevel, places: 1)
  }
}
