// SPDX-License-Identifier: Apache-2.0

/// A recording's loudness over time, drawn with block characters.
package enum Waveform {
  /// `rows` lines of `columns` characters. Each column is as high as the highest magnitude in its share of the samples;
  /// the loudest column is full height. Silence draws nothing.
  package static func rows(_ samples: [Int16], columns: Int, rows: Int) -> [String] {
    guard columns > 0, rows > 0 else { return [] }
    let peaks = (0..<columns).map { column -> Int in
      let share = (samples.count * column / columns)..<(samples.count * (column + 1) / columns)
      return samples[share].reduce(0) { max($0, Int($1.magnitude)) }
    }
    let loudest = peaks.max() ?? 0
    let eighths: [Character] = [" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"]
    // Eighths of a row; what is not silent shows at least one.
    let heights = peaks.map { peak in
      peak == 0 || loudest == 0 ? 0 : max(1, (peak * rows * 8 + loudest / 2) / loudest)
    }
    return (0..<rows).map { row in
      let below = (rows - 1 - row) * 8
      return String(heights.map { eighths[min(max($0 - below, 0), 8)] })
    }
  }
}
