// SPDX-License-Identifier: Apache-2.0
import AudioForkMedia
import AudioForkResampling
import AudioForkTestKit
import Glibc
import Testing

/// A tone of half the full scale.
private func tone(_ hertz: Double, rate: Int, count: Int) -> [Int16] {
  (0..<count).map { Int16((16_000 * sin(2 * .pi * hertz * Double($0) / Double(rate))).rounded()) }
}

/// Level of a tone and of everything else, as mean squares. `samples` must hold whole periods.
private func levels(_ samples: ArraySlice<Int16>, hertz: Double, rate: Int) -> (tone: Double, rest: Double) {
  var (sine, cosine) = (0.0, 0.0)
  for (index, sample) in samples.enumerated() {
    let phase = 2 * .pi * hertz * Double(index) / Double(rate)
    sine += Double(sample) * sin(phase)
    cosine += Double(sample) * cos(phase)
  }
  let count = Double(samples.count)
  let toneLevel = 2 * (sine * sine + cosine * cosine) / (count * count)
  let total = samples.reduce(0.0) { $0 + Double($1) * Double($1) } / count
  return (toneLevel, max(total - toneLevel, 1e-9))
}

/// All of `input` in pieces of 20 ms.
private func convert(_ input: [Int16], from: Int, to: Int) throws -> [Int16] {
  var converter = try #require(SpeexConverter(from: from, to: to))
  var output: [Int16] = []
  let piece = from / 50
  for start in stride(from: 0, to: input.count, by: piece) {
    let samples = Array(input[start..<min(start + piece, input.count)])
    converter.convert(samples, count: samples.count, into: &output)
  }
  return output
}

private let ratePairs = [
  (16_000, 8000), (48_000, 8000), (8000, 16_000), (8000, 48_000), (48_000, 16_000), (12_000, 8000), (44_100, 8000),
  (8000, 44_100), (192_000, 8000), (24_000, 16_000), (44_100, 48_000),
]

struct SpeexConverterTests {
  @Test(
    "A tone of 1 kHz keeps its level and gets noise below −60 dB",
    arguments: [(16_000, 8000), (48_000, 8000), (8000, 16_000), (8000, 48_000), (24_000, 8000), (16_000, 48_000)])
  func signalToNoise(from: Int, to: Int) throws {
    let output = try convert(tone(1000, rate: from, count: from), from: from, to: to)
    #expect(output.count == to)
    let (signal, noise) = levels(output[(to / 10)..<(to / 10 + to / 2)], hertz: 1000, rate: to)
    #expect(10 * log10(signal / noise) > 60)
    #expect(abs(10 * log10(signal / (16_000 * 16_000 / 2))) < 0.1)
  }

  @Test(
    "A tone of 1 kHz at 44.1 kHz gets noise below −40 dB",
    arguments: [(44_100, 8000), (8000, 44_100), (44_100, 16_000)])
  func signalToNoiseOfOddRates(from: Int, to: Int) throws {
    let output = try convert(tone(1000, rate: from, count: from), from: from, to: to)
    #expect(output.count == to)
    let (signal, noise) = levels(output[(to / 10)..<(to / 10 + to / 2)], hertz: 1000, rate: to)
    #expect(10 * log10(signal / noise) > 40)
  }

  @Test("A tone of 6 kHz does not come back as an alias at 8 kHz", arguments: [16_000, 48_000])
  func alias(from: Int) throws {
    let output = try convert(tone(6000, rate: from, count: from), from: from, to: 8000)
    let level = output[800...].reduce(0.0) { $0 + Double($1) * Double($1) } / Double(output.count - 800)
    #expect(10 * log10(max(level, 1e-9) / (16_000 * 16_000 / 2)) < -60)
  }

  @Test("The number of outputs follows from the number of inputs, however they are cut", arguments: ratePairs)
  func length(from: Int, to: Int) throws {
    var random = SeededRandom(seed: UInt64(from + to))
    var converter = try #require(SpeexConverter(from: from, to: to))
    var output: [Int16] = []
    var taken = 0
    let input = (0..<(from / 2)).map { audibleSample(.in, UInt64($0)) }
    while taken < input.count {
      let count = min(Int.random(in: 1...700, using: &random), input.count - taken)
      converter.convert(Array(input[taken..<(taken + count)]), count: count, into: &output)
      taken += count
      #expect(output.count == (taken * to + from - 1) / from)
    }
    #expect(try output == convert(input, from: from, to: to))
  }

  @Test("Started in mid-stream with its history, the converter gives the same bytes", arguments: ratePairs)
  func resumed(from: Int, to: Int) throws {
    let input = (0..<from).map { audibleSample(.in, UInt64($0)) }
    let whole = try convert(input, from: from, to: to)
    var converter = try #require(SpeexConverter(from: from, to: to))
    let period = from / greatestCommonDivisor(from, to)
    for start in [from / 3, from / 2 + 1, from * 3 / 4 + 77] {
      let aligned = (start - converter.historySamples) / period * period
      converter.reset()
      var output: [Int16] = []
      converter.convert(Array(input[aligned..<start]), count: start - aligned, into: &output)
      output.removeAll()
      converter.convert(Array(input[start...]), count: input.count - start, into: &output)
      #expect(output[...] == whole[((start * to + from - 1) / from)...])
    }
  }

