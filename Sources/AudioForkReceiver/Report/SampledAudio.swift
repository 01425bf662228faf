// SPDX-License-Identifier: Apache-2.0
internal import CSndfile

/// Why a report cannot be made.
package struct ReportError: Error, Equatable, Sendable {
  /// What happened and with which file, for the operator.
  package let reason: String

  package init(reason: String) { self.reason = reason }
}

/// A sound file in memory, as 16-bit samples.
package struct SampledAudio: Equatable, Sendable {
  package let rateHertz: Int
  /// The samples of each channel, all of one length.
  package let channels: [[Int16]]

  /// Longest file that is read: four hours at 8 kHz.
  package static let framesMax = 4 * 3600 * 8000

  package init(rateHertz: Int, channels: [[Int16]]) {
    self.rateHertz = rateHertz
    self.channels = channels
  }

  /// Sample frames.
  package var frameCount: Int { channels.first?.count ?? 0 }

  /// Length.
  package var seconds: Double { Double(frameCount) / Double(rateHertz) }

  /// Reads what libsndfile can, and Asterisk's headerless signed linear (.sln, .sln16 … .sln192, .slin, .raw).
  package init(reading path: String) throws(ReportError) {
    var form = SF_INFO()
    if let rate = SampledAudio.headerlessRate(path) {
      form.samplerate = CInt(rate)
      form.channels = 1
      form.format = CInt(SF_FORMAT_RAW) | CInt(SF_FORMAT_PCM_16) | CInt(SF_ENDIAN_LITTLE)
    }
    guard let sound = sf_open(path, CInt(SFM_READ), &form) else {
      throw ReportError(reason: "cannot read \(path): \(String(cString: sf_strerror(nil)))")
    }
    defer { sf_close(sound) }
    let channelCount = Int(form.channels)
    guard form.samplerate > 0, channelCount > 0 else {
      throw ReportError(reason: "cannot read \(path): it states no rate or no channels")
    }
    guard form.frames <= SampledAudio.framesMax else {
      throw ReportError(reason: "cannot read \(path): it is longer than \(SampledAudio.framesMax) sample frames")
    }
    var channels = [[Int16]](repeating: [], count: channelCount)
    for index in channels.indices { channels[index].reserveCapacity(max(0, Int(form.frames))) }
    var block = [Int16](repeating: 0, count: 4096 * channelCount)
    while true {
      let count = Int(sf_readf_short(sound, &block, 4096))
      guard count > 0 else { break }
      for channel in 0..<channelCount {
        for frame in 0..<count { channels[channel].append(block[frame * channelCount + channel]) }
      }
    }
    self.init(rateHertz: Int(form.samplerate), channels: channels)
  }

  private static func headerlessRate(_ path: String) -> Int? {
    let name = path.split(separator: "/").last ?? ""
    guard let dot = name.lastIndex(of: ".") else { return nil }
    switch name[name.index(after: dot)...].lowercased() {
    case "sln", "slin", "raw": return 8000
    case "sln12": return 12_000
    case "sln16": return 16_000
    case "sln24": return 24_000
    case "sln32": return 32_000
    case "sln44": return 44_100
    case "sln48": return 48_000
    case "sln96": return 96_000
    case "sln192": return 192_000
    default: return nil
    }
  }
}
