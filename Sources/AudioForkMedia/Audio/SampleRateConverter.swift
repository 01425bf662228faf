// SPDX-License-Identifier: Apache-2.0

/// Converts one direction's samples to the wire rate, piece by piece.
///
/// Rendering repeats conversions after a break, so an implementation must be a function of its input alone:
///  - after `reset`, output k stands for the input time k × from / to (plus a constant delay);
///  - after n input samples exactly ⌈n × to / from⌉ outputs have been given, however the input was cut;
///  - an output depends only on the `historySamples` inputs before the newest one and on the phase. Starting anew at
///    an input index that is a multiple of from / gcd(from, to) and feeding that many inputs therefore gives the
///    same bytes from there on.
package protocol SampleRateConverter {
  /// Nil when this pair of rates (hertz) is not supported or memory is short.
  init?(from: Int, to: Int)
  /// How many past input samples the next output can depend on.
  var historySamples: Int { get }
  /// Back to the state after `init`: silence before the first input, phase 0.
  mutating func reset()
  /// Takes the first `count` of `samples` and appends what they complete to `output`.
  mutating func convert(_ samples: [Int16], count: Int, into output: inout [Int16])
}

/// For forks that never convert (tests, or formats at the channel's rate): supports no pair of rates.
package struct NoConverter: SampleRateConverter {
  package init?(from: Int, to: Int) { return nil }
  package var historySamples: Int { 0 }
  package mutating func reset() {}
  package mutating func convert(_ samples: [Int16], count: Int, into output: inout [Int16]) {}
}

/// Greatest common divisor of two positive numbers.
package func greatestCommonDivisor(_ first: Int, _ second: Int) -> Int {
  var (larger, smaller) = (max(first, 1), max(second, 1))
  while smaller != 0 { (larger, smaller) = (smaller, larger % smaller) }
  return larger
}
