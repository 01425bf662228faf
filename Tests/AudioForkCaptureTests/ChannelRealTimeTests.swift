// SPDX-License-Identifier: Apache-2.0
import AudioForkBytes
import AudioForkCapture
import AudioForkLink
import AudioForkSurface
import AudioForkRing
import AudioForkTap
import CAsterisk
import Foundation
import Testing

@Suite("A fork on its channel", .serialized)
struct ChannelRealTimeTests {
  static let samples = [Int16](repeating: 7, count: 160)

  @Test(
    "Where the engine cannot read a ring, what it had not confirmed is a gap with its place, and the accounts agree")
  func lastGap() throws {
    let module = try LoadedModule()
    let channel = fake_channel("PJSIP/100-1", 8000)
    let id = try #require(module.start(channel, "ws://x/"))
    for _ in 0..<3 {
      fake_frame(channel, AST_AUDIOHOOK_DIRECTION_READ, Self.samples, 160)
      fake_frame(channel, AST_AUDIOHOOK_DIRECTION_WRITE, Self.samples, 160)
    }
    module.engine.send(
      .state, id, .text(.state, "streaming"), .counter(.captured, 960), .counter(.delivered, 480),
      .counter(.accountedIn, 320), .counter(.accountedOut, 160), .counter(.confirmed, 320))
    fake_hangup(channel)
    // No counters: they stay what they were, although more has been captured since.
    module.engine.send(.ended, id, .text(.reason, "engine: it has crashed 3 times over this fork"))
    #expect(soon { events.contains("AudioForkStop") })
    for (direction, start, count) in [("in", 320, 160), ("out", 160, 320)] {
      let gap = events.components(separatedBy: "\n\n").first { $0.contains("GapDirection: \(direction)\n") } ?? ""
      #expect(gap.contains("Start: \(start)\n") && gap.contains("Count: \(count)\n"), "\(events)")
      #expect(gap.hasSuffix("Reason: undelivered"))
    }
    #expect(events.contains("Captured: 960\n") && events.contains("Delivered: 480\n") && events.contains("Lost: 480\n"))
    module.end([], [])
  }

  @Test("An engine owes no heartbeat while it has no fork, however long that is, nor for one that it has ended")
  func idleEngine() throws {
    let module = try LoadedModule()
    let first = fake_channel("PJSIP/100-1", 8000)
    let id = try #require(module.start(first, "ws://x/"))
    module.engine.send(FieldWriter(.heartbeat).message)
    fake_hangup(first)
    module.engine.sayEnded(id)
    #expect(soon { fake_module_references() == 0 })
    // Longer than a heartbeat may take.
    usleep(3_300_000)
    let second = fake_channel("PJSIP/100-2", 8000)
    let other = try #require(module.start(second, "ws://x/"))
    // The server wants no more, and the channel brings no frame with which the hook would leave.
    module.engine.sayEnded(other)
    #expect(!module.engine.isClosed(within: 3300))
    #expect(!FakedAsterisk.log.contains("has not given a sign of life"))
    module.end([second], [])
  }

  @Test("An engine is not blamed for what the module did not listen to, and one that stays silent is")
  func deafModule() throws {
    let module = try LoadedModule()
    let channel = fake_channel("PJSIP/100-1", 8000)
    let id = try #require(module.start(channel, "ws://x/"))
    let heartbeat = FieldWriter(.heartbeat).message
    module.engine.send(heartbeat)
    usleep(200_000)
    // Whatever held the control thread up: it cannot listen.
    af_table_lock()
    usleep(3_300_000)
    af_table_unlock()
    // It looks twice before the heartbeat comes.
    usleep(100_000)
    let second = fake_channel("PJSIP/100-2", 8000)
    let other = try #require(module.start(second, "ws://x/"))
    usleep(300_000)
    module.engine.send(heartbeat)
    #expect(!FakedAsterisk.log.contains("has not given a sign of life"))
    // It listens, and hears nothing.
    while module.engine.next(within: 100) != nil {}
    #expect(module.engine.isClosed(within: 5500))
    #expect(FakedAsterisk.log.contains("has not given a sign of life for 3 seconds"))
    let next = try #require(FakedEngine())
    fake_hangup(channel)
    fake_hangup(second)
    next.sayReady()
    next.sayEnded(id)
    next.sayEnded(other)
    #expect(soon { fake_module_references() == 0 })
    next.die()
    #expect(module.asterisk.unload())
  }

