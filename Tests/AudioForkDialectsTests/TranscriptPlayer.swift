// SPDX-License-Identifier: Apache-2.0
import AudioForkDialects
import AudioForkMedia
import AudioForkSurface

/// Plays a golden transcript: gives a session the events of a file, and writes down what it makes of them.
///
/// A file is a conversation, line by line. The first character says what a line is:
///
///     #  a comment, as an empty line is
///     =  what the session knows at the beginning: `= direction stereo`, `= parameter name value`
///     ?  an upgrade request to a URL; the lines `^` behind it are the request
///     @  the time since the beginning, and an event: `@ 20 ms audio 160x0`; without an event time only passes
///     <  the server: `< text …`, `< binary 00 ff*3`, `< close 1000 words`, `< refusal 401 words`
///     >  a message of ours
///     !  an action for the engine, or what the session is: `! waits`, `! ready`, `! 160 bytes of audio`
///     ~  the session's deadline has passed
///
/// `^`, `>`, `!` and `~` are the session's; a file holds them as they have to be.
struct TranscriptPlayer {
  struct Malformed: Error, CustomStringConvertible {
    let description: String
  }

  private let type: any DialectSession.Type
  private var connection = ConnectionDescription(.test)
  private var session: (any DialectSession)?
  private var now = MonotonicTime.start
  private var position = Position.zero
  private var isReady = true
  /// When the engine's timer fires: as in the engine, it is asked for after each event but audio.
  private var timer: MonotonicTime?
  private var lines: [String] = []

  private init(_ type: any DialectSession.Type) { self.type = type }

