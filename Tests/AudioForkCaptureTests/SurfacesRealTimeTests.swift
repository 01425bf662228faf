// SPDX-License-Identifier: Apache-2.0
import AudioForkCapture
import AudioForkLink
import AudioForkSurface
import CAsterisk
import Foundation
import Testing

extension CaptureRealTimeTests {
  @Test("Every command and action gives the channel back, also one that fails")
  func references() throws {
    try withModule { channel, _ in
      let id = try startedFork(channel)
      for line in [
        "start PJSIP/100-1 ws://host/", "start PJSIP/100-1 x", "mute PJSIP/100-1 read on",
        "mute PJSIP/100-1 read on nobody",
        "stop PJSIP/100-1 nobody", "list PJSIP/100-1", "show forks", "show fork \(id)", "stop PJSIP/100-1",
      ] {
        _ = Self.cli("audiofork " + line)
        #expect(soon { fake_references(channel) == 1 }, "\(line)")
      }
      for action in [
        "AudioFork\nWsServer: ws://host/", "AudioFork\nWsServer: x", "AudioFork",
        "AudioForkMute\nDirection: read\nState: 1",
        "AudioForkMute\nDirection: read\nState: 1\nAudioForkID: nobody",
        "AudioForkSendText\nText: x\nAudioForkID: \(id)",
        "AudioForks", "AudioForks\nAudioForkID: x", "StopAudioFork\nAudioForkID: nobody", "StopAudioFork",
        "StopAudioFork",
      ] {
        _ = Self.action("Action: \(action)\nChannel: PJSIP/100-1")
        #expect(soon { fake_references(channel) == 1 }, "\(action)")
      }
    }
  }

  @Test("AUDIOFORK() knows every key, also when the fork is over, and cuts at the buffer")
  func function() throws {
    try withModule { channel, engine in
      let id = try startedFork(channel, "ws://u:p@host/x,i(FORK)D(out)f(ulaw)")
      func value(_ key: String, _ length: Int = 256) -> String? {
        Self.taken(fake_function(channel, "\(id),\(key)", length))
      }
      #expect(value("filename") == "ws://host/x")
      #expect(value("url") == "ws://host/x")
      #expect(value("URL", 6) == "ws://")
      #expect(value("url", 1) == "")
      #expect(value("direction") == "out")
      #expect(value("format") == "ulaw")
      #expect(value("state") == "starting")
      for key in FunctionKey.all {
        #expect(value("\(key.name)") != nil)
        #expect(Self.taken(fake_function_long(channel, "\(id), \(key.name)")) != nil)
      }
      #expect(value("duration")?.wholeMatch(of: /[0-9]+\.[0-9]{3}/) != nil)

      #expect(value("colour") == nil)
      #expect(
        FakedAsterisk.log.contains("'colour' is no key; keys are url, filename, state, direction, format, duration"))
      #expect(fake_function(channel, "nobody,url", 64) == nil)
      #expect(FakedAsterisk.log.contains("there is no fork with the id 'nobody'"))
      #expect(fake_function(channel, "", 64) == nil)
      #expect(fake_function_long(channel, "\(id)") == nil)

      // The engine ends it in mid-call: its row goes, the channel still knows.
      engine.sayState(id, "streaming", position: 4242)
      engine.sayEnded(id)
      #expect(
        soon {
          let silence = [Int16](repeating: 0, count: 160)
          fake_frame(channel, AST_AUDIOHOOK_DIRECTION_WRITE, silence, 160)
          return Self.cli("audiofork list").hasSuffix("\n0 forks\n")
        })
      #expect(value("state") == "ended")
      #expect(value("position") == "4242")
    }
  }

  @Test("A fork that has ended cannot be muted, though its channel has not let go of it yet")
  func mutedTooLate() throws {
    try withModule { channel, engine in
      let id = try startedFork(channel)
      engine.sayEnded(id)
      #expect(soon { Self.cli("audiofork show fork \(id)").contains("State: ended\n") })
      let action = "Action: AudioForkMute\nChannel: PJSIP/100-1\nDirection: both\nState: on"
      #expect(Self.action(action).hasPrefix("Response: Error\r\n"))
      #expect(Self.cli("audiofork show fork \(id)").contains("Muted: no\n"))
    }
  }

  @Test("What became of a fork that was stopped is known until a hundred others have ended")
  func ended() throws {
    try withModule { channel, engine in
      func startAndStop() throws -> String {
        let id = try startedFork(channel, "ws://host/x,i(FORK)D(out)")
        engine.sayState(id, "streaming", position: 4242)
        #expect(soon { Self.cli("audiofork list").contains("streaming") })
        _ = af_exec_stop(channel, "")
        engine.sayEnded(id)
        #expect(soon { Self.cli("audiofork list").hasSuffix("\n0 forks\n") })
        return id
      }
      func position(_ id: String) -> String? { Self.taken(fake_function(channel, "\(id),position", 64)) }
      let first = try startAndStop()
      #expect(position(first) == "4242")
      #expect(Self.cli("audiofork show fork \(first)").contains("State: ended\n"))
      for _ in 1...99 { _ = try startAndStop() }
      #expect(position(first) == "4242")
      let last = try startAndStop()
      #expect(position(first) == nil && position(last) == "4242")
    }
  }

  @Test("The module brings its own help where Asterisk has none, and leaves it to Asterisk's XML where it has")
  func help() throws {
    try withModule { _, _ in
      let start = try #require(Self.taken(fake_help("application", "AudioFork")))
      for option in OptionDefinition.all {
        let form = String(decoding: option.form, as: UTF8.self)
        #expect(start.contains("\n  \(form):"), "\(form)")
      }
      #expect(start.contains("same => n,AudioFork(") && start.split(separator: "\n").allSatisfy { $0.count <= 100 })
      let function = try #require(Self.taken(fake_help("function", "AUDIOFORK")))
      for key in FunctionKey.all { #expect(function.contains("\n  \(key.name): ")) }
      for action in ActionDefinition.all {
        let text = try #require(Self.taken(fake_help("manager", "\(action.name)")))
        #expect(text.contains("Action: \(action.name)"))
        for parameter in action.parameters { #expect(text.contains("\(parameter.name): ")) }
      }
      #expect(try #require(Self.taken(fake_help("application", "StopAudioFork"))).contains("StopAudioFork([id])"))
    }
    fake_documented(1)
    defer { fake_documented(0) }
    try withModule { (_: OpaquePointer, _: FakedEngine) in
      for (kind, name) in [("application", "AudioFork"), ("function", "AUDIOFORK"), ("manager", "AudioForks")] {
        #expect(fake_help(kind, name) == nil)
      }
    }
  }
}