  @Test("Texts that wait hold up no other fork's end, and come before the end of their own")
  func textsBehind() throws {
    let module = try LoadedModule()
    let first = fake_channel("PJSIP/100-1", 8000)
    let second = fake_channel("PJSIP/200-2", 8000)
    let talker = try #require(module.start(first, "ws://x/"))
    let other = try #require(module.start(second, "ws://y/"))
    #expect(soon { events.components(separatedBy: "AudioForkStart").count == 3 })
    fake_forget_events()
    // Texts are done under the channel's lock: this holds the thread up.
    af_channel_lock(first)
    for number in 0..<40 { module.engine.send(.text, talker, .text(.text, "talk \(number)")) }
    for number in 0..<2 { module.engine.send(.text, other, .text(.text, "last \(number)")) }
    module.engine.send(.transcript, other, .number(.final, 1), .text(.text, "last words"))
    fake_hangup(second)
    module.engine.sayEnded(other)
    #expect(soon { forkRows().allSatisfy { $0.id != Array(other.utf8) } })
    af_channel_unlock(first)
    #expect(soon { events.contains("Response: talk 39") && events.contains("AudioForkStop") })
    let told = events
    func place(_ text: String) throws -> String.Index { try #require(told.range(of: text)).lowerBound }
    let stop = try place("AudioForkStop\n")
    #expect(try place("Response: last 0\n") < place("Response: last 1\n"))
    #expect(try place("Response: last 1\n") < place("Text: last words\n"))
    #expect(try place("Text: last words\n") < stop)
    #expect(try stop < place("Response: talk 12\n"))
    for number in 1..<40 { #expect(try place("Response: talk \(number - 1)\n") < place("Response: talk \(number)\n")) }
    module.end([first], [talker])
  }

  @Test("With b nothing is captured while the channel is not bridged")
  func onlyBridged() throws {
    let module = try LoadedModule()
    let channel = fake_channel("PJSIP/100-1", 8000)
    let id = try #require(module.start(channel, "ws://host/,b"))
    let reader = try module.ring(id)
    func frames(_ count: Int) {
      for _ in 0..<count {
        fake_frame(channel, AST_AUDIOHOOK_DIRECTION_READ, Self.samples, 160)
        fake_frame(channel, AST_AUDIOHOOK_DIRECTION_WRITE, Self.samples, 160)
      }
    }
    frames(3)
    #expect(reader.published == 0)
    fake_bridge(channel, 1)
    frames(2)
    #expect(reader.published == 4)
    fake_bridge(channel, 0)
    frames(3)
    #expect(reader.published == 4)
    fake_bridge(channel, 1)
    frames(1)
    #expect(reader.published == 6)
    module.end([channel], [id])
  }

  @Test("Beeps are played by whom they can be played, and never with the channel's lock held")
  func beeps() throws {
    let module = try LoadedModule()
    let channel = fake_channel("PJSIP/100-1", 8000)
    let first = try #require(module.start(channel, "ws://host/,p"))
    #expect(events.contains("Beep: played"))
    _ = af_exec_stop(channel, "")
    let second = try #require(module.start(channel, "ws://host/,P"))
    fake_forget_events()
    _ = af_exec_stop(channel, "")
    #expect(events.contains("Beep: played"))
    let third = try #require(module.start(channel, "ws://host/,P"))
    fake_forget_events()
    #expect(stopForks(channel!, id: nil) == 1)
    #expect(events.contains("Beep: queued"))
    let fourth = try #require(module.start(channel, "ws://host/,P"))
    fake_busy(channel, 1)
    #expect(stopForks(channel!, id: nil) == 1)
    #expect(FakedAsterisk.log.contains("AudioFork: no beep on PJSIP/100-1, something else is being played to it"))
    #expect(!events.contains("with the lock"))
    module.end([channel], [first, second, third, fourth])
  }

  @Test("B needs its module; its beeps end with the fork, however that ends")
  func periodicBeeps() throws {
    let module = try LoadedModule()
    let channel = fake_channel("PJSIP/100-1", 8000)
    fake_beep_module(0)
    #expect(module.start(channel, "ws://host/,B(5)") == nil)
    #expect(FakedAsterisk.log.contains("option B needs func_periodic_hook.so; load it"))
    fake_beep_module(1)
    let stopped = try #require(module.start(channel, "ws://host/,B(20)"))
    #expect(events.contains("Beep: each 20"))
    _ = af_exec_stop(channel, "")
    #expect(events.contains("Beep: no more"))
    fake_forget_events()
    let ended = try #require(module.start(channel, "ws://host/,B"))
    #expect(events.contains("Beep: each 15"))
    module.engine.sayEnded(ended)
    #expect(soon { events.contains("Beep: no more") })
    fake_forget_events()
    module.engine.sayEnded(stopped)
    module.end([channel], [])
    #expect(!events.contains("Beep"), "once each")
  }

  @Test("Rows and events follow a masquerade in both directions, and a rename")
  func names() throws {
    let module = try LoadedModule()
    let first = fake_channel("PJSIP/100-1", 8000)
    let second = fake_channel("PJSIP/200-2", 8000)
    let id = try #require(module.start(first, "ws://host/,x(ANSWER)"))
    let other = try #require(module.start(second, "ws://host/"))
    func row(_ id: String) -> ForkRow? { forkRows().first { $0.id == Array(id.utf8) } }
    func name(_ id: String) -> String? { row(id).map { String(decoding: $0.channel, as: UTF8.self) } }
    let uniqueID = row(id)?.uniqueID
    // The first one's technology goes into the second channel, and both forks live there from then on.
    fake_masquerade(first, second)
    #expect(name(id) == "PJSIP/100-1")
    #expect(name(other) == "PJSIP/100-1")
    #expect(row(other)?.uniqueID == uniqueID)
    #expect(String(cString: ast_channel_name(second)) == "PJSIP/100-1")
    fake_rename(second, "PJSIP/300-3")
    #expect(name(id) == "PJSIP/300-3")
    // Somebody else takes the old name.
    fake_rename(first, "PJSIP/100-1")
    #expect(name(id) == "PJSIP/300-3")
    module.engine.send(.text, id, .text(.text, "hello"))
    #expect(soon { FakedAsterisk.variable(second, "ANSWER") == "hello" })
    #expect(FakedAsterisk.variable(first, "ANSWER") == nil)
    #expect(events.contains("Event: AudioForkResponse\nChannel: PJSIP/300-3\n"))
    module.end([first, second], [id, other])
  }
}
