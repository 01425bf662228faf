// SPDX-License-Identifier: Apache-2.0
import AudioForkCapture
import AudioForkLink
import AudioForkSurface
import CAsterisk
import Foundation
import Testing

extension CaptureRealTimeTests {
  @Test("AMI starts, lists, mutes and ends forks; WsServer, Options and Command stand apart")
  func actions() throws {
    try withModule { channel, engine in
      let reply = Self.blocks(
        Self.action(
          "Action: AudioFork\nActionID: 7\nChannel: PJSIP/100-1\nWsServer: ws://u:p@host/x\nOptions: D(in)H(X-A: 1,2)"))
      let id = try #require(reply.first?["AudioForkID"])
      #expect(reply == [["Response": "Success", "ActionID": "7", "AudioForkID": id]])
      #expect(FakedAsterisk.variable(channel, "AUDIOFORK_WSSERVER") == "ws://host/x")
      #expect(fake_hooks(channel) == 1)

      let list = Self.blocks(Self.action("Action: AudioForks\nActionID: 8"))
      #expect(list.count == 3)
      #expect(list.first?["EventList"] == "start" && list.first?["Response"] == "Success")
      #expect(list[1]["Event"] == "AudioForkList" && list[1]["ActionID"] == "8" && list[1]["AudioForkID"] == id)
      #expect(list[1]["WsServer"] == "ws://host/x" && list[1]["Direction"] == "in" && list[1]["Muted"] == "no")
      #expect(Set(list[1].keys) == Set(ForkFact.all.map { "\($0.name)" } + ["Event", "ActionID"]))
      #expect(
        list.last?["Event"] == "AudioForksComplete" && list.last?["ListItems"] == "1"
          && list.last?["EventList"] == "Complete")
      #expect(Self.blocks(Self.action("Action: AudioForks\nChannel: PJSIP/100-1")).count == 3)
      #expect(
        Self.blocks(Self.action("Action: AudioForks\nChannel: PJSIP/999-1")) == [
          ["Response": "Error", "Message": "No such channel"]
        ])

