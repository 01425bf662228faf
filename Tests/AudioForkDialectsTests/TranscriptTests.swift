// SPDX-License-Identifier: Apache-2.0
import AudioForkDialects
import AudioForkSurface
import Foundation
import Testing

/// Each dialect's conversation with a server is a file in Transcripts, word for word.
///
/// A session whose words change on purpose: `AUDIOFORK_RECORD=1 swift test --filter TranscriptTests` writes the files
/// again, and `git diff` shows what has changed.
@Suite("Golden transcripts")
struct TranscriptTests {
  /// The dialects that there are, by their names, and those that show what the protocol carries.
  private static let sessions: [(file: String, type: any DialectSession.Type)] =
    DialectTraits.all.map { ($0.name.description, DialectRegistry.session(of: $0.dialect)) }
    + [
      ("skeleton-twilio", TwilioSkeleton.self),
      ("skeleton-chan-websocket", ChanWebSocketSkeleton.self),
      ("skeleton-chan-websocket-plain", ChanWebSocketSkeleton.self),
      ("skeleton-openai-realtime", OpenAIRealtimeSkeleton.self),
      ("skeleton-elevenlabs", ElevenLabsSkeleton.self),
      ("skeleton-deepgram", DeepgramSkeleton.self),
    ]

  private static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .appendingPathComponent("Transcripts")

  @Test("The conversation is as in the file", arguments: sessions.map(\.file))
  func conversation(file: String) throws {
    let place = TranscriptTests.folder.appendingPathComponent("\(file).txt")
    let type = try #require(TranscriptTests.sessions.first { $0.file == file }?.type)
    let golden = try String(contentsOf: place, encoding: .utf8)
    let played = try TranscriptPlayer.play(golden, as: type)
    if ProcessInfo.processInfo.environment["AUDIOFORK_RECORD"] != nil {
      try played.write(to: place, atomically: true, encoding: .utf8)
    }
    #expect(played == golden, "\(TranscriptTests.difference(golden, played))")
    // A file without a word of the session would hold nothing.
    #expect(golden.contains("\n> ") || golden.contains("\n! "))
  }

  @Test("Each file is played")
  func complete() throws {
    let files = try FileManager.default.contentsOfDirectory(atPath: TranscriptTests.folder.path)
    #expect(files.sorted() == TranscriptTests.sessions.map { "\($0.file).txt" }.sorted())
  }

  @Test("A difference shows the lines around it")
  func differences() {
    #expect(TranscriptTests.difference("a\nb\nc\nd\ne\nf", "a\nb\nc\nX\ne\nf") == "\n  b\n  c\n- d\n+ X\n  e\n  f")
    #expect(TranscriptTests.difference("a\nb", "a\nb") == "")
    #expect(TranscriptTests.difference("a\nb\nc\nd", "b\nc\nd\ne") == "\n- a\n  b\n  c\n  d\n+ e")
  }

  @Test("Bytes are shown so that they can be read again")
  func bytes() throws {
    let bytes: [UInt8] = [0, 1, 255, 255, 255, 255, 7, 7]
    #expect(TranscriptWords.shown(bytes) == "00 01 ff*4 07 07")
    #expect(try TranscriptWords.bytes("00 01 ff*4 07 07") == bytes)
    #expect(throws: TranscriptPlayer.Malformed.self) { try TranscriptWords.bytes("0g") }
  }

  /// What differs: lines of the file with `-`, lines of the session with `+`, and two lines around each.
  private static func difference(_ golden: String, _ played: String) -> String {
    let (old, new) = (golden.components(separatedBy: "\n"), played.components(separatedBy: "\n"))
    let changes = new.difference(from: old)
    let removed = Set(changes.removals.compactMap { if case .remove(let offset, _, _) = $0 { offset } else { nil } })
    let inserted = Set(changes.insertions.compactMap { if case .insert(let offset, _, _) = $0 { offset } else { nil } })
    var lines: [(text: String, isChange: Bool)] = []
    var (from, to) = (0, 0)
    while from < old.count || to < new.count {
      if removed.contains(from) {
        lines.append(("- \(old[from])", true))
        from += 1
      } else if inserted.contains(to) {
        lines.append(("+ \(new[to])", true))
        to += 1
      } else {
        lines.append(("  \(old[from])", false))
        from += 1
        to += 1
      }
    }
    return lines.indices.filter { index in
      lines[max(0, index - 2)...min(lines.count - 1, index + 2)].contains { $0.isChange }
    }.map { "\n\(lines[$0].text)" }.joined()
  }
}
