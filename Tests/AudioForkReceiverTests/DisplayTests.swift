// SPDX-License-Identifier: Apache-2.0
import AudioForkDialects
import AudioForkReceiver
import Glibc
import NIOHTTP1
import Testing

private func facts(_ number: Int = 1, path: String = "/demo") -> StreamFacts {
  let head = HTTPRequestHead(
    version: .http1_1, method: .GET, uri: path,
    headers: ["AudioFork-ID": "4f", "AudioFork-Channel": "SIP/\"x\"", "Sec-WebSocket-Protocol": "echo"])
  return StreamFacts(number: number, request: StreamRequest(head), remote: "127.0.0.1:5000")
}

private func progress(frames: Int, samples: [Int16] = [16384, -16384]) -> StreamProgress {
  var progress = StreamProgress()
  progress.frameCount = frames
  progress.messages = 50
  progress.level.add(samples)
  return progress
}

@Suite("Event lines")
struct EventLinesTests {
  @Test("The first line begins with the address")
  func listening() {
    let event = ReceiverEvent.listening(url: "ws://127.0.0.1:8080/", port: 8080, folder: "/tmp/r")
    #expect(EventLines.plain(event) == "listening on ws://127.0.0.1:8080/ - recordings go to /tmp/r")
    #expect(
      EventLines.json(event)
        == #"{"event":"listening","url":"ws://127.0.0.1:8080/","port":8080,"folder":"/tmp/r","#
        + #""message":"listening on ws://127.0.0.1:8080/ - recordings go to /tmp/r"}"#)
  }

  @Test("Each event of a stream is one JSON object")
  func json() {
    let stream =
      #""path":"/demo","id":"4f","channel":"SIP/\"x\"","remote":"127.0.0.1:5000","#
      + #""rate":8000,"channels":1,"encoding":"linear""#
    #expect(
      EventLines.json(.started(facts(), file: "/r/a.wav"))
        == #"{"event":"started","stream":1,\#(stream),"subprotocol":"echo","position":0,"file":"/r/a.wav","notes":[]}"#)
    #expect(
      EventLines.json(.progress(facts(), progress(frames: 8160)))
        == #"{"event":"progress","stream":1,"seconds":1.020,"bytes":16320,"messages":50,"#
        + #""texts":0,"duplicates":0,"level":-6.0,"peak":-6.0}"#)
    let ending = StreamEnding(side: .client, code: 1000, reason: "")
    #expect(
      EventLines.json(.ended(facts(), progress(frames: 0, samples: []), ending, file: nil, trouble: "disk \"full\""))
        == #"{"event":"ended","stream":1,\#(stream),"subprotocol":"echo","position":0,"file":"","seconds":0.000,"#
        + #""bytes":0,"messages":50,"texts":0,"duplicates":0,"level":null,"peak":null,"#
        + #""code":1000,"by":"client","reason":"","error":"disk \"full\""}"#)
  }

  @Test("The page's table has every event with its keys, in their order")
  func page() throws {
    var root = #filePath.split(separator: "/")
    root.removeLast(3)
    let lines = try #require(contents("/" + root.joined(separator: "/") + "/docs/receiving/serve.md"))
      .split(separator: "\n")
    let ending = StreamEnding(side: .client, code: 1000, reason: "")
    let told: [ForkMessage] = [
      .text("t"), .gap(direction: "in", position: 1, start: 2, samples: 3, reason: "r"),
      .fill(direction: "in", position: 1, frames: 2), .mute(direction: "in", position: 1, frames: 2),
      .digit(direction: "in", position: 1, digit: "5", milliseconds: 90), .stop(position: 1, reason: "r"),
      .unknown(type: "later"),
    ]
    let events: [ReceiverEvent] =
      [
        .listening(url: "u", port: 1, folder: "f"), .started(facts(), file: "f"),
        .progress(facts(), progress(frames: 1)),
        .ended(facts(), progress(frames: 1), ending, file: "f", trouble: nil), .warning("w"), .dropped(1),
      ] + told.map { .message(facts(), $0) }
    for event in events {
      guard case .object(let members) = try JSONValue(parsing: EventLines.json(event)) else {
        Issue.record("no object")
        continue
      }
      let name = try #require(members.first?.value.text)
      let row = try #require(lines.first { $0.hasPrefix("| `\(name)` |") }, "\(name) has no row")
      // Words in backticks of the second column.
      let words = row.split(separator: "`").enumerated().filter { $0.offset % 2 == 1 }.map { String($0.element) }
      #expect(words.dropFirst().filter { $0 != "audiofork.v1" } == members.dropFirst().map(\.name), "\(name)")
    }
  }

