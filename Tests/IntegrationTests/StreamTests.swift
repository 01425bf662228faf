// SPDX-License-Identifier: Apache-2.0
import AsteriskTestKit
import Foundation
import Testing

/// Every test on a real Asterisk. One after the other in one process; `scripts/test` runs several processes side by
/// side.
@Suite("On a real Asterisk", .serialized)
struct IntegrationTests {}

extension IntegrationTests {
  @Suite("What is said arrives", .serialized)
  struct StreamTests {
    @Test("Each direction arrives bit for bit, and both as their saturated sum", arguments: AsteriskRelease.tested)
    func exact(release: AsteriskRelease) async throws {
      let said = KnownSignal(seed: 1, seconds: 3)
      let heard = KnownSignal(seed: 2, seconds: 4)
      let receiver = try await Receiver()
      try await Sandbox.with(
        release,
        dialplan: """
          [test]
          exten => a,1,Answer()
           same => n,AudioFork(\(receiver.url("say")),D(in)i(SAY))
           same => n,AudioFork(\(receiver.url("hear")),D(out))
           same => n,AudioFork(\(receiver.url("sum")),D(both))
           same => n,Verbose(0,status=${AUDIOFORKSTATUS} server=${AUDIOFORK_WSSERVER} id=${SAY})
           same => n,Playback(${SOUNDS}/heard)
           same => n,Wait(1)
           same => n,StopAudioFork()
           same => n,Wait(0.5)
          exten => b,1,Answer()
           same => n,Wait(1.5)
           same => n,Playback(${SOUNDS}/said)
           same => n,Wait(10)
          """
      ) { sandbox in
        _ = try sandbox.sound("said", said.samples)
        _ = try sandbox.sound("heard", heard.samples)
        try await sandbox.cli("dialplan set global SOUNDS \(sandbox.folder.path)")
        try await sandbox.call("a", "b")
        #expect(await receiver.ended(3, within: 15))
        let say = try receiver.recording(path: "say")
        let hear = try receiver.recording(path: "hear")
        let sum = try receiver.recording(path: "sum")
        #expect(said.range(in: say) == 0..<said.samples.count)
        #expect(heard.range(in: hear) == 0..<heard.samples.count)
        let parts = try #require(partsOfSum(sum, said, heard))
        #expect(parts.first == said.samples.count)
        #expect(parts.second == heard.samples.count)
        // One clock for both: the party begins 1.5 s after its answer, the prompt half a second after (Answer() waits
        // that long for audio), so the sum holds a second of the prompt alone.
        let alone = parts.bothAt - (sum.firstIndex { $0 != 0 } ?? 0)
        #expect((6400...9600).contains(alone))
        // And the same in the streams of one direction each, to a frame: the forks began at different moments.
        let apart = (say.firstIndex { $0 != 0 } ?? 0) - (hear.firstIndex { $0 != 0 } ?? 0)
        #expect(abs(apart - alone) <= 320)
        #expect(sandbox.log.contains("status=SUCCESS server=\(receiver.url("sum")) id=af-"))
        #expect(receiver.events("ended").allSatisfy { $0.code == 1000 })
        #expect(sandbox.logLines() == [])
        #expect(await becomesTrue(within: 3) { sandbox.runFiles().allSatisfy { !$0.contains(".") } })
      }
      await receiver.remove()
    }
  }
}
