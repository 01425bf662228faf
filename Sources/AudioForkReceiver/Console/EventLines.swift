// SPDX-License-Identifier: Apache-2.0
internal import AudioForkBytes
internal import AudioForkDialects
internal import AudioForkSurface
internal import AudioForkWebSocket

/// Events as lines of text.
package enum EventLines {
  /// One JSON object; docs/receiving/serve.md lists its keys.
  package static func json(_ event: ReceiverEvent) -> String {
    var line = JSONObject()
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
    case .message(let facts, let message):
      add(message, of: facts, to: &line)
    case .ended(let facts, let progress, let ending, let file, let trouble):
      line.add("event", "ended")
      add(facts, to: &line)
      line.add("file", file ?? "")
      add(progress, of: facts, to: &line)
      line.add("code", Int(ending.code))
      line.add("by", ending.side.rawValue)
      line.add("reason", ending.reason)
      line.add("error", trouble ?? "")
    case .warning(let text):
      line.add("event", "warning")
      line.add("message", text)
    case .dropped(let count):
      line.add("event", "dropped")
      line.add("count", count)
    }
    return line.encoded
  }

  /// One line for people and logs; several where a stream begins with notes.
  package static func plain(_ event: ReceiverEvent) -> String {
    switch event {
    case .listening(let url, _, let folder):
      return "listening on \(url) - recordings go to \(folder)"
    case .started(let facts, let file):
      let encoding = facts.encoding == .linear ? "" : ", \(word(facts.encoding))"
      let form = "\(facts.rateHertz) Hz, \(channels(facts.channelCount))\(encoding)"
      let first = "[\(facts.number)] started \(printable(facts.request.path)) from \(facts.remote), \(form) -> \(file)"
      return ([first] + facts.request.notes.map { "[\(facts.number)] note: \(printable($0))" }).joined(separator: "\n")
    case .progress(let facts, let progress):
      return "[\(facts.number)] \(fixed(progress.seconds(facts), places: 2)) s  \(decibels(progress.level))"
    case .text(let facts, let text):
      return "[\(facts.number)] text: \(printable(String(text.prefix(textShownMax))))"
    case .message(let facts, let message): return "[\(facts.number)] \(plain(message))"
    case .ended(let facts, let progress, let ending, let file, let trouble):
      var line = "[\(facts.number)] ended \(file ?? "without a file")  \(fixed(progress.seconds(facts), places: 2)) s, "
      line += "\(progress.bytes(facts)) bytes, \(progress.messages) messages, \(decibels(progress.level)); "
      line += closing(ending)
      return trouble.map { line + "\n[\(facts.number)] error: \(printable($0))" } ?? line
    case .warning(let text): return "WARNING: \(printable(text))"
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

  private static func closing(_ ending: StreamEnding) -> String {
    let reason = ending.reason.isEmpty ? "" : " (\(printable(ending.reason)))"
    switch ending.side {
    case .client: return "closed by the client with \(ending.code)\(reason)"
    case .server: return "closed by the receiver with \(ending.code)\(reason)"
    case .lost: return "the connection was lost\(reason)"
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

  private static func add(_ facts: StreamFacts, to line: inout JSONObject) {
    line.add("stream", facts.number)
    line.add("path", facts.request.path)
    line.add("id", facts.forkID)
    line.add("channel", facts.request.channel)
    line.add("remote", facts.remote)
    line.add("rate", facts.rateHertz)
    line.add("channels", facts.channelCount)
    line.add("encoding", word(facts.encoding))
    line.add("subprotocol", facts.request.subprotocol ?? "")
    line.add("position", Int(clamping: facts.start?.position ?? 0))
  }

  /// What the client told of its fork's stream, under the message's own type and names.
  private static func add(_ message: ForkMessage, of facts: StreamFacts, to line: inout JSONObject) {
    func begin(_ event: String) {
      line.add("event", event)
      line.add("stream", facts.number)
      line.add("id", facts.forkID)
    }
    func add(_ name: String, _ number: UInt64) { line.add(name, Int(clamping: number)) }
    switch message {
    case .start, .unknown: begin("unknown")
    case .gap(let direction, let position, let start, let samples, let reason):
      begin("gap")
      line.add("direction", direction)
      add("position", position)
      add("start", start)
      add("samples", samples)
      line.add("reason", reason)
    case .fill(let direction, let position, let frames):
      begin("fill")
      line.add("direction", direction)
      add("position", position)
      add("frames", frames)
    case .mute(let direction, let position, let frames):
      begin("mute")
      line.add("direction", direction)
      add("position", position)
      add("frames", frames)
    case .digit(let direction, let position, let digit, let milliseconds):
      begin("dtmf")
      line.add("direction", direction)
      add("position", position)
      line.add("digit", digit)
      add("milliseconds", milliseconds)
    case .text(let text):
      begin("text")
      line.add("text", text)
    case .stop(let position, let reason):
      begin("stop")
      add("position", position)
      line.add("reason", reason)
    }
  }

  private static func plain(_ message: ForkMessage) -> String {
    switch message {
    case .start: "start"
    case .gap(let direction, let position, let start, let samples, let reason):
      """
      gap: \(samples) captured samples of \(printable(direction)) from \(start) on are missing at \(position) \
      (\(printable(reason)))
      """
    case .fill(let direction, let position, let frames):
      "fill: \(frames) sample frames at \(position) have no audio of \(printable(direction))"
    case .mute(let direction, let position, let frames):
      "muted: \(frames) sample frames of \(printable(direction)) at \(position)"
    case .digit(let direction, let position, let digit, let milliseconds):
      "digit \(printable(digit)) of \(printable(direction)) at \(position), \(milliseconds) ms"
    case .text(let text): "text: \(printable(String(text.prefix(textShownMax))))"
    case .stop(let position, let reason): "stop at \(position) (\(printable(reason)))"
    case .unknown(let type): "a message of type \(printable(String(type.prefix(40))))"
    }
  }

  private static func add(_ progress: StreamProgress, of facts: StreamFacts, to line: inout JSONObject) {
    line.add("seconds", progress.seconds(facts), places: 3)
    line.add("bytes", progress.bytes(facts))
    line.add("messages", progress.messages)
    line.add("texts", progress.texts)
    line.add("duplicates", Int(clamping: progress.duplicates))
    line.add("level", progress.level.rootMeanSquare, places: 1)
    line.add("peak", progress.level.peakLevel, places: 1)
  }
}
