// SPDX-License-Identifier: Apache-2.0
import AudioForkCore
import AudioForkDialects
import AudioForkOptions
import AudioForkResampling
import AudioForkRing
import AudioForkTap
import AudioForkTestKit
import AudioForkWebSocket
import Benchmark
import CAllocationCount
import CAudioForkABI
import NIOCore

/// What is done for each block, one thing after the other. A run is a thousand times the thing; what it allocates is
/// counted, and has a threshold in Benchmarks/Thresholds: 0.
private let allocations = BenchmarkMetric.custom("allocations", polarity: .prefersSmaller, useScalingFactor: false)

/// `name` becomes a file's, which is looked for as it is: no spaces.
private func measure(_ name: String, _ work: @escaping () -> Void) {
  Benchmark(name) { benchmark in
    // What is reused is made on the first round.
    for _ in 0..<100 { work() }
    benchmark.startMeasurement()
    let before = af_allocation_count()
    for _ in benchmark.scaledIterations { work() }
    let after = af_allocation_count()
    benchmark.stopMeasurement()
    benchmark.measurement(allocations, Int(after - before))
  }
}

let benchmarks: @Sendable () -> Void = {
  Benchmark.defaultConfiguration = .init(
    metrics: [.wallClock, allocations], warmupIterations: 2, scalingFactor: .kilo, maxDuration: .milliseconds(500))

  measureRing()
  for (name, directions, isStereo) in [
    ("mono", DirectionSet.in, false), ("mix", .both, false), ("stereo", .both, true),
  ] {
    measureRendering("render-\(name)", RenderConfiguration(
      directions: directions, wireRateHertz: 8000, fill: true, isStereo: isStereo))
  }
  measureRendering("render-mix-8-to-16-kHz", RenderConfiguration(directions: .both, wireRateHertz: 16_000, fill: true))
  measureMessages()
}

/// Entries of 20 ms, through the ring as the module and the engine do it.
private func measureRing() {
  let ring = BenchRing()
  measure("ring-write") { ring.write() }
  let read = BenchRing()
  guard let reader = try? RingReader(path: read.path) else { return }
  var samples: [Int16] = []
  var next: UInt64 = 0
  measure("ring-write-and-read") {
    read.write()
    blackHole(reader.read(next, into: &samples))
    next += 1
  }
}

private func measureRendering(_ name: String, _ configuration: RenderConfiguration) {
  let rendering = Rendering(configuration)
  measure(name) { rendering.renderBlock() }
}

/// A renderer and what it is given: 20 ms of each direction for a block.
private final class Rendering {
  private var renderer: Renderer<SpeexConverter>
  private let directions: [Direction]
  private let samples = (0..<160).map { Int16($0 * 97) }
  private var output: [Int16] = []
  private var sequence: UInt64 = 0
  private var frame: UInt64 = 0

  init(_ configuration: RenderConfiguration) {
    renderer = Renderer(configuration)
    directions = Direction.allCases.filter { configuration.directions.contains($0) }
  }

  func renderBlock() {
    for index in directions.indices {
      renderer.consume(
        CapturedEntry(
          sequence: sequence, direction: directions[index], rateHertz: 8000, count: 160, runStart: .zero,
          runIndex: frame * 160, arrival: StreamTime(nanoseconds: Int64(frame + 1) * 20_000_000), captured: frame * 160,
          startsRun: frame == 0, isMuted: false, isAhead: false, hasMore: false),
        samples: samples)
      sequence += 1
    }
    frame += 1
    while let block = renderer.nextBlock(into: &output) { blackHole(block) }
  }
}

/// From samples to the bytes of a frame.
private func measureMessages() {
  let samples = (0..<160).map { Int16(truncatingIfNeeded: $0 * 397) }
  var message: [UInt8] = []
  let linear = RawDialect()
  measure("encode-linear") { linear.encode(samples, at: 0, into: &message) }
  let muLaw = RawDialect(encoding: .muLaw)
  measure("encode-mu-law") { muLaw.encode(samples, at: 0, into: &message) }
  var writer = FrameWriter(SeededRandom(seed: 1))
  var payload = [UInt8](repeating: 7, count: 320)
  var buffer = ByteBuffer()
  measure("frame-masked") {
    buffer.clear()
    writer.binary(masking: &payload, into: &buffer)
    blackHole(buffer.readableBytes)
  }
}

/// A ring as the module makes it, of ten seconds.
private final class BenchRing {
  let path: String
  private let folder: ScratchFolder?
  private let tap = UnsafeMutablePointer<af_tap>.allocate(capacity: 1)
  private let samples = [Int16](repeating: 1234, count: 160)
  private var now: Int64

  init() {
    folder = try? ScratchFolder()
    path = "\(folder?.path ?? "/tmp")/bench.ring"
    tap.initialize(to: af_tap())
    now = af_now_ns()
    let failure = createRing(
      tap, path: Array(path.utf8CString), size: RingSize(seconds: 10, rate: 8000), facts: FieldWriter().bytes, directions: 3,
      now: now, wall: af_wall_ns())
    precondition(failure == 0, "no ring: errno \(failure)")
  }

  deinit {
    unmapRing(tap)
    tap.deallocate()
  }

  func write() {
    now += 20_000_000
    samples.withUnsafeBytes { bytes in
      guard let base = bytes.baseAddress else { return }
      captureFrame(
        tap, CapturedFrame(direction: 0, samples: base, count: UInt32(samples.count), rate: 8000), channel: nil, now: now)
    }
  }
}
