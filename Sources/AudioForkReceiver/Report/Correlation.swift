// SPDX-License-Identifier: Apache-2.0

/// Where a prompt is in a recording, and how alike they are there.
package struct CorrelationPeak: Equatable, Sendable {
  /// Sample at which the prompt begins.
  package let offset: Int
  /// Normalised cross-correlation over the whole prompt: the sum of products, divided by the root of the product of
  /// both energies over the same samples. 1: the same but for volume; 0: nothing in common; -1: inverted.
  package let value: Double

  package init(offset: Int, value: Double) {
    self.offset = offset
    self.value = value
  }
}

/// Normalised cross-correlation of a prompt with a recording.
package enum Correlation {
  /// The offset in `window` at which the whole prompt lies inside it and the correlation is highest. Nil if the prompt
  /// is empty, silent or longer than the window.
  ///
  /// All offsets are compared by Fourier transform, in blocks, so that time and memory stay small for long windows; the
  /// value at the winner is then calculated from the samples in integers.
  package static func peak(of prompt: [Int16], in recording: [Int16], window: Range<Int>) -> CorrelationPeak? {
    let window = window.clamped(to: 0..<recording.count)
    guard !prompt.isEmpty, prompt.count <= window.count, prompt.contains(where: { $0 != 0 }) else { return nil }
    let energies = energyBefore(recording, window)
    let fourier = FourierTransform(lengthAtLeast: max(4096, prompt.count * 4))
    var (promptReal, promptImaginary) = zeros(fourier.length)
    for index in prompt.indices { promptReal[index] = Double(prompt[index]) }
    fourier.transform(&promptReal, &promptImaginary)

    var best = (offset: window.lowerBound, score: -Double.infinity)
    let offsetsInBlock = fourier.length - prompt.count + 1
    for start in stride(from: window.lowerBound, through: window.upperBound - prompt.count, by: offsetsInBlock) {
      let products = crossProducts(recording, from: start, to: window.upperBound, promptReal, promptImaginary, fourier)
      for offset in start...min(start + offsetsInBlock - 1, window.upperBound - prompt.count) {
        let first = offset - window.lowerBound
        let energy = energies[first + prompt.count] - energies[first]
        guard energy > 0 else { continue }
        let score = products[offset - start] / Double(energy).squareRoot()
        if score > best.score { best = (offset, score) }
      }
    }
    return CorrelationPeak(offset: best.offset, value: value(of: prompt, in: recording, at: best.offset))
  }

  /// The correlation at one offset, exact; 0 where the prompt does not lie inside the recording or either is silent.
  package static func value(of prompt: [Int16], in recording: [Int16], at offset: Int) -> Double {
    guard offset >= 0, offset <= recording.count - prompt.count else { return 0 }
    // 2^30 a product at most: Int64 holds the sum of 2^33 of them.
    var (product, promptEnergy, energy) = (Int64(0), Int64(0), Int64(0))
    for index in prompt.indices {
      let (left, right) = (Int64(prompt[index]), Int64(recording[offset + index]))
      product &+= left &* right
      promptEnergy &+= left &* left
      energy &+= right &* right
    }
    guard promptEnergy > 0, energy > 0 else { return 0 }
    // One root of the product, because that is exactly the energy where both are equal.
    return min(max(Double(product) / (Double(promptEnergy) * Double(energy)).squareRoot(), -1), 1)
  }

  /// Energy of the window's first n samples, at index n.
  private static func energyBefore(_ recording: [Int16], _ window: Range<Int>) -> [Int64] {
    var energies: [Int64] = [0]
    energies.reserveCapacity(window.count + 1)
    var sum: Int64 = 0
    for sample in recording[window] {
      sum &+= Int64(sample) &* Int64(sample)
      energies.append(sum)
    }
    return energies
  }

  /// Sums of products of the prompt with the recording, for the offsets from `start` on that one transform covers.
  private static func crossProducts(
    _ recording: [Int16], from start: Int, to end: Int, _ promptReal: [Double], _ promptImaginary: [Double],
    _ fourier: FourierTransform
  ) -> [Double] {
    var (real, imaginary) = zeros(fourier.length)
    for index in start..<min(end, start + fourier.length) { real[index - start] = Double(recording[index]) }
    fourier.transform(&real, &imaginary)
    for index in real.indices {
      // Times the conjugate of the prompt's spectrum: correlation instead of convolution.
      let (a, b, c, d) = (real[index], imaginary[index], promptReal[index], promptImaginary[index])
      real[index] = a * c + b * d
      imaginary[index] = b * c - a * d
    }
    fourier.transform(&imaginary, &real)
    let scale = 1 / Double(fourier.length)
    return real.map { $0 * scale }
  }

  private static func zeros(_ count: Int) -> ([Double], [Double]) {
    ([Double](repeating: 0, count: count), [Double](repeating: 0, count: count))
  }
}