      for (state, direction, muted) in [
        ("on", "read", "read"), ("1", "write", "both"), ("off", "READ", "write"), ("0", "both", "no"),
      ] {
        let answer = Self.action(
          "Action: AudioForkMute\nChannel: PJSIP/100-1\nDirection: \(direction)\nState: \(state)")
        #expect(answer == "Response: Success\r\n\r\n")
        #expect(Self.blocks(Self.action("Action: AudioForks"))[1]["Muted"] == muted)
      }
      #expect(
        Self.action("Action: StopAudioFork\nChannel: PJSIP/100-1\nAudioForkID: \(id)") == "Response: Success\r\n\r\n")
      #expect(fake_hooks(channel) == 0)
    }
  }

  @Test("An AMI request that cannot be met is answered with Error and a sentence")
  func actionErrors() throws {
    try withModule { channel, _ in
      for (request, message) in [
        ("Action: AudioFork", "No channel specified"),
        ("Action: AudioFork\nChannel: PJSIP/999-1", "No such channel"),
        (
          "Action: AudioFork\nChannel: PJSIP/100-1",
          "No WsServer specified. Must be a ws:// or wss:// URL, or a profile of audiofork.conf"
        ),
        (
          "Action: AudioFork\nChannel: PJSIP/100-1\nWsServer: ws://host/\nOptions: D(up)",
          "Could not start monitoring channel: option D does not accept 'up'; the form is D(in|out|both|stereo)"
        ),
        ("Action: StopAudioFork", "No channel specified"),
        ("Action: StopAudioFork\nChannel: PJSIP/999-1", "No such channel"),
        ("Action: StopAudioFork\nChannel: PJSIP/100-1", "Could not stop monitoring channel: the channel has no fork"),
        (
          "Action: StopAudioFork\nChannel: PJSIP/100-1\nAudioForkID: x",
          "Could not stop monitoring channel: the channel has no fork with the id x"
        ),
        (
          "Action: AudioForkMute\nChannel: PJSIP/100-1\nState: 1", "No direction specified. Must be read, write or both"
        ),
        (
          "Action: AudioForkMute\nChannel: PJSIP/100-1\nDirection: in\nState: 1",
          "Invalid direction specified. Must be read, write or both"
        ),
        ("Action: AudioForkMute\nDirection: both\nState: 1", "No channel specified"),
        ("Action: AudioForkMute\nChannel: PJSIP/100-1\nDirection: both", "No state specified. Must be on or off"),
        (
          "Action: AudioForkMute\nChannel: PJSIP/100-1\nDirection: both\nState: 2",
          "Invalid state specified. Must be on or off"
        ),
        ("Action: AudioForkMute\nChannel: PJSIP/999-1\nDirection: both\nState: 1", "No such channel"),
        (
          "Action: AudioForkMute\nChannel: PJSIP/100-1\nDirection: both\nState: 1",
          "Cannot set mute flag: the channel has no fork"
        ),
        ("Action: AudioForkSendText", "No AudioForkID specified"),
        ("Action: AudioForkSendText\nAudioForkID: x", "No text specified"),
        ("Action: AudioForkSendText\nAudioForkID: x\nText: y", "Could not send text: there is no fork with the id x"),
        ("Action: AudioForkSendText\nAudioForkID: x\nText: y\nChannel: z", "No such channel"),
        (
          "Action: AudioForkSendText\nAudioForkID: x\nText: y\nChannel: PJSIP/100-1",
          "Could not send text: the channel has no fork with the id x"
        ),
      ] {
        #expect(
          Self.blocks(Self.action(request + "\nActionID: 1")) == [
            ["Response": "Error", "ActionID": "1", "Message": message]
          ])
      }
      #expect(fake_hooks(channel) == 0)
    }
  }

  @Test("Nothing from outside adds a line to an AMI answer")
  func injection() throws {
    try withModule("PJSIP/1\r\nEvent: Forged") { channel, engine in
      let id = try startedFork(channel)
      engine.sayState(id, "streaming\r\nEvent: Forged", reason: "a\r\n\r\nResponse: Forged\u{1}")
      #expect(soon { Self.cli("audiofork list").contains("unknown") }, "a state that is none is not repeated")
      let answer = Self.action("Action: AudioForks\nActionID: 1")
      #expect(!answer.contains("\nEvent: Forged") && !answer.contains("\nResponse: Forged"))
      #expect(answer.contains(#"Channel: PJSIP/1\r\nEvent: Forged"#))
      #expect(answer.contains(#"Reason: a\r\n\r\nResponse: Forged\001"#))
      #expect(Self.cli("audiofork show fork \(id)").contains("State: unknown\nReason: "))
      // HTTP decodes what a line could not hold.
      let refused = Self.action("Action: StopAudioFork\nChannel: PJSIP/1\u{d}")
      #expect(refused.contains("No such channel"))
    }
  }

  @Test("Strings of ten kilobytes and odd bytes are refused with a short line, and nothing is left of them")
  func longInput() throws {
    try withModule { channel, _ in
      let long = String(repeating: "x", count: 10_240)
      let odd = "\u{1}\u{7f}\t\u{1b}[31m\\%s%n"
      for text in [long, odd, long + "(", "((((" + long, "ws://" + long, "ws://h/" + long] {
        for (url, options) in [
          ("ws://host/", "D(\(text))"), ("ws://host/", text), (text, ""), ("ws://host/", "H(\(text)"),
        ] {
          let answer = Self.action("Action: AudioFork\nChannel: PJSIP/100-1\nWsServer: \(url)\nOptions: \(options)")
          #expect(answer.hasPrefix("Response: Error\r\nMessage: Could not start monitoring channel: "))
          #expect(answer.utf8.count < 700 && answer.components(separatedBy: "\r\n").count == 4, "\(answer)")
          #expect(af_exec_start(channel, "\(url),\(options)") == 0)
          #expect(FakedAsterisk.variable(channel, "AUDIOFORKSTATUS") == "FAILED")
          let line = Self.cli("audiofork start PJSIP/100-1 \(url),\(options)")
          #expect(
            line.hasPrefix("Not started: ") && line.utf8.count < 700 && line.split(separator: "\n").count == 1,
            "\(line)")
        }
        for action in [
          "AudioForkMute\nDirection: \(text)", "AudioForkMute\nDirection: both\nState: \(text)",
          "AudioForkSendText\nText: x",
        ] {
          let answer = Self.action("Action: \(action)\nChannel: PJSIP/100-1\nAudioForkID: \(text)")
          #expect(answer.hasPrefix("Response: Error\r\nMessage: "))
        }
        #expect(fake_function(channel, "\(text),url", 256) == nil)
        #expect(fake_function(channel, "id,\(text)", 256) == nil)
      }
      #expect(FakedAsterisk.log.split(separator: "\n").allSatisfy { $0.utf8.count < 900 })
      #expect(fake_hooks(channel) == 0)
      #expect(soon { fake_references(channel) == 1 })
      #expect(fake_module_references() == 0)
    }
  }

  @Test("An action needs the privileges that it had in the original, and running a command needs system")
  func privileges() throws {
    try withModule { (_: OpaquePointer, _: FakedEngine) in
      let system: Int32 = 1 << 0, call: Int32 = 1 << 1, reporting: Int32 = 1 << 9
      #expect(fake_authority("AudioFork") == system)
      #expect(fake_authority("StopAudioFork") == system | call)
      #expect(fake_authority("AudioForkMute") == system | call)
      #expect(fake_authority("AudioForkSendText") == system | call)
      #expect(fake_authority("AudioForks") == system | call | reporting)
    }
  }

  @Test("A text goes to the engine where the fork has a connection")
  func texts() throws {
    try withModule { channel, engine in
      let id = try startedFork(channel)
      let request = "Action: AudioForkSendText\nAudioForkID: \(id)\nChannel: PJSIP/100-1\nText: {\"a\":1}"
      #expect(Self.action(request).contains("the fork has no connection at the moment"))
      engine.sayState(id, "streaming")
      #expect(soon { Self.cli("audiofork list").contains("streaming") })
      #expect(Self.action(request) == "Response: Success\r\n\r\n")
      var types: [UInt16] = []
      while let message = engine.next(within: 500) { types.append(message.type) }
      #expect(types.contains(LinkMessageKind.sendText.rawValue))
    }
  }
}
