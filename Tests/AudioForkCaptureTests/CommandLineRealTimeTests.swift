// SPDX-License-Identifier: Apache-2.0
import AudioForkCapture
import AudioForkLink
import AudioForkSurface
import CAsterisk
import Foundation
import Testing

extension CaptureRealTimeTests {
  @Test("The CLI's commands say what they did, and show their usage for a line of another form")
  func commands() throws {
    try withModule { channel, engine in
      #expect(Self.cli("audiofork start PJSIP/100-1 ws://host/a,H(X-Name: a b)i(FORK)").hasPrefix("Started fork af-"))
      let id = try #require(FakedAsterisk.variable(channel, "FORK"))
      #expect(Self.cli("audiofork start PJSIP/100-1 ws://bob:s3cret@host/b").hasPrefix("Started fork af-"))
      #expect(
        Self.cli("audiofork start PJSIP/100-1 http://host/")
          == "Not started: the URL must begin with ws:// or wss:// (given: 'http://host/')\n")
      #expect(
        Self.cli("audiofork start PJSIP/9 ws://host/")
          == "No channel is called PJSIP/9; 'core show channels' lists them.\n")

      let list = Self.cli("audiofork list")
      #expect(list.contains("ws://host/a\n") && list.contains("ws://host/b\n") && list.hasSuffix("2 forks\n"))
      #expect(Self.cli("audiofork list PJSIP/9").hasSuffix("0 forks\n"))
      let forks = Self.cli("audiofork show forks").split(separator: "\n").map {
        $0.split(separator: " ").map(String.init)
      }
      #expect(forks.first == ["Id", "Channel", "URL", "State", "Duration", "Lag", "Reconnects", "Lost"])
      #expect(forks.count == 4)
      #expect(forks[1].prefix(4) == [id, "PJSIP/100-1", "ws://host/a", "starting"])

      #expect(Self.cli("audiofork mute PJSIP/100-1 read on \(id)") == "Muted 1 fork of PJSIP/100-1.\n")
      #expect(Self.cli("audiofork mute PJSIP/100-1 both off") == "Unmuted 2 forks of PJSIP/100-1.\n")
      #expect(Self.cli("audiofork mute PJSIP/100-1 up on") == "'up' is no direction; it is read, write or both.\n")
      #expect(Self.cli("audiofork mute PJSIP/100-1 read maybe") == "'maybe' is neither on nor off.\n")
      #expect(Self.cli("audiofork mute PJSIP/100-1 read on nobody").contains("has no such fork"))

      let lines = Self.cli("audiofork show fork \(id)").split(separator: "\n").map(String.init)
      #expect(lines.map { String($0.prefix { $0 != ":" }) } == ForkFact.all.map { "\($0.name)" })
      // One second at 8 kHz, both directions, in powers of two: 32768 bytes for 32000 in a second.
      #expect(lines.contains("Buffer: 1.0"))
      #expect(lines.contains("Skew: 0"))
      #expect(Self.cli("audiofork show fork nobody").contains("There is no fork with the id nobody"))

      #expect(Self.cli("audiofork stop PJSIP/100-1 nobody").contains("has no such fork"))
      #expect(Self.cli("audiofork stop PJSIP/100-1 \(id)") == "Ended 1 fork of PJSIP/100-1.\n")
      #expect(Self.cli("audiofork stop PJSIP/100-1") == "Ended 1 fork of PJSIP/100-1.\n")
      #expect(!list.contains("s3cret") && !FakedAsterisk.log.contains("s3cret"))

      for line in [
        "audiofork start", "audiofork start PJSIP/100-1", "audiofork stop", "audiofork stop a b c",
        "audiofork list a b", "audiofork mute PJSIP/100-1 read", "audiofork mute a read on b c",
        "audiofork show fork", "audiofork show forks x", "audiofork show engine x",
      ] {
        #expect(Self.cli(line).hasPrefix("Usage: audiofork "), "\(line)")
      }
    }
  }

  @Test("The CLI completes channels, directions and ids")
  func completion() throws {
    try withModule { channel, _ in
      let id = try startedFork(channel)
      for command in ["start", "stop", "list", "mute"] {
        #expect(Self.completions("audiofork \(command) PJ") == ["PJSIP/100-1"])
      }
      #expect(Self.completions("audiofork stop PJSIP/100-1 ") == [id])
      #expect(Self.completions("audiofork stop PJSIP/999-1 ") == [])
      #expect(Self.completions("audiofork mute PJSIP/100-1 ") == ["read", "write", "both"])
      #expect(Self.completions("audiofork mute PJSIP/100-1 w") == ["write"])
      #expect(Self.completions("audiofork mute PJSIP/100-1 read o") == ["on", "off"])
      #expect(Self.completions("audiofork mute PJSIP/100-1 read on a") == [id])
      #expect(Self.completions("audiofork show fork af-") == [id])
      #expect(Self.completions("audiofork show fork x") == [])
      #expect(Self.completions("audiofork show engine ") == [])
    }
  }

  @Test("The CLI shows the engine, also when there is none")
  func engine() throws {
    let asterisk = try #require(FakedAsterisk.load("buffer=1"))
    #expect(Self.cli("audiofork show engine") == "The engine is not running; 0 forks wait for it.\n")
    var engine = try #require(FakedEngine())
    engine.sayReady(process: getpid(), confinement: "confined\nto nothing")
    #expect(soon { Self.cli("audiofork show engine").contains("Restarts: 0\n") })
    let lines = Self.cli("audiofork show engine").split(separator: "\n").map(String.init)
    #expect(lines.prefix(2) == ["Version: 0.1", "Process: \(getpid())"])
    #expect(lines.contains("Loops: 2"))
    #expect(lines.contains("Confinement: confined\\nto nothing"))
    #expect(
      lines.contains { $0.wholeMatch(of: /CPU: [0-9]+\.[0-9] % of a core since its start, [0-9]+\.[0-9]{3} s/) != nil })
    let memory = try #require(lines.compactMap { $0.wholeMatch(of: /Memory: ([0-9]+) kB/).map { String($0.1) } }.first)
    #expect((1000...4_000_000).contains(Int(memory) ?? 0))
    engine.die()
    engine = try #require(FakedEngine())
    engine.sayReady()
    #expect(soon { Self.cli("audiofork show engine").contains("Restarts: 1\n") })
    engine.die()
    #expect(asterisk.unload())
  }

  @Test("What /proc says of a process is read whatever its name is, and refused where it is something else")
  func processUse() throws {
    let stat = "12 (a) b ) c) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 1 0 900"
    let use = try #require(
      ProcessUse(stat: Array(stat.utf8), memory: Array("100 25 3 4\n".utf8), ticksPerSecond: 100, pageBytes: 4096))
    #expect(use.cpuMilliseconds == 2000)
    #expect(use.residentBytes == 25 * 4096)
    for (stat, memory) in [("", "1 2"), ("1 (x", "1 2"), ("1 (x) S 1", "1 2"), (stat, ""), (stat, "1 x")] {
      #expect(
        ProcessUse(stat: Array(stat.utf8), memory: Array(memory.utf8), ticksPerSecond: 100, pageBytes: 4096) == nil)
    }
    #expect(ProcessUse(of: 0) == nil)
  }
}
