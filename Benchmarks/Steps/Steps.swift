// SPDX-License-Identifier: Apache-2.0
import AudioForkMedia
import AudioForkDialects
import AudioForkLink
import AudioForkSurface
import AudioForkResampling
import AudioForkRing
import AudioForkTap
import AudioForkTestKit
import AudioForkWebSocket
import CAudioForkABI
import NIOCore

/// One of the things that are done for each block of a fork's audio. None may allocate (Tests/AllocationTests);
/// scripts/lab/bench-micro measures what each costs.
package struct Step {
  /// Without spaces: the benchmark's files are named so.
  package let name: String
  package let work: () -> Void
}

/// Returns every step, with what it works on made. Throws where no ring can be made.
package func makeSteps() throws -> [Step] {
  var steps = try ringSteps()
  for (name, directions, isStereo) in [
    ("mono", DirectionSet.in, false), ("mix", .both, false), ("stereo", .both, true),
  ] {
    let configuration = RenderConfiguration(
      directions: directions, wireRateHertz: 8000, fill: true, isStereo: isStereo)
    steps.append(renderingStep("render-\(name)", configuration))
  }
  steps.append(
    renderingStep("render-mix-8-to-16-kHz", RenderConfiguration(directions: .both, wireRateHertz: 16_000, fill: true)))
  return steps + messageSteps()
}

/// Entries of 20 ms, through the ring as the module and the engine do it.
private func ringSteps() throws -> [Step] {
  let ring = try BenchRing()
  let read = try BenchRing()
  let reader = try RingReader(path: read.path)
  var samples: [Int16] = []
  var next: UInt64 = 0
  return [
    Step(name: "ring-write") { ring.write() },
    Step(name: "ring-write-and-read") {
      read.write()
      keep(reader.read(next, into: &samples))
      next += 1
    },
  ]
}

private func renderingStep(_ name: String, _ configuration: RenderConfiguration) -> Step {
  let rendering = Rendering(configuration)
  return Step(name: name) { rendering.renderBlock() }
}

/// Makes the compiler believe that the value is used.
@inline(never) @_optimize(none)
private func keep<Value>(_ value: Value) {}

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
    while let block = renderer.nextBlock(into: &output) { keep(block) }
  }
}

/// From samples to the bytes of a frame.
private func messageSteps() -> [Step] {
  let block = AudioBlock((0..<160).map { Int16(truncatingIfNeeded: $0 * 397) }, channelCount: 1, at: .zero)
  var stream = StreamDescription(forkID: "af-1", channel: "c", uniqueID: "1", linkedID: "1", direction: .both)
  // As the engine has them.
  var linear: any DialectSession = RawDialect(ConnectionDescription(stream))
  stream.encoding = .muLaw
  var muLaw: any DialectSession = RawDialect(ConnectionDescription(stream))
  var output = DialectOutput()
  let now = MonotonicTime(nanoseconds: 0)
  var writer = WebSocketFrameWriter(SeededRandom(seed: 1))
  var payload = [UInt8](repeating: 7, count: 320)
  var buffer = ByteBuffer()
  return [
    Step(name: "encode-linear") {
      output.removeAll()
      linear.audio(block, now: now, into: &output)
    },
    Step(name: "encode-mu-law") {
      output.removeAll()
      muLaw.audio(block, now: now, into: &output)
    },
    Step(name: "frame-masked") {
      buffer.clear()
      writer.binary(masking: &payload, into: &buffer)
      keep(buffer.readableBytes)
    },
  ]
}

/// A ring as the module makes it, of ten seconds.
private final class BenchRing {
  let path: String
  private let folder: ScratchFolder
  private let tap = UnsafeMutablePointer<af_tap>.allocate(capacity: 1)
  private let samples = [Int16](repeating: 1234, count: 160)
  private var now: Int64

  init() throws {
    folder = try ScratchFolder()
    path = folder.file("bench.ring")
    tap.initialize(to: af_tap())
    now = af_now_ns()
    let failure = createRing(
      tap, path: Array(path.utf8CString), size: RingSize(seconds: 10, rate: 8000), facts: FieldWriter().bytes,
      directions: 3,
      now: now, wall: af_wall_ns())
    guard failure == 0 else {
      tap.deallocate()
      throw NoRing(errno: failure)
    }
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
        tap, CapturedFrame(direction: 0, samples: base, count: UInt32(samples.count), rate: 8000), channel: nil,
        now: now)
    }
  }
}

private struct NoRing: Error { let errno: Int32 }
