// SPDX-License-Identifier: Apache-2.0
import AudioForkMedia
import AudioForkLink
import AudioForkRing
import AudioForkTap
import CAsterisk
import Foundation
import Testing

extension LoadedModule {
  /// Whether the condition comes true within two seconds. The engine gives a sign of life first.
  fileprivate func soon(_ condition: () -> Bool) -> Bool {
    engine.send(FieldWriter(.heartbeat).message)
    return AudioForkCaptureTests.soon(condition)
  }
}

@Suite("A codec that Asterisk only passes through", .serialized)
struct CodecRealTimeTests {
  private static let g729 = "no translator from g729 to slin: load codec_g729.so"
  private let samples = [Int16](repeating: 7, count: 160)

  private func frame(_ channel: OpaquePointer?, _ direction: ast_audiohook_direction = AST_AUDIOHOOK_DIRECTION_READ) {
    fake_frame(channel, direction, samples, 160)
  }

  /// A fact of `audiofork show fork`.
  private func fact(_ id: String, _ name: String) -> String? {
    CaptureRealTimeTests.cli("audiofork show fork \(id)").split(separator: "\n")
      .first { $0.hasPrefix("\(name): ") }.map { String($0.dropFirst(name.count + 2)) }
  }

  /// The states that events of this fork have told, in their order.
  private func states(_ id: String) -> [String] {
    events.components(separatedBy: "\n\n")
      .filter { $0.hasPrefix("Event: AudioForkState\n") && $0.contains(": \(id)\n") }
      .compactMap { $0.split(separator: "\n").first { $0.hasPrefix("State: ") }.map { String($0.dropFirst(7)) } }
  }

  private func lines(_ id: String, _ text: String) -> Int {
    FakedAsterisk.log.split(separator: "\n").count { $0.contains(id) && $0.contains(text) }
  }

  @Test(
    "The hook of a fork that can capture nothing is off from the start, and back when there is a translator")
  func offAndBack() throws {
    let module = try LoadedModule()
    defer { fake_translator("g729", 0) }
    let channel = fake_channel("PJSIP/100-1", 8000)
    fake_codec(channel, "g729", "g729")
    let warned = fake_warnings()
    let id = try #require(module.start(channel, "ws://host/,D(both)"))
    #expect(fake_hooks(channel) == 0)
    for _ in 0..<100 { frame(channel) }
    #expect(fake_warnings() == warned)
    #expect(fact(id, "State") == "no-codec")
    #expect(fact(id, "Reason") == "codec: \(Self.g729)")
    #expect(lines(id, " captures nothing: \(Self.g729). Capture begins") == 1)
    #expect(module.soon { states(id) == ["no-codec"] })
    // What the engine says meanwhile does not hide it.
    module.engine.sayState(id, "streaming", position: 160)
    #expect(module.soon { fact(id, "Position") == "160" })
    #expect(fact(id, "State") == "no-codec")
    #expect(states(id) == ["no-codec"] && lines(id, "captures nothing") == 1)

    let reader = try module.ring(id)
    fake_translator("g729", 1)
    #expect(module.soon { fake_hooks(channel) == 1 })
    frame(channel)
    #expect(reader.published == 1)
    #expect(fact(id, "State") == "streaming" && fact(id, "Reason") == "")
    // The event does not wait for the next look at the codecs.
    let back = af_now_ns()
    #expect(module.soon { states(id) == ["no-codec", "streaming"] })
    #expect(af_now_ns() - back < 300_000_000)
    #expect(lines(id, "captures audio again") == 1)

    // A module that is unloaded, and a re-INVITE to another codec.
    fake_translator("g729", 0)
    #expect(module.soon { fake_hooks(channel) == 0 })
    #expect(fact(id, "State") == "no-codec")
    fake_codec(channel, "ulaw", "ulaw")
    #expect(module.soon { fake_hooks(channel) == 1 })
    frame(channel)
    #expect(reader.published == 2)
    // A re-INVITE of which Asterisk makes nothing before the first frame: it is captured. The codec in use counts too.
    fake_codec(channel, "g729", "g729")
    #expect(module.soon { fake_hooks(channel) == 0 })
    fake_next_codec(channel, "ulaw")
    #expect(module.soon { fake_hooks(channel) == 1 })
    frame(channel)
    #expect(reader.published == 3)
    fake_next_codec(channel, "ilbc")
    usleep(600_000)
    #expect(fake_hooks(channel) == 1)
    #expect(module.soon { fake_format_references() == 0 })
    module.end([channel], [id])
  }

