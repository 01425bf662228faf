// SPDX-License-Identifier: Apache-2.0
import AsteriskTestKit
import AudioForkTestKit

/// Samples whose identity is known: a hash of seed and index, never zero, so that a zero in a recording is fill.
struct KnownSignal: Sendable {
  let samples: [Int16]

  /// The first half is quiet, so that a sum of two such signals does not clip there; the second is loud and clips.
  init(seed: UInt64, seconds: Double) {
    let count = Int(seconds * 8000)
    samples = (0..<count).map { index in
      let limit: UInt64 = index < count / 2 ? 12_000 : 30_000
      let value = Int(KnownSignal.hash(seed, UInt64(index)) % (2 * limit)) - Int(limit)
      return Int16(value >= 0 ? value + 1 : value)
    }
  }

  init(_ samples: [Int16]) { self.samples = samples }

  /// The signal as it is after one pass through G.711 µ-law, and after any further one: what a telephone can say.
  var throughMuLaw: KnownSignal {
    KnownSignal(
      samples.map { sample in
        let magnitude = min(Int(sample.magnitude), 32_635) + 132
        let exponent = max(0, magnitude.bitWidth - 1 - magnitude.leadingZeroBitCount - 7)
        let mantissa = (magnitude >> (exponent + 3)) & 15
        let decoded = (((mantissa << 3) + 132) << exponent) - 132
        // Zero would be taken for fill; the code beside it is 8.
        return Int16((sample < 0 ? -1 : 1) * (decoded == 0 ? 8 : decoded))
      })
  }

  /// The signal without what G.711 would take for silence: both its laws keep every sample of it apart from fill.
  var awayFromSilence: KnownSignal {
    KnownSignal(samples.map { $0.magnitude < 16 ? $0 + ($0 < 0 ? -16 : 16) : $0 })
  }

  /// The signal at a volume: each sample goes through `gain`, saturated. What becomes zero is left out, because a
  /// recording cannot tell it from fill.
  func at(_ gain: (Int) -> Int) -> KnownSignal {
    KnownSignal(samples.map { Int16(clamping: gain(Int($0))) }.filter { $0 != 0 })
  }

  /// SplitMix64 of both.
  private static func hash(_ seed: UInt64, _ index: UInt64) -> UInt64 {
    var z = (seed &* 0xA24B_AED4_963E_E407) &+ index &* 0x9E37_79B9_7F4A_7C15
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  /// Which part of the signal a recording of one direction holds, fill aside; nil when a sample in it is none of the
  /// signal's, or out of order.
  func range(in recording: some Collection<Int16>) -> Range<Int>? {
    let heard = recording.filter { $0 != 0 }
    guard heard.count >= 16 else { return heard.isEmpty ? 0..<0 : nil }
    let head = Array(heard.prefix(16))
    guard let start = (0...(samples.count - 16)).first(where: { samples[$0..<($0 + 16)].elementsEqual(head) }),
      start + heard.count <= samples.count, samples[start..<(start + heard.count)].elementsEqual(heard)
    else { return nil }
    return start..<(start + heard.count)
  }
}

/// Takes a recording apart into one piece of each of these signals, in this order, fill aside. Returns which part of
/// each it holds, and says where it holds something else.
func pieces(of recording: [Int16], _ signals: [KnownSignal]) throws -> [Range<Int>] {
  let heard = recording.filter { $0 != 0 }
  var at = 0
  var found: [Range<Int>] = []
  for signal in signals.map(\.samples) {
    let head = heard[at...].prefix(16)
    guard head.count == 16,
      let start = signal.indices.first(where: { signal[$0] == head.first && signal[$0...].starts(with: head) })
    else { throw TestKitError("after \(found) (\(at) samples of \(heard.count)) comes none of signal \(found.count)") }
    let length = zip(heard[at...], signal[start...]).prefix { $0 == $1 }.count
    found.append(start..<(start + length))
    at += length
  }
  guard at == heard.count else { throw TestKitError("behind \(found) are \(heard.count - at) foreign samples") }
  return found
}

/// The parts of a recording that are one piece of the signal each: which one, and how many zeros are behind it.
func runs(of recording: [Int16], _ signal: KnownSignal) throws -> [(range: Range<Int>, zeros: Int)] {
  var parts: [(range: Range<Int>, zeros: Int)] = []
  var at = recording.firstIndex { $0 != 0 } ?? recording.count
  while at < recording.count {
    let rest = recording[at...]
    let head = rest.prefix(16)
    let from = parts.last?.range.upperBound ?? 0
    guard let start = signal.samples.indices[from...].first(where: { signal.samples[$0...].starts(with: head) }) else {
      throw TestKitError("at \(at) of the recording stands none of the signal behind \(from)")
    }
    let count = zip(rest, signal.samples[start...]).prefix { $0 == $1 }.count
    let next = recording[(at + count)...].firstIndex { $0 != 0 } ?? recording.count
    parts.append((range: start..<(start + count), zeros: next - at - count))
    at = next
  }
  return parts
}

/// Takes a recording of the sum of two signals apart: each sample must be the saturated sum of the next one of each,
/// or the next one of either alone, or fill. Returns how many samples of each it holds, or nil where one is foreign.
func partsOfSum(
  _ recording: [Int16], _ first: KnownSignal, _ second: KnownSignal
) -> (first: Int, second: Int, bothAt: Int)? {
  let a = first.samples
  let b = second.samples
  var i = 0
  var j = 0
  var active = (first: false, second: false)
  var firstOverlap = -1

  func value(_ x: Bool, _ y: Bool, _ i: Int, _ j: Int) -> Int16? {
    guard !x || i < a.count, !y || j < b.count else { return nil }
    let sum = (x ? Int(a[i]) : 0) + (y ? Int(b[j]) : 0)
    return Int16(clamping: sum)
  }
  // A change of who speaks must explain the next samples too: single ones agree by chance.
  func explains(_ x: Bool, _ y: Bool, from at: Int) -> Bool {
    for step in 0..<4 where at + step < recording.count {
      if value(x, y, i + (x ? step : 0), j + (y ? step : 0)) != recording[at + step] { return step >= 3 }
    }
    return true
  }

  for at in recording.indices {
    if value(active.first, active.second, i, j) != recording[at] {
      let others = [(true, true), (true, false), (false, true), (false, false)]
      guard
        let found = others.first(where: { $0 != (active.first, active.second) && explains($0.0, $0.1, from: at) })
          ?? others.first(where: { value($0.0, $0.1, i, j) == recording[at] })
      else { return nil }
      active = (first: found.0, second: found.1)
    }
    if active.first && active.second && firstOverlap < 0 { firstOverlap = at }
    if active.first { i += 1 }
    if active.second { j += 1 }
  }
  return (first: i, second: j, bothAt: firstOverlap)
}
