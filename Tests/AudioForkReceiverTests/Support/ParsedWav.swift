// SPDX-License-Identifier: Apache-2.0

/// A WAV file read by a parser that shares nothing with the writer, and that accepts no header that promises more
/// than the file holds.
struct ParsedWav: Equatable {
  let rateHertz: Int
  let channelCount: Int
  let samples: [UInt8]

  init?(_ file: [UInt8]) {
    func number(_ at: Int, _ size: Int) -> Int? {
      guard at >= 0, at + size <= file.count else { return nil }
      return file[at..<at + size].reversed().reduce(0) { $0 << 8 | Int($1) }
    }
    func tag(_ at: Int) -> String { String(decoding: file.dropFirst(at).prefix(4), as: UTF8.self) }
    guard tag(0) == "RIFF", tag(8) == "WAVE", let riff = number(4, 4), riff + 8 <= file.count else { return nil }
    var at = 12
    var form: (rate: Int, channels: Int)?
    while at + 8 <= file.count {
      guard let size = number(at + 4, 4), at + 8 + size <= file.count else { return nil }
      if tag(at) == "fmt " {
        guard size >= 16, number(at + 8, 2) == 1, let channels = number(at + 10, 2), let rate = number(at + 12, 4),
          number(at + 16, 4) == rate * channels * 2, number(at + 20, 2) == channels * 2, number(at + 22, 2) == 16
        else { return nil }
        form = (rate, channels)
      } else if tag(at) == "data" {
        guard let form else { return nil }
        rateHertz = form.rate
        channelCount = form.channels
        samples = Array(file[(at + 8)..<(at + 8 + size)])
        return
      }
      at += 8 + size + size % 2
    }
    return nil
  }
}