  @Test("After a time without a hook the next frame stands where it belongs, whatever its RTP time")
  func timeline() throws {
    let module = try LoadedModule()
    let channel = fake_channel("PJSIP/100-1", 8000)
    fake_codec(channel, "ulaw", "ulaw")
    let id = try #require(module.start(channel, "ws://host/,D(in)"))
    let reader = try module.ring(id)
    fake_timed_frame(channel, AST_AUDIOHOOK_DIRECTION_READ, samples, 160, 5000)
    fake_codec(channel, "g729", "g729")
    #expect(module.soon { fake_hooks(channel) == 0 })
    usleep(300_000)
    fake_codec(channel, "ulaw", "ulaw")
    #expect(module.soon { fake_hooks(channel) == 1 })
    // By its RTP time, which began anew, it would follow a moment after the first one, or at once.
    fake_timed_frame(channel, AST_AUDIOHOOK_DIRECTION_READ, samples, 160, 5020)
    var buffer: [Int16] = []
    guard case .entry(let first) = reader.read(0, into: &buffer),
      case .entry(let second) = reader.read(1, into: &buffer)
    else {
      Issue.record("two frames are not there")
      return
    }
    #expect(second.startsRun && second.captured == 160)
    #expect(second.runStart.nanoseconds == second.arrival.nanoseconds - 20_000_000)
    #expect(second.runStart.nanoseconds - first.runStart.nanoseconds > 300_000_000)
    module.end([channel], [id])
  }

  @Test(
    "With a translator for one direction that one is captured, and what is missing is said once")
  func oneDirection() throws {
    let module = try LoadedModule()
    let channel = fake_channel("PJSIP/100-1", 8000)
    fake_codec(channel, "strange", "ulaw")
    let both = try #require(module.start(channel, "ws://host/,D(stereo)"))
    #expect(fact(both, "State") == "starting")
    let problem = "no translator from strange to slin: load a codec module for it"
    #expect(fact(both, "Reason") == "codec: \(problem)")
    #expect(lines(both, " does not capture direction in: \(problem). Asterisk logs a warning for each frame") == 1)
    frame(channel, AST_AUDIOHOOK_DIRECTION_WRITE)
    #expect(try module.ring(both).captured(.out) == 160)

    let out = try #require(module.start(channel, "ws://host/,D(out)"))
    #expect(fact(out, "Reason") == "")
    #expect(lines(out, " captures what it should, but Asterisk cannot translate direction in: \(problem)") == 1)
    let into = try #require(module.start(channel, "ws://host/,D(in)"))
    #expect(fact(into, "State") == "no-codec" && fact(into, "Reason") == "codec: \(problem)")
    #expect(fake_hooks(channel) == 2)
    usleep(1_200_000)
    #expect(lines(both, problem) == 1 && lines(out, problem) == 1 && lines(into, problem) == 1)
    #expect(module.soon { states(both) == ["starting"] && states(into) == ["no-codec"] })
    module.end([channel], [both, out, into])
  }

