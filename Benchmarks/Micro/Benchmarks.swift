// SPDX-License-Identifier: Apache-2.0
import AudioForkSteps
import Benchmark

/// What each step costs: a run is a thousand times the step. That none allocates is a test (Tests/AllocationTests).
let benchmarks: @Sendable () -> Void = {
  Benchmark.defaultConfiguration = .init(
    metrics: [.wallClock], warmupIterations: 2, scalingFactor: .kilo, maxDuration: .milliseconds(500))
  guard let steps = try? makeSteps() else { return }
  for step in steps {
    Benchmark(step.name) { benchmark in
      for _ in benchmark.scaledIterations { step.work() }
    }
  }
}
