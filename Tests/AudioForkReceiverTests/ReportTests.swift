// SPDX-License-Identifier: Apache-2.0
import AudioForkReceiver
import Testing

/// Noise with the energy of speech: bursts of filtered noise between pauses. Repeats for a seed.
private func speech(_ count: Int, seed: UInt64, amplitude: Double = 4000) -> [Int16] {
  var state = seed &* 0x9E37_79B9_7F4A_7C15 | 1
  var filtered = 0.0
  return (0..<count).map { index in
    state ^= state << 13
    state ^= state >> 7
    state ^= state << 17
    let white = Double(Int64(bitPattern: state) >> 11) / Double(Int64(1) << 52)
    filtered = 0.6 * filtered + white
    let envelope = index % 4000 < 2600 ? 1.0 : 0.02
    return Int16(max(-32768, min(32767, (filtered * envelope * amplitude).rounded())))
  }
}

/// Quiet noise with a signal added at an offset.
private func recording(_ count: Int, _ parts: [(signal: [Int16], offset: Int)]) -> [Int16] {
  var samples = [Int16](repeating: 0, count: count)
  for (signal, offset) in parts {
    for (index, sample) in signal.enumerated() { samples[offset + index] += sample }
  }
  return samples
}

@Suite("Correlation")
struct CorrelationTests {
  @Test("A copy is found where it is, with 1", arguments: [0, 1, 777, 12_345, 24_000])
  func copy(offset: Int) throws {
    let prompt = speech(16_000, seed: 1)
    let samples = recording(40_000, [(prompt, offset)])
    let peak = try #require(Correlation.peak(of: prompt, in: samples, window: 0..<samples.count))
    #expect(peak.offset == offset)
    #expect(peak.value == 1)
  }

  @Test("The value does not depend on volume, and an inverted copy is no match")
  func volume() throws {
    let prompt = speech(8000, seed: 2)
    let half = recording(20_000, [(prompt.map { $0 / 2 * 2 / 2 }, 5000)])
    let peak = try #require(Correlation.peak(of: prompt, in: half, window: 0..<half.count))
    #expect(peak.offset == 5000)
    #expect(peak.value > 0.9999)
    #expect(Correlation.value(of: prompt, in: half.map { -$0 }, at: 5000) < -0.9999)
  }

  @Test("Other speech correlates below 0.3")
  func other() throws {
    let samples = speech(40_000, seed: 4)
    let peak = try #require(Correlation.peak(of: speech(16_000, seed: 3), in: samples, window: 0..<samples.count))
    #expect(peak.value < 0.3)
    #expect(peak.value > 0)
  }

  @Test("A copy with noise 10 dB below it stays under 0.99, at the value that theory gives")
  func noisy() throws {
    let prompt = speech(16_000, seed: 5)
    let noise = speech(16_000, seed: 6, amplitude: 4000 / 10.0.squareRoot())
    let samples = recording(30_000, [(prompt, 9000), (noise, 9000)])
    let peak = try #require(Correlation.peak(of: prompt, in: samples, window: 0..<samples.count))
    #expect(peak.offset == 9000)
    // 1 / sqrt(1 + 1/10)
    #expect(abs(peak.value - 0.9535) < 0.01)
  }

  @Test("Each window is searched for itself")
  func windows() throws {
    let (first, second) = (speech(8000, seed: 7), speech(8000, seed: 8))
    let samples = recording(40_000, [(first, 4000), (second, 24_000)])
    let inFirst = try #require(Correlation.peak(of: first, in: samples, window: 0..<20_000))
    let inSecond = try #require(Correlation.peak(of: second, in: samples, window: 20_000..<40_000))
    #expect(inFirst == CorrelationPeak(offset: 4000, value: 1))
    #expect(inSecond == CorrelationPeak(offset: 24_000, value: 1))
    let wrong = try #require(Correlation.peak(of: first, in: samples, window: 20_000..<40_000))
    #expect(wrong.value < 0.3)
  }