  @Test("Both codecs and their modules are named; a fork tells an administrator of eight changes")
  func words() throws {
    let module = try LoadedModule()
    let channel = fake_channel("PJSIP/100-1", 8000)
    fake_codec(channel, "ilbc", "opus")
    let id = try #require(module.start(channel, "ws://host/"))
    let problem =
      "no translator from ilbc to slin: load codec_ilbc.so; "
      + "no translator from opus to slin48: load codec_opus.so or codec_opus_open_source.so"
    #expect(fact(id, "Reason") == "codec: \(problem)")
    for round in 0..<5 {
      fake_codec(channel, "g729", "g729")
      #expect(module.soon { fact(id, "Reason") == "codec: \(Self.g729)" }, "\(round)")
      fake_codec(channel, "ulaw", "ulaw")
      #expect(module.soon { fake_hooks(channel) == 1 }, "\(round)")
    }
    let told = FakedAsterisk.log.split(separator: "\n").filter { $0.contains(id) && $0.contains(" captures ") }
    #expect(told.count == 11)
    // 3 and 2 are WARNING and NOTICE; what is more is for whoever listens.
    #expect(told.count { $0.hasPrefix("\(AF_LEVEL_VERBOSE.rawValue) ") } == 3)
    module.end([channel], [id])
  }

  @Test(
    "on_failure = hangup ends a call of which nothing can be captured, and not one of which one direction can")
  func policy() throws {
    let module = try LoadedModule("buffer=10\n[law]\nurl=ws://host/\non_failure=hangup")
    let half = fake_channel("PJSIP/100-1", 8000)
    fake_codec(half, "g729", "ulaw")
    let first = try #require(module.start(half, "law"))
    let none = fake_channel("PJSIP/200-2", 8000)
    fake_codec(none, "g729", "g729")
    let second = try #require(module.start(none, "law"))
    #expect(module.soon { fake_hangup_cause(none) == AST_CAUSE_NETWORK_OUT_OF_ORDER })
    #expect(lines(second, "is hung up (on_failure = hangup): codec: \(Self.g729)") == 1)
    #expect(fake_hangup_cause(half) == 0)
    fake_codec(half, "g729", "g729")
    #expect(module.soon { fake_hangup_cause(half) == AST_CAUSE_NETWORK_OUT_OF_ORDER })
    module.end([half, none], [first, second])
  }

  @Test("Beeps, whose hook would make Asterisk warn too, are off with the hook and back with it")
  func beeps() throws {
    let module = try LoadedModule()
    let channel = fake_channel("PJSIP/100-1", 8000)
    fake_codec(channel, "g729", "g729")
    let id = try #require(module.start(channel, "ws://host/,B(20)"))
    #expect(!events.contains("Beep"))
    fake_codec(channel, "ulaw", "ulaw")
    #expect(module.soon { events.contains("Beep: each 20") })
    fake_codec(channel, "g729", "g729")
    #expect(module.soon { events.contains("Beep: no more") })
    fake_forget_events()
    module.end([channel], [id])
    #expect(!events.contains("Beep"))
  }

  @Test("Beeps that come back with a codec while the fork is being stopped are ended at once")
  func beepsMeetStop() throws {
    let module = try LoadedModule()
    let channel = fake_channel("PJSIP/100-1", 8000)
    fake_codec(channel, "g729", "g729")
    let id = try #require(module.start(channel, "ws://host/,B(20)"))
    fake_beeps_meet_stop()
    fake_codec(channel, "ulaw", "ulaw")
    #expect(module.soon { events.contains("Beep: each 20") })
    _ = af_exec_stop(channel, id)
    // The fork itself goes on until its engine has delivered the rest.
    #expect(events.contains("Beep: no more"))
    #expect(fact(id, "State") != nil)
    module.end([channel], [id])
  }