  @Test("The delay is at most 3 ms", arguments: ratePairs)
  func delay(from: Int, to: Int) throws {
    let converter = try #require(SpeexConverter(from: from, to: to))
    let milliseconds = Double(converter.delayInputSamples) * 1000 / Double(from)
    #expect(milliseconds <= 3.01)
    // A click of 1 ms comes out so much later.
    var input = [Int16](repeating: 0, count: from / 10)
    for index in (from / 20)..<(from / 20 + from / 1000) { input[index] = 16_000 }
    let output = try convert(input, from: from, to: to)
    let weights = output.map { Double($0) * Double($0) }
    let centre = weights.enumerated().reduce(0.0) { $0 + Double($1.offset) * $1.element } / weights.reduce(0, +)
    #expect(abs(centre / Double(to) * 1000 - (50.5 + milliseconds)) < 0.2)
  }

  @Test("Rates that are not those of audio are refused")
  func refused() {
    for rate in [0, -1, 7999, 8001, 200_000, Int.max, Int.min] {
      #expect(SpeexConverter(from: rate, to: 8000) == nil)
      #expect(SpeexConverter(from: 8000, to: rate) == nil)
    }
  }

  @Test("A channel that changes its rate in mid-call stays in time and keeps its tone", arguments: [16_000, 48_000])
  func rateChange(other: Int) {
    var call = RenderedCall<SpeexConverter>(.both)
    let wire = tone(1000, rate: 8000, count: 8000)
    let wide = tone(1000, rate: other, count: other)
    // Half a second at 8 kHz, half a second at the other rate, half a second at 8 kHz.
    for index in 0..<75 {
      let silence = [Int16](repeating: 0, count: 160)
      call.capture(.out, silence)
      if index < 25 || index >= 50 {
        call.capture(
          .in, Array(wire[(index % 50 * 160)...].prefix(160)), run: index < 25 ? 0 : 1000,
          index: UInt64(index % 25 * 160))
      } else {
        let size = other / 50
        call.capture(
          .in, Array(wide[((index - 25) * size)...].prefix(size)), rate: other, run: 500,
          index: UInt64((index - 25) * size))
      }
    }
    #expect(call.blocks.count == 75)
    #expect(call.renderer.counters.fill == 0)
    #expect(call.gaps.isEmpty)
    #expect(call.renderer.counters.in.rendered == UInt64(8000 + other / 2))
    #expect(call.stream[..<4000] == wire[..<4000])
    #expect(call.stream[8000...] == wire[..<4000])
    let (signal, noise) = levels(call.stream[4200..<7800], hertz: 1000, rate: 8000)
    #expect(10 * log10(signal / noise) > 60)
  }

  @Test("A run is converted as a whole, whatever frames it came in", arguments: ratePairs)
  func wholeRun(from: Int, to: Int) throws {
    var random = SeededRandom(seed: UInt64(from))
    let input = audibleSamples(.in, 0..<UInt64(from / 2))
    var call = RenderedCall<SpeexConverter>(.in, rate: to)
    var taken = 0
    while taken < input.count {
      let count = min(Int.random(in: 1...(from / 20), using: &random), input.count - taken)
      call.capture(.in, Array(input[taken..<(taken + count)]), rate: from)
      taken += count
    }
    call.finish()
    #expect(try call.stream == convert(input, from: from, to: to))
    #expect(call.renderer.counters.in.rendered == UInt64(input.count))
    #expect(call.renderer.counters.fill == 0)
  }

  @Test("A fork at another rate than both directions keeps them aligned to the sample")
  func alignment() {
    var call = RenderedCall<SpeexConverter>(.both)
    let signal = tone(700, rate: 16_000, count: 16_000)
    var sent = 0
    // Out is the negative of in: aligned, they cancel out. One has frames of 20 ms, the other of 30 ms and a digit.
    for index in 0..<25 {
      call.capture(.in, Array(signal[(index * 320)...].prefix(320)), rate: 16_000)
      call.renderer.skip(to: call.renderer.nextSequence + 1)
      while sent + 480 <= (index + 1) * 320 || (index == 24 && sent < 8000) {
        let count = min(480, 8000 - sent)
        call.capture(.out, signal[sent...].prefix(count).map { -$0 }, rate: 16_000)
        sent += count
      }
    }
    call.finish()
    #expect(call.stream.count == 4000)
    #expect(call.stream.allSatisfy { abs(Int($0)) <= 1 })
    #expect(call.renderer.counters.fill == 0)
  }
}
