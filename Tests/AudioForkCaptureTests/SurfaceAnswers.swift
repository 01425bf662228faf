// SPDX-License-Identifier: Apache-2.0
import AudioForkCapture
import AudioForkLink
import AudioForkSurface
import CAsterisk
import Foundation
import Testing

extension CaptureRealTimeTests {
  /// What the faked Asterisk gives back, freed.
  static func taken(_ text: UnsafeMutablePointer<CChar>?) -> String? {
    guard let text else { return nil }
    defer { free(text) }
    return String(cString: text)
  }

  static func cli(_ line: String) -> String { taken(fake_cli(line)) ?? "no such command" }
  static func action(_ lines: String) -> String { taken(fake_action(lines)) ?? "no such action" }

  /// The headers of each block of an answer.
  static func blocks(_ answer: String) -> [[String: String]] {
    answer.components(separatedBy: "\r\n\r\n").filter { !$0.isEmpty }.map { block in
      var headers: [String: String] = [:]
      for line in block.components(separatedBy: "\r\n") {
        let parts = line.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        headers[String(parts[0])] = parts.count > 1 ? parts[1].trimmingCharacters(in: .whitespaces) : "not a header"
      }
      return headers
    }
  }

  static func completions(_ line: String) -> [String] {
    var words: [String] = []
    while let word = taken(fake_complete(line, Int32(words.count))) { words.append(word) }
    return words
  }

  /// A loaded module with one channel; everything is ended afterwards.
  func withModule(_ channelName: String = "PJSIP/100-1", _ body: (OpaquePointer, FakedEngine) throws -> Void) throws {
    let asterisk = try #require(FakedAsterisk.load("buffer=1"))
    let engine = try #require(FakedEngine())
    engine.sayReady()
    let channel = try #require(fake_channel(channelName, 8000))
    try body(channel, engine)
    fake_hangup(channel)
    for line in Self.cli("audiofork list").split(separator: "\n") where line.hasPrefix("af-") {
      engine.sayEnded(String(line.prefix { $0 != " " }))
    }
    #expect(soon { fake_module_references() == 0 })
    engine.die()
    #expect(asterisk.unload())
  }

  func startedFork(_ channel: OpaquePointer, _ arguments: String = "ws://host/x,i(FORK)") throws -> String {
    _ = af_exec_start(channel, arguments)
    return try #require(FakedAsterisk.variable(channel, "FORK"))
  }
}