  @Test("After a change between two codecs without a translator the new one is named before its first frame")
  func negotiated() throws {
    let module = try LoadedModule()
    let channel = fake_channel("PJSIP/100-1", 8000)
    fake_codec(channel, "g729", "g729")
    let id = try #require(module.start(channel, "ws://host/"))
    fake_next_codec(channel, "ilbc")
    let problem = "no translator from ilbc to slin: load codec_ilbc.so"
    #expect(module.soon { fact(id, "Reason") == "codec: \(problem)" })
    frame(channel)
    #expect(module.soon { fake_format_references() == 0 })
    #expect(fact(id, "Reason") == "codec: \(problem)")
    #expect(lines(id, "captures nothing: \(problem)") == 1)
    module.end([channel], [id])
  }

  @Test(
    "A fork whose hook is off can be stopped, ended by its server, moved and hung up; nothing is left")
  func ends() throws {
    let module = try LoadedModule()
    let channel = fake_channel("PJSIP/100-1", 8000)
    fake_codec(channel, "g729", "g729")
    let stopped = try #require(module.start(channel, "ws://host/"))
    let stoppedRing = try module.ring(stopped)
    _ = af_exec_stop(channel, stopped)
    #expect(stoppedRing.closedAt != nil)

    // No frame need come for it: nobody would hear of one.
    let ended = try #require(module.start(channel, "ws://host/"))
    let endedRing = try module.ring(ended)
    module.engine.sayEnded(ended)
    #expect(module.soon { endedRing.closedAt != nil && !module.asterisk.forkFiles.contains { $0.contains(ended) } })

    let moved = try #require(module.start(channel, "ws://host/"))
    let other = fake_channel("PJSIP/200-2", 8000)
    fake_codec(other, "ulaw", "ulaw")
    fake_masquerade(channel, other)
    #expect(module.soon { fake_hooks(other) == 1 })
    #expect(fake_hooks(channel) == 0)
    frame(other)
    #expect(try module.ring(moved).published == 1)

    // Somebody holds the channel: its datastore stays, and the hangup tells no hook.
    let held = fake_channel("PJSIP/300-3", 8000)
    fake_codec(held, "g729", "g729")
    let last = try #require(module.start(held, "ws://host/"))
    let lastRing = try module.ring(last)
    let reference = ast_channel_get_by_name("PJSIP/300-3")
    fake_hangup(held)
    #expect(lastRing.closedAt == nil)
    #expect(module.soon { lastRing.closedAt != nil })
    module.engine.sayEnded(last)
    #expect(module.soon { !module.asterisk.forkFiles.contains { $0.contains(last) } })
    af_channel_unref(reference)
    module.end([channel, other], [stopped, moved])
  }

  @Test("Frames, re-INVITEs, stops and the engine's ends at any moment leave no fork and no hook behind")
  func races() throws {
    let module = try LoadedModule()
    let warned = fake_warnings()
    let channel = fake_channel("PJSIP/100-1", 8000)
    nonisolated(unsafe) let shared = channel
    let done = DispatchSemaphore(value: 0)
    let talker = Thread {
      var count = 0
      while !Thread.current.isCancelled {
        count += 1
        if count % 300 == 0 { fake_codec(shared, count % 600 == 0 ? "ulaw" : "g729", "ulaw") }
        let direction = count % 2 == 0 ? AST_AUDIOHOOK_DIRECTION_READ : AST_AUDIOHOOK_DIRECTION_WRITE
        fake_frame(shared, direction, [1, 2, 3, 4], 4)
        usleep(500)
      }
      done.signal()
    }
    talker.start()
    for round in 0..<30 {
      let id = try #require(module.start(channel, "ws://host/,D(in)"))
      usleep(UInt32.random(in: 0...100_000))
      if round % 2 == 0 { _ = af_exec_stop(channel, id) }
      module.engine.sayEnded(id)
    }
    #expect(module.soon { fake_hooks(channel) == 0 })
    talker.cancel()
    done.wait()
    // Only as long as a codec without a translator goes unnoticed.
    #expect(fake_warnings() - warned < 30 * 2000)
    module.end([channel], [])
    #expect(fake_format_references() == 0)
  }
}
