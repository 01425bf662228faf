// SPDX-License-Identifier: Apache-2.0
import AudioForkMedia
import AudioForkTestKit
import Testing

@Suite("Stereo and volume")
struct LayoutTests {
  private typealias Call = RenderedCall<NoConverter>

  private func left(_ stream: [Int16]) -> [Int16] { stride(from: 0, to: stream.count, by: 2).map { stream[$0] } }
  private func right(_ stream: [Int16]) -> [Int16] { stride(from: 1, to: stream.count, by: 2).map { stream[$0] } }

  @Test("In is left, out is right, sample beside sample, and positions count frames")
  func interleaved() {
    var call = Call(.both, isStereo: true)
    for block in 0..<5 as Range<UInt64> {
      call.capture(.in, audibleSamples(.in, block * 160..<(block + 1) * 160))
      call.capture(.out, audibleSamples(.out, block * 160..<(block + 1) * 160))
    }
    #expect(call.stream.count == 2 * 800)
    #expect(left(call.stream) == audibleSamples(.in, 0..<800))
    #expect(right(call.stream) == audibleSamples(.out, 0..<800))
    #expect(call.blocks.map(\.position) == [0, 160, 320, 480, 640])
    #expect(call.blocks.allSatisfy { $0.frameCount == 160 && $0.fill == 0 })
    #expect(call.renderer.counters.position == 800)
  }

  @Test("A direction that is missing is zeros in its own channel and counted as fill there")
  func missingDirection() {
    var call = Call(.both, isStereo: true)
    for block in 0..<50 as Range<UInt64> { call.capture(.out, audibleSamples(.out, block * 160..<(block + 1) * 160)) }
    call.finish()
    #expect(left(call.stream).allSatisfy { $0 == 0 })
    #expect(right(call.stream) == audibleSamples(.out, 0..<8000))
    #expect(call.renderer.counters.in.fill == 8000)
    #expect(call.renderer.counters.out.fill == 0)
  }

  @Test("Without fill a frame is sent where either direction has audio")
  func withoutFill() {
    var call = Call(.both, fill: false, isStereo: true)
    // In: the first 20 ms and a second later again. Out: 40 ms from the start.
    call.capture(.in, audibleSamples(.in, 0..<160))
    call.capture(.out, audibleSamples(.out, 0..<320))
    call.capture(.in, audibleSamples(.in, 160..<320), run: 1000, index: 0)
    call.finish()
    #expect(
      left(call.stream) == audibleSamples(.in, 0..<160) + [Int16](repeating: 0, count: 160)
        + audibleSamples(.in, 160..<320))
    #expect(right(call.stream) == audibleSamples(.out, 0..<320) + [Int16](repeating: 0, count: 160))
    #expect(call.renderer.counters.position == 480)
  }

  @Test("Stereo of one direction is none")
  func oneDirection() {
    let configuration = RenderConfiguration(directions: .in, wireRateHertz: 8000, isStereo: true)
    #expect(!configuration.isStereo)
  }

  @Test("Volume doubles and halves, saturates upwards and goes toward zero downwards")
  func gain() {
    #expect(Gain(0).applied(to: -32_768) == -32_768)
    #expect(Gain(1).applied(to: 20_000) == 32_767)
    #expect(Gain(4).applied(to: -2048) == -32_768)
    #expect(Gain(4).applied(to: -2047) == -32_752)
    #expect(Gain(-1).applied(to: -3) == -1)
    #expect(Gain(-4).applied(to: 32_767) == 2047)
    #expect(Gain(-4).applied(to: -32_768) == -2048)
    #expect(Gain(9) == Gain(4) && Gain(-9) == Gain(-4))
  }

  @Test("Each direction has its volume before the two are added")
  func mixedGain() {
    var call = Call(.both, gainIn: 2, gainOut: -1)
    call.capture(.in, [Int16](repeating: 10_000, count: 80) + [Int16](repeating: 100, count: 80))
    call.capture(.out, [Int16](repeating: -4001, count: 160))
    #expect(call.stream == [Int16](repeating: 32_767 - 2000, count: 80) + [Int16](repeating: 400 - 2000, count: 80))
    var alone = Call(.out, gainOut: 3)
    alone.capture(.out, [1, -1, 5000, -5000] + [Int16](repeating: 7, count: 156))
    #expect(alone.stream == [8, -8, 32_767, -32_768] + [Int16](repeating: 56, count: 156))
  }

  @Test("A checkpoint of another layout or volume is not used")
  func otherConfiguration() throws {
    var call = Call(.both, isStereo: true, gainIn: -3)
    call.capture(.in, audibleSamples(.in, 0..<160))
    call.capture(.out, audibleSamples(.out, 0..<160))
    let stored = try Checkpoint(decoding: call.renderer.checkpoint.encode())
    #expect(stored == call.renderer.checkpoint)
    #expect(stored.configuration.isStereo && stored.configuration.gainIn == Gain(-3))
    let mono = Renderer<NoConverter>(RenderConfiguration(directions: .both, wireRateHertz: 8000), resumingAt: stored)
    #expect(mono.counters.position == 0)
    for (place, value) in [(6, UInt8(4)), (7, 5), (8, 0x80)] {
      var bytes = call.renderer.checkpoint.encode()
      bytes[place] = value
      #expect((try? Checkpoint(decoding: bytes)) == nil, "byte \(place)")
    }
  }
}