  private func contents(_ path: String) -> String? {
    guard let file = fopen(path, "r") else { return nil }
    defer { fclose(file) }
    var bytes = [UInt8](repeating: 0, count: 1 << 20)
    let count = fread(&bytes, 1, bytes.count, file)
    return String(decoding: bytes.prefix(count), as: UTF8.self)
  }

  @Test("A stream that is not linear on the wire says so")
  func encoding() {
    let head = HTTPRequestHead(
      version: .http1_1, method: .GET, uri: "/a", headers: ["AudioFork-Format": "ulaw", "AudioFork-Channels": "2"])
    let event = ReceiverEvent.started(
      StreamFacts(number: 3, request: StreamRequest(head), remote: "127.0.0.1:5000"), file: "/r/a.wav")
    #expect(EventLines.plain(event) == "[3] started /a from 127.0.0.1:5000, 8000 Hz, 2 channels, ulaw -> /r/a.wav")
    #expect(EventLines.json(event).contains(#""channels":2,"encoding":"ulaw","#))
  }

  @Test("Text from a client can neither break a line nor steer a terminal")
  func hostile() {
    let text = "a\n\u{1B}[2J\u{9B}1m\u{202E}\u{2028}\"\\\0ü"
    #expect(
      EventLines.json(.text(facts(), text))
        == #"{"event":"text","stream":1,"text":"a\n\u001b[2J\u009b1m\#u{202E}\u2028\"\\\u0000ü"}"#)
    #expect(EventLines.plain(.text(facts(), text)) == "[1] text: a??[2J?1m??\"\\?ü")
    #expect(EventLines.plain(.started(facts(path: "/\u{1B}c"), file: "f")).contains("started /?c from"))
  }

  @Test("The plain end line says how long, how much and why")
  func ended() {
    let ending = StreamEnding(side: .server, code: 1011, reason: "full")
    #expect(
      EventLines.plain(.ended(facts(), progress(frames: 8000), ending, file: "/r/a.wav", trouble: "no space"))
        == "[1] ended /r/a.wav  1.00 s, 16000 bytes, 50 messages, -6.0 dBFS; closed by the receiver with 1011 (full)\n"
        + "[1] error: no space")
  }
}

@Suite("The terminal")
struct LiveBlockTests {
  private let second: Int64 = 1_000_000_000

  @Test("Each open stream has one row, redrawn in place and cut to the width")
  func rows() {
    var live = LiveBlock()
    _ = live.characters(for: .started(facts(1), file: "/r/one.wav"), columns: 60, lines: 24, now: 0)
    let two = live.characters(for: .started(facts(2), file: "/r/two.wav"), columns: 60, lines: 24, now: second)
    #expect(two.hasPrefix("\u{1B}[1A\r\u{1B}[J[2] started"))
    let drawn = live.characters(
      for: .progress(facts(2), progress(frames: 8000)), columns: 40, lines: 24, now: 2 * second)
    #expect(drawn.hasPrefix("\u{1B}[2A\r\u{1B}[J"))
    let lines = drawn.split(separator: "\n")
    #expect(lines.count == 2)
    #expect(lines.last?.contains("1.0 s  [██████████████████░░]") == true)
    #expect(lines.allSatisfy { $0.filter { $0 != "\r" }.count <= 39 + 7 })
    let ended = live.characters(
      for: .ended(
        facts(1), progress(frames: 8), StreamEnding(side: .lost, code: 1006, reason: ""), file: "/r/one.wav",
        trouble: nil), columns: 60, lines: 24, now: 3 * second)
    #expect(ended.hasPrefix("\u{1B}[2A\r\u{1B}[J[1] ended /r/one.wav"))
    #expect(!ended.contains("started"))
    #expect(ended.contains("two.wav"))
  }

  @Test("Progress that follows a drawing closely draws nothing")
  func pace() {
    var live = LiveBlock()
    _ = live.characters(for: .started(facts(1), file: "one.wav"), columns: 60, lines: 24, now: 0)
    let event = ReceiverEvent.progress(facts(1), progress(frames: 8000))
    #expect(live.characters(for: event, columns: 60, lines: 24, now: LiveBlock.drawingInterval - 1) == "")
    #expect(live.characters(for: event, columns: 60, lines: 24, now: LiveBlock.drawingInterval).contains("1.0 s"))
  }

  @Test("Streams beyond the terminal's height are counted")
  func manyStreams() {
    var live = LiveBlock()
    var last = ""
    for number in 1...10 {
      last = live.characters(for: .started(facts(number), file: "\(number).wav"), columns: 80, lines: 6, now: 0)
    }
    #expect(last.hasSuffix("… and 7 more\n"))
    #expect(last.hasPrefix("\u{1B}[4A"))
  }
}
