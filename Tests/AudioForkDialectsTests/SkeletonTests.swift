// SPDX-License-Identifier: Apache-2.0
import AudioForkDialects
import AudioForkMedia
import AudioForkSurface
import AudioForkTestKit
import Foundation
import Testing

/// What golden transcripts of the skeletons cannot show.
@Suite("Skeletons of dialects")
struct SkeletonTests {
  @Test("Audio of any length is the same behind base64, with padding, without it and with line ends")
  func base64() {
    for count in [0, 1, 2, 3, 159, 160, 161, 320, 48_000] {
      let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7) }
      let text = base64Text(bytes)
      #expect(base64Bytes(text) == bytes)
      #expect(base64Bytes(text.replacing("=", with: "")) == bytes)
      #expect(base64Bytes(text.replacing("A", with: "\r\nA")) == bytes)
    }
    for text in ["A", "AAAAA", "A=AA", "AA-A", "AA A", "é"] { #expect(base64Bytes(text) == nil) }
    // 20 ms of silence.
    let silence = base64Text(SampleEncoding.muLaw.bytes(of: [Int16](repeating: 0, count: 160)))
    #expect(silence.utf8.count == 216 && silence.hasPrefix("////") && silence.hasSuffix("w=="))
  }

  @Test("A server that wants 16 kHz gets the same tone at twice the rate")
  func conversion() throws {
    var session = ElevenLabsSkeleton(ConnectionDescription(.test))
    let facts = #"{"user_input_audio_format":"pcm_16000","agent_output_audio_format":"pcm_16000"}"#
    let metadata =
      #"{"type":"conversation_initiation_metadata","conversation_initiation_metadata_event":\#(facts)}"#
    #expect(session.understood(metadata) == [] && session.isReady)
    var samples: [Int16] = []
    for block in 0..<10 {
      let tone = (0..<160).map { index in
        Int16(8000 * sin(2 * Double.pi * 440 * Double(block * 160 + index) / 8000))
      }
      let messages = session.sent(tone, at: Position(UInt64(block * 160)))
      guard case .text(let text)? = messages.first else { throw NoAudio() }
      let bytes = try #require(try JSONValue(parsing: text)["user_audio_chunk"]?.text.flatMap(base64Bytes))
      #expect(bytes.count == 640)
      samples += stride(from: 0, to: bytes.count, by: 2).map {
        Int16(bitPattern: UInt16(bytes[$0]) | UInt16(bytes[$0 + 1]) << 8)
      }
    }
    // Behind the filter's beginning: 440 Hz have 22 zero crossings upward in 50 ms, and the same height.
    let later = samples[800..<2400]
    let crossings = zip(later, later.dropFirst()).filter { $0 < 0 && $1 >= 0 }.count
    #expect(crossings == 44)
    #expect((7600...8400).contains(Int(later.max() ?? 0)))
  }

  @Test("Formats that are not known end the connection")
  func formats() {
    for format in ["mp3_44100", "pcm_7", "pcm", "ulaw_x", ""] {
      var session = ElevenLabsSkeleton(ConnectionDescription(.test))
      let facts = #"{"user_input_audio_format":"\#(format)","agent_output_audio_format":"pcm_16000"}"#
      let said = session.understood(
        #"{"type":"conversation_initiation_metadata","conversation_initiation_metadata_event":\#(facts)}"#)
      #expect(said == [.violation("audio formats that are not known")] && !session.isReady)
    }
  }

  private struct NoAudio: Error {}

  private static let types: [any DialectSession.Type] = [
    TwilioSkeleton.self, ChanWebSocketSkeleton.self, OpenAIRealtimeSkeleton.self, ElevenLabsSkeleton.self,
    DeepgramSkeleton.self,
  ]

  /// What servers say in the transcripts.
  private static func serverTexts() throws -> [String] {
    let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("Transcripts")
    return try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted().flatMap { file in
      try String(contentsOf: folder.appendingPathComponent(file), encoding: .utf8).split(separator: "\n")
        .filter { $0.hasPrefix("< text ") }.map { String($0.dropFirst(7)) }
    }
  }

  @Test("No session traps or talks without limit, whatever a server says", arguments: 0..<5)
  func hostileServers(index: Int) throws {
    let type = Self.types[index]
    var random = SeededRandom(seed: UInt64(4711 + index))
    let texts = try Self.serverTexts()
    #expect(texts.count > 80)
    for _ in 0..<40 {
      var session = type.init(ConnectionDescription(.test, position: 160))
      var output = DialectOutput()
      session.opened(now: .start, into: &output)
      for step in 0..<40 {
        output.removeAll()
        let text = Self.damaged(texts.randomElement(using: &random) ?? "", using: &random)
        session.received(.text(text), now: .start + .milliseconds(Int64(step)), into: &output)
        #expect(output.actions.count <= 4 && output.shownMessages.count <= 2)
        session.playback(.played(item: "i1", milliseconds: .max), into: &output)
        session.playback(.cleared, into: &output)
        if session.isReady {
          // Of before the connection's position, too.
          session.audio(
            AudioBlock([Int16](repeating: 1, count: 160), channelCount: 1, at: Position(UInt64(step * 80))),
            now: .start, into: &output)
        }
      }
      session.finish(at: 6400, reason: "ended", now: .start, into: &output)
      _ = session.meaning(ofClose: nil, reason: "")
    }
  }

  /// The text with up to three bytes changed, left out or doubled.
  private static func damaged(_ text: String, using random: inout SeededRandom) -> String {
    var bytes = Array(text.utf8)
    for _ in 0..<Int.random(in: 0...3, using: &random) where !bytes.isEmpty {
      let place = Int.random(in: 0..<bytes.count, using: &random)
      switch Int.random(in: 0...2, using: &random) {
      case 0: bytes[place] = UInt8.random(in: 32...126, using: &random)
      case 1: bytes.remove(at: place)
      default: bytes.insert(bytes[place], at: place)
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}
