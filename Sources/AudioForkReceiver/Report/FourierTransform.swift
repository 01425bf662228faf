// SPDX-License-Identifier: Apache-2.0
internal import Glibc

/// Complex discrete Fourier transform of one power-of-two length, radix 2, in place.
struct FourierTransform {
  let length: Int
  private let cosines: [Double]
  private let sines: [Double]

  /// - Parameter lengthAtLeast: rounded up to a power of two.
  init(lengthAtLeast: Int) {
    var length = 1
    while length < lengthAtLeast { length *= 2 }
    self.length = length
    let angles = (0..<length / 2).map { -2 * Double.pi * Double($0) / Double(length) }
    cosines = angles.map { cos($0) }
    sines = angles.map { sin($0) }
  }

  /// Transforms both arrays, each of `length`, without scaling. The inverse is this with the arrays exchanged.
  func transform(_ real: inout [Double], _ imaginary: inout [Double]) {
    precondition(real.count == length && imaginary.count == length, "arrays of \(length) when transforming")
    var reversed = 0
    for index in 1..<max(length, 1) {
      var bit = length / 2
      while reversed & bit != 0 {
        reversed ^= bit
        bit /= 2
      }
      reversed |= bit
      if index < reversed {
        real.swapAt(index, reversed)
        imaginary.swapAt(index, reversed)
      }
    }
    var half = 1
    while half < length {
      let step = length / (2 * half)
      for start in stride(from: 0, to: length, by: 2 * half) {
        for offset in 0..<half {
          let (low, high) = (start + offset, start + offset + half)
          let (cosine, sine) = (cosines[offset * step], sines[offset * step])
          let turnedReal = real[high] * cosine - imaginary[high] * sine
          let turnedImaginary = real[high] * sine + imaginary[high] * cosine
          real[high] = real[low] - turnedReal
          imaginary[high] = imaginary[low] - turnedImaginary
          real[low] += turnedReal
          imaginary[low] += turnedImaginary
        }
      }
      half *= 2
    }
  }
}