  @Test(
    "A long window is searched in blocks without missing an offset", arguments: [99_000, 131_071, 131_072, 192_000])
  func blocks(offset: Int) throws {
    let prompt = speech(8000, seed: 9)
    let samples = recording(200_000, [(prompt, offset), (speech(80_000, seed: 10), 0)])
    let peak = try #require(Correlation.peak(of: prompt, in: samples, window: 0..<samples.count))
    #expect(peak == CorrelationPeak(offset: offset, value: 1))
  }

  @Test("The search agrees with calculating every offset")
  func exhaustive() throws {
    let prompt = speech(300, seed: 11)
    let samples = speech(2000, seed: 12)
    let best = try #require((100...1500).map { Correlation.value(of: prompt, in: samples, at: $0) }.max())
    let peak = try #require(Correlation.peak(of: prompt, in: samples, window: 100..<1800))
    #expect(peak.value == best)
  }

  @Test("Where there is nothing to compare there is no peak, and silence correlates with nothing")
  func nothing() {
    let samples = speech(1000, seed: 13)
    #expect(Correlation.peak(of: [], in: samples, window: 0..<1000) == nil)
    #expect(Correlation.peak(of: [0, 0], in: samples, window: 0..<1000) == nil)
    #expect(Correlation.peak(of: samples, in: samples, window: 1..<1000) == nil)
    #expect(Correlation.peak(of: samples, in: samples, window: 0..<9_000_000)?.value == 1)
    #expect(Correlation.peak(of: [5], in: [0, 0, 0], window: 0..<3)?.value == 0)
    #expect(Correlation.value(of: samples, in: samples, at: -1) == 0)
  }

  @Test("Full-scale samples overflow nothing")
  func fullScale() {
    let loud = [Int16](repeating: -32768, count: 100_000)
    #expect(Correlation.peak(of: loud, in: loud + loud, window: 0..<200_000)?.value == 1)
  }
}

@Suite("Reports")
struct RecordingReportTests {
  @Test("A prompt is described by name, file and window")
  func parsed() throws {
    let match = try #require(PromptMatch("caller prompt=/s/a@b=c.sln@0.5-4"))
    #expect(match.name == "caller prompt")
    #expect(match.promptPath == "/s/a@b=c.sln")
    #expect(match.window == 0.5...4)
  }

  @Test(
    "Anything else is refused",
    arguments: [
      "", "a", "a=b", "a=b@", "a=b@1", "a=b@1-", "a=b@2-1", "a=b@1-1", "a=b@-1-2", "=b@1-2", "a=@1-2",
      "a=b@nan-2", "a=b@1-inf", "a=b@1-2-3", "a@1-2=b",
    ])
  func refused(text: String) {
    #expect(PromptMatch(text) == nil)
  }

