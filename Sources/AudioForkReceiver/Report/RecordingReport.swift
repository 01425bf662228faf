// SPDX-License-Identifier: Apache-2.0
internal import AudioForkDialects
internal import AudioForkWebSocket

/// A prompt that a recording should contain.
package struct PromptMatch: Equatable, Sendable {
  /// How the report calls it.
  package let name: String
  /// File of the prompt.
  package let promptPath: String
  /// Seconds of the recording between which the whole prompt must lie.
  package let window: ClosedRange<Double>

  /// Reads `NAME=PROMPTFILE@FROM-TO`; nil if the text has another form.
  package init?(_ text: String) {
    guard let equals = text.firstIndex(of: "="), let at = text.lastIndex(of: "@"), equals < at else { return nil }
    let name = text[..<equals]
    let path = text[text.index(after: equals)..<at]
    let bounds = text[text.index(after: at)...].split(separator: "-", omittingEmptySubsequences: false)
    guard !name.isEmpty, !path.isEmpty, bounds.count == 2, let from = PromptMatch.seconds(bounds[0]),
      let to = PromptMatch.seconds(bounds[1]), from < to
    else { return nil }
    self.name = String(name)
    promptPath = String(path)
    window = from...to
  }

  private static func seconds(_ text: Substring) -> Double? {
    guard text.first?.isNumber == true, let value = Double(text), value >= 0, value <= 1e6 else { return nil }
    return value
  }
}

/// What is said about a recording: length, level, waveform, and how well prompts match.
package struct RecordingReport: Equatable, Sendable {
  /// The text, line by line.
  package let lines: [String]
  /// Whether every prompt reached the threshold.
  package let isGood: Bool

  /// - Parameters:
  ///   - path: shown as given.
  ///   - matches: each with its prompt, read.
  ///   - threshold: lowest correlation that is good.
  ///   - columns: width of the waveform.
  package init(
    path: String, recording: SampledAudio, matches: [(match: PromptMatch, prompt: SampledAudio)], threshold: Double,
    columns: Int = 72
  ) {
    var meter = LevelMeter()
    for channel in recording.channels { meter.add(channel) }
    let level = { (value: Double?) in value.map { "\(fixed($0, places: 1)) dBFS" } ?? "silence" }
    let count = recording.channels.count
    var lines = [path]
    lines.append(
      "\(fixed(recording.seconds, places: 2)) s, \(recording.rateHertz) Hz, \(count) channel\(count == 1 ? "" : "s"), "
        + "level \(level(meter.rootMeanSquare)), peak \(level(meter.peakLevel))")
    for (index, channel) in recording.channels.enumerated() {
      if count > 1 {
        var own = LevelMeter()
        own.add(channel)
        lines.append("channel \(index + 1): level \(level(own.rootMeanSquare)), peak \(level(own.peakLevel))")
      }
      lines += Waveform.rows(channel, columns: columns, rows: 5)
    }
    let end = "\(fixed(recording.seconds, places: 1)) s"
    lines.append("0 s" + String(repeating: " ", count: max(1, columns - 3 - end.count)) + end)
    var isGood = true
    for (match, prompt) in matches {
      let (line, value) = RecordingReport.line(match, prompt, recording, threshold)
      lines.append(line)
      if !(value >= threshold) { isGood = false }
    }
    self.lines = lines
    self.isGood = isGood
  }

  private static func line(
    _ match: PromptMatch, _ prompt: SampledAudio, _ recording: SampledAudio, _ threshold: Double
  ) -> (String, value: Double) {
    let name = printable(match.name)
    guard prompt.rateHertz == recording.rateHertz else {
      return ("\(name): no match, the prompt has \(prompt.rateHertz) Hz, the recording \(recording.rateHertz) Hz", 0)
    }
    let rate = Double(recording.rateHertz)
    // A recording may end before the window does; what it has is searched.
    let first = min(Int((match.window.lowerBound * rate).rounded()), recording.frameCount)
    let last = min(Int((match.window.upperBound * rate).rounded()), recording.frameCount)
    let peaks = recording.channels.enumerated().compactMap { index, samples in
      Correlation.peak(of: prompt.channels.first ?? [], in: samples, window: first..<last).map { (index, $0) }
    }
    guard let (channel, peak) = peaks.max(by: { $0.1.value < $1.1.value }) else {
      let has = fixed(Double(last - first) / rate, places: 2)
      return (
        "\(name): no match, the prompt of \(fixed(prompt.seconds, places: 2)) s is silent or longer than the "
          + "\(has) s recorded in its window", 0
      )
    }
    // Cut, not rounded: what is shown as 0.990 is not below 0.99.
    let shown = fixed((peak.value * 1000).rounded(.towardZero) / 1000, places: 3)
    var line = "\(name): \(shown) at \(fixed(Double(peak.offset) / rate, places: 2)) s"
    if recording.channels.count > 1 { line += " in channel \(channel + 1)" }
    if !(peak.value >= threshold) { line += ", below \(threshold)" }
    return (line, peak.value)
  }
}