  /// The whole conversation, as the session makes it from the events of `text`.
  static func play(_ text: String, as type: any DialectSession.Type) throws -> String {
    var player = TranscriptPlayer(type)
    for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
      do {
        try player.take(String(line))
      } catch let error as Malformed {
        throw Malformed(description: "'\(line)': \(error)")
      }
    }
    return player.lines.joined(separator: "\n")
  }

  private mutating func take(_ line: String) throws {
    guard !["^", ">", "!", "~"].contains(line.prefix(1)) else { return }
    lines.append(line)
    let rest = String(line.dropFirst(2))
    switch line.prefix(1) {
    case "", "#": break
    case "=": try setUp(rest)
    case "?": request(rest)
    case "@": try event(rest)
    case "<": try receive(rest)
    default: throw Malformed(description: "begins with none of # = ? @ < ^ > ! ~")
    }
  }

  // MARK: - What the session is told

  private mutating func setUp(_ line: String) throws {
    guard session == nil else { throw Malformed(description: "the connection is open") }
    let words = line.split(separator: " ", maxSplits: 2).map(String.init)
    switch (words.first, words.dropFirst().first) {
    case ("direction", let word?):
      let direction = try value(ForkDirection.allCases.first { $0.word.description == word })
      connection.stream.direction = direction
      connection.stream.channelCount = direction.channelCount
    case ("format", let word?):
      let format = try value(WireFormat.all.first { $0.name.description == word })
      connection.stream.format = word
      connection.stream.encoding = format.encoding
      connection.stream.rateHertz = format.rateHertz
    case ("parameter", let name?):
      let text = words.count > 2 ? words[2] : ""
      connection.stream.parameters.append(RequestField(name: Array(name.utf8), value: Array(text.utf8)))
    case ("secret", let word?): connection.stream.secret = word
    case ("acknowledge", let word?):
      connection.stream.acknowledgement = try value(AcknowledgementLevel(rawValue: word))
    case ("number", let word?): connection.number = try value(UInt64(word))
    case ("position", let word?):
      position = Position(try value(UInt64(word)))
      connection.position = position
    default: throw Malformed(description: "no such fact")
    }
  }

  private mutating func request(_ url: String) {
    let path = url.split(separator: "/", maxSplits: 2, omittingEmptySubsequences: false).dropFirst(2)
      .joined().drop { $0 != "/" }
    var request = DialectRequest(url: url, target: Array((path.isEmpty ? "/" : path).utf8))
    type.prepare(&request, for: connection)
    lines.append("^ GET \(String(decoding: request.target, as: UTF8.self))")
    for name in request.subprotocols {
      lines.append("^ sub-protocol \(name)\(request.needsSubprotocol ? ", needed" : "")")
    }
    for header in request.headers {
      lines.append("^ \(header.name): \(header.value)\(header.isEncoded ? " (encoded)" : "")")
    }
  }

  private mutating func event(_ line: String) throws {
    let words = line.split(separator: " ", maxSplits: 3).map(String.init)
    guard words.count >= 2, words[1] == "ms" else { throw Malformed(description: "no time in milliseconds") }
    let time = MonotonicTime.start + .milliseconds(try value(Int64(words[0])))
    guard time >= now else { throw Malformed(description: "time runs backward") }
    try pass(until: time)
    guard words.count > 2 else { return }
    let rest = words.count > 3 ? words[3] : ""
    switch words[2] {
    case "open":
      let session = type.init(connection)
      self.session = session
      isReady = session.isReady
      if !isReady { lines.append("! waits") }
      turn { $0?.opened(now: $1, into: &$2) }
    case "audio": try audio(rest)
    case "say": turn { $0?.text(rest, into: &$2) }
    case "finish": turn { [position] in $0?.finish(at: position, reason: rest, now: $1, into: &$2) }
    case "gap", "fill", "mute", "digit":
      let marker = try marker(words[2], rest.split(separator: " ").map(String.init))
      turn { $0?.marker(marker, into: &$2) }
    default:
      let report = try report(words[2], rest)
      turn { $0?.playback(report, into: &$2) }
    }
  }

  /// `0 100 160x-1`: samples, interleaved; in front of them `at 4800` where the stream has jumped.
  private mutating func audio(_ line: String) throws {
    guard isReady, session != nil else { throw Malformed(description: "audio before the session is ready") }
    var words = line.split(separator: " ").map(String.init)
    if words.first == "at", words.count > 1 {
      position = Position(try value(UInt64(words[1])))
      words.removeFirst(2)
    }
    var samples: [Int16] = []
    for word in words {
      let parts = word.split(separator: "x").map(String.init)
      let count = parts.count == 2 ? try value(Int(parts[0])) : 1
      samples += [Int16](repeating: try value(Int16(parts[parts.count - 1])), count: count)
    }
    let block = AudioBlock(samples, channelCount: connection.stream.channelCount, at: position)
    position = block.end
    var output = DialectOutput()
    session?.audio(block, now: now, into: &output)
    write(output)
    if output.audioBytes > 0 { lines.append("! \(output.audioBytes) bytes of audio") }
  }

  private func marker(_ name: String, _ words: [String]) throws -> StreamMarker {
    let direction: Direction = words.first == "out" ? .out : .in
    let number = try value(words.dropFirst().first.flatMap { UInt64($0) })
    switch name {
    case "gap":
      return .gap(
        Gap(direction: direction, start: position.frames, count: number, reason: .overrun, position: position))
    case "fill": return .fill(direction, position: position, frames: number)
    case "mute": return .mute(direction, position: position, frames: number)
    default:
      let digit = try value(words.last?.utf8.first)
      return .digit(direction, position: position, digit: digit, milliseconds: number)
    }
  }

  private func report(_ name: String, _ rest: String) throws -> PlaybackReport {
    let words = rest.split(separator: " ", omittingEmptySubsequences: false).map(String.init)
    switch name {
    case "played":
      return .played(item: words.dropLast().joined(separator: " "), milliseconds: try value(UInt64(words.last ?? "")))
    case "mark-played": return .markPlayed(rest)
    case "mark-cleared": return .markCleared(rest)
    case "cleared": return .cleared
    case "drained": return .drained
    case "high": return .high
    case "low": return .low
    case "status": return .status(queuedMilliseconds: try value(UInt64(words[0])), isPaused: words.last == "paused")
    default: throw Malformed(description: "no such event")
    }
  }

  private mutating func receive(_ line: String) throws {
    let words = line.split(separator: " ", maxSplits: 1).map(String.init)
    let rest = words.count > 1 ? words[1] : ""
    switch words.first {
    case "text": turn { $0?.received(.text(rest), now: $1, into: &$2) }
    case "binary":
      guard type.takesBinary else { throw Malformed(description: "the dialect takes no binary message") }
      let bytes = try TranscriptWords.bytes(rest)
      turn { $0?.received(.binary(bytes), now: $1, into: &$2) }
    case "close":
      let words = rest.split(separator: " ", maxSplits: 1).map(String.init)
      let meaning = session?.meaning(
        ofClose: words.first.flatMap { UInt16($0) }, reason: words.count > 1 ? words[1] : "")
      lines.append("! the Close means: \(meaning.map { "\($0)" } ?? "what it means in any dialect")")
      session = nil
    case "refusal":
      let words = rest.split(separator: " ", maxSplits: 1).map(String.init)
      let refusal = UpgradeRefusal(status: try value(words.first.flatMap { Int($0) }), text: words.dropFirst().joined())
      lines.append("! the answer means: \(type.meaning(of: refusal).map { "\($0)" } ?? "what it means in any dialect")")
    default: throw Malformed(description: "neither text, binary, close nor refusal")
    }
  }

  private func value<Value>(_ value: Value?) throws -> Value {
    guard let value else { throw Malformed(description: "a value that is none") }
    return value
  }

  // MARK: - What the session makes of it

  private mutating func turn(_ turn: (inout (any DialectSession)?, MonotonicTime, inout DialectOutput) -> Void) {
    var output = DialectOutput()
    turn(&session, now, &output)
    write(output)
    if let session, session.isReady != isReady {
      isReady = session.isReady
      lines.append(isReady ? "! ready" : "! waits")
    }
    if let deadline = session?.deadline, timer.map({ deadline < $0 }) ?? true { timer = deadline }
  }

  private mutating func write(_ output: DialectOutput) {
    for message in output.shownMessages {
      switch message {
      case .text(let text): lines.append("> text \(text)")
      case .binary(let bytes): lines.append("> binary\(bytes.isEmpty ? "" : " ")\(TranscriptWords.shown(bytes))")
      }
    }
    for action in output.actions { lines.append("! \(TranscriptWords.shown(action))") }
  }

  private mutating func pass(until time: MonotonicTime) throws {
    while let due = timer, due <= time {
      timer = nil
      now = max(now, due)
      guard let deadline = session?.deadline else { continue }
      if deadline > now {
        timer = deadline
        continue
      }
      lines.append("~ \((now - .start).wholeMilliseconds) ms")
      turn { $0?.timeout(now: $1, into: &$2) }
      if let timer, timer <= now { throw Malformed(description: "the deadline stays in the past") }
    }
    now = time
  }
}