  private func report(
    _ specification: String, prompt: SampledAudio, threshold: Double = 0.99
  ) throws -> RecordingReport {
    let first = speech(8000, seed: 1)
    let audio = SampledAudio(rateHertz: 8000, channels: [recording(32_000, [(first, 9920)])])
    return RecordingReport(
      path: "a.wav", recording: audio, matches: [(try #require(PromptMatch(specification)), prompt)],
      threshold: threshold)
  }

  @Test("A report shows length, level, waveform and matches")
  func whole() throws {
    let good = try report("caller=x@1-3", prompt: SampledAudio(rateHertz: 8000, channels: [speech(8000, seed: 1)]))
    #expect(good.isGood)
    #expect(good.lines.first == "a.wav")
    #expect(good.lines.dropFirst().first?.hasPrefix("4.00 s, 8000 Hz, 1 channel, level -") == true)
    #expect(good.lines.last == "caller: 1.000 at 1.24 s")
    #expect(good.lines.count == 2 + 5 + 1 + 1)
    #expect(good.lines.dropFirst(2).prefix(6).allSatisfy { $0.count == 72 })
  }

  @Test("A stereo recording shows each channel by itself, and in which one a prompt is")
  func stereo() throws {
    let prompt = speech(8000, seed: 1)
    let audio = SampledAudio(
      rateHertz: 44_100, channels: [[Int16](repeating: 0, count: 44_100), recording(44_100, [(prompt, 22_050)])])
    let report = RecordingReport(
      path: "s.wav", recording: audio,
      matches: [(try #require(PromptMatch("callee=x@0-1")), SampledAudio(rateHertz: 44_100, channels: [prompt]))],
      threshold: 0.99)
    #expect(report.isGood)
    #expect(report.lines[1].hasPrefix("1.00 s, 44100 Hz, 2 channels, level -"))
    #expect(report.lines[2] == "channel 1: level silence, peak silence")
    #expect(report.lines[3..<8].allSatisfy { $0.allSatisfy { $0 == " " } })
    #expect(report.lines[8].hasPrefix("channel 2: level -"))
    #expect(report.lines[9..<14].contains { $0.contains("█") })
    #expect(report.lines.last == "callee: 1.000 at 0.50 s in channel 2")
  }

  @Test("A prompt that is not there, not whole or of another rate is not good")
  func bad() throws {
    let other = try report("callee=x@0-4", prompt: SampledAudio(rateHertz: 8000, channels: [speech(8000, seed: 2)]))
    #expect(!other.isGood)
    #expect(other.lines.last?.hasSuffix(", below 0.99") == true)
    let cut = try report("caller=x@1.5-9", prompt: SampledAudio(rateHertz: 8000, channels: [speech(8000, seed: 1)]))
    #expect(!cut.isGood)
    let late = try report("caller=x@3.5-9", prompt: SampledAudio(rateHertz: 8000, channels: [speech(8000, seed: 1)]))
    #expect(!late.isGood)
    #expect(
      late.lines.last
        == "caller: no match, the prompt of 1.00 s is silent or longer than the 0.50 s recorded in its window")
    let rate = try report("caller=x@1-3", prompt: SampledAudio(rateHertz: 16000, channels: [speech(8000, seed: 1)]))
    #expect(!rate.isGood)
    let silent = try report("x=x@1-3", prompt: SampledAudio(rateHertz: 8000, channels: [[0, 0]]), threshold: 0.1)
    #expect(!silent.isGood)
  }

  @Test("An empty recording is reported, not good, and traps nothing")
  func empty() throws {
    let report = RecordingReport(
      path: "e.wav", recording: SampledAudio(rateHertz: 8000, channels: [[]]),
      matches: [(try #require(PromptMatch("a=b@0-1")), SampledAudio(rateHertz: 8000, channels: [[1, 2]]))],
      threshold: 0.99)
    #expect(!report.isGood)
    #expect(report.lines.dropFirst().first == "0.00 s, 8000 Hz, 1 channel, level silence, peak silence")
  }

  @Test("A waveform shows the peak of each column, the loudest at full height")
  func waveform() {
    #expect(Waveform.rows([0, 0, 100, 0, -50, 0], columns: 3, rows: 1) == [" █▄"])
    #expect(Waveform.rows([0, 0, 100, 0, -50, 1], columns: 3, rows: 2) == [" █ ", " ██"])
    #expect(Waveform.rows([1, 32767, -32768, 0], columns: 4, rows: 1) == ["▁██ "])
    #expect(Waveform.rows([], columns: 2, rows: 1) == ["  "])
  }

  @Test("Headerless files are read as 16-bit signed linear with the rate of their ending")
  func headerless() throws {
    let folder = try TemporaryFolder()
    try write([1, 0, 255, 255], to: folder.path + "/a.sln")
    try write([1, 0, 255, 255], to: folder.path + "/a.sln16")
    #expect(try SampledAudio(reading: folder.path + "/a.sln") == SampledAudio(rateHertz: 8000, channels: [[1, -1]]))
    #expect(try SampledAudio(reading: folder.path + "/a.sln16").rateHertz == 16000)
    try write([1, 2, 3], to: folder.path + "/a.wav")
    #expect(throws: ReportError.self) { try SampledAudio(reading: folder.path + "/a.wav") }
    #expect(throws: ReportError.self) { try SampledAudio(reading: folder.path + "/absent.sln") }
  }
}
