// SPDX-License-Identifier: Apache-2.0
internal import AudioForkMedia
internal import CSpeexDSP

/// Streaming rate conversion by libspeexdsp: a windowed-sinc FIR of 48 taps at the lower rate.
///
/// Its delay is constant: 24 samples of the lower of the two rates' periods, so 3 ms against 8 kHz and 1.5 ms against
/// 16 kHz (`delayInputSamples`). Whatever lies in the filter when a run ends is not flushed into what follows.
package struct SpeexConverter: SampleRateConverter {
  /// Stop band below −70 dB at the price of 3 ms; a higher quality would delay a converted direction by more
  /// against one that needs no conversion.
  private static let quality: Int32 = 3
  private let filter: SpeexFilter
  private let from: UInt64
  private let to: UInt64

  package let historySamples: Int

  package init?(from: Int, to: Int) {
    guard RenderLimit.isUsable(rateHertz: from), RenderLimit.isUsable(rateHertz: to),
      let filter = SpeexFilter(from: UInt32(from), to: UInt32(to), quality: SpeexConverter.quality)
    else { return nil }
    self.filter = filter
    self.from = UInt64(from)
    self.to = UInt64(to)
    // The filter's length is twice its latency; it is rounded up to a multiple of 8.
    historySamples = filter.latency * 2 + 8
  }

  /// How much later than its input a signal appears, in input samples.
  package var delayInputSamples: Int { filter.latency }

  package mutating func reset() { filter.reset() }

  package mutating func convert(_ samples: [Int16], count: Int, into output: inout [Int16]) {
    let count = min(count, samples.count)
    guard count > 0 else { return }
    // Room for all outputs makes the library take all inputs; how many that is follows from its phase.
    let room = count * Int(to) / Int(from) + 2
    let before = output.count
    output.append(contentsOf: repeatElement(0, count: room))
    let produced = samples.withUnsafeBufferPointer { input in
      output.withUnsafeMutableBufferPointer { target -> Int in
        guard let source = input.baseAddress, let sink = target.baseAddress else { return 0 }
        return filter.convert(source, count, sink + before, room)
      }
    }
    output.removeLast(room - produced)
  }
}

/// Owns a resampler state; freed with its last reference.
private final class SpeexFilter {
  private let state: OpaquePointer
  let latency: Int

  init?(from: UInt32, to: UInt32, quality: Int32) {
    var failure: Int32 = 0
    guard let state = speex_resampler_init(1, from, to, quality, &failure) else { return nil }
    guard failure == 0 else {
      speex_resampler_destroy(state)
      return nil
    }
    self.state = state
    latency = Int(speex_resampler_get_input_latency(state))
  }

  deinit { speex_resampler_destroy(state) }

  func reset() { speex_resampler_reset_mem(state) }

  /// Returns the number of samples written to `target`, at most `room`.
  func convert(
    _ source: UnsafePointer<Int16>, _ count: Int, _ target: UnsafeMutablePointer<Int16>, _ room: Int
  ) -> Int {
    var taken = 0
    var written = 0
    // Each call may stop at the size of the library's own buffer.
    while taken < count, written < room {
      var input = UInt32(clamping: count - taken)
      var output = UInt32(clamping: room - written)
      guard speex_resampler_process_int(state, 0, source + taken, &input, target + written, &output) == 0,
        input > 0 || output > 0
      else { break }
      taken += Int(input)
      written += Int(output)
    }
    return written
  }
}
