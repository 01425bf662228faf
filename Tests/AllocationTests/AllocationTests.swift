// SPDX-License-Identifier: Apache-2.0
import AudioForkSteps
import CAllocationCount
import Testing

/// Whether this is an optimized build. Others keep what the optimizer takes away.
private let isOptimized: Bool = {
  #if DEBUG
    false
  #else
    true
  #endif
}()

/// malloc and its like are counted for the whole program by CAllocationCount, each thread for itself.
@Suite("Allocations for each block of audio")
struct AllocationTests {
  @Test("The allocations of this thread are counted")
  func counts() {
    let before = af_allocation_count()
    var arrays: [[Int]] = []
    for size in 1...100 { arrays.append([Int](repeating: size, count: size)) }
    #expect(arrays.count == 100)
    #expect(af_allocation_count() - before >= 100)
  }

  @Test("No step from the ring to a frame's bytes allocates", .enabled(if: isOptimized))
  func none() throws {
    let steps = try makeSteps()
    #expect(steps.count == 9)
    for step in steps {
      // What is reused is made in the first rounds.
      for _ in 0..<100 { step.work() }
      let before = af_allocation_count()
      for _ in 0..<10_000 { step.work() }
      let allocated = af_allocation_count() - before
      #expect(allocated == 0, "\(step.name)")
    }
  }
}
