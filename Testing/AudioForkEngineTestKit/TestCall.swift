// SPDX-License-Identifier: Apache-2.0
package import AudioForkMedia
internal import AudioForkLink
internal import AudioForkTap
package import AudioForkTestKit
internal import CAudioForkABI
internal import Glibc
internal import Testing

/// A call as the capture module sees it: frames of 20 ms at 8 kHz in both directions, written by the real tap. Every
/// sample is a hash of its place. Frames carry the time at which they were due, so a late test writes the same call.
package final class TestCall {
  package static let frameSamples = 160
  package static let frameNanoseconds: Int64 = 20_000_000

  package let id: String
  private let tap: UnsafeMutablePointer<af_tap>
  private let epoch: Int64
  private let phase: Int64
  private let directions: DirectionSet
  package private(set) var framesWritten = 0
  private let directory: String
  private var generation: UInt32 = 0

  /// `settings`: lines of a profile. `age`: for how long the call has been going on already. `phase`: by how much the
  /// frames come later than the stream's blocks of 20 ms. `alignMilliseconds`: nil as in rings of earlier modules.
  package init(
    in directory: ScratchFolder, id: String = "af-test-1", url: String, furtherURLs: [String] = [],
    options: String = "D(both)", settings: [String] = [],
    directions: DirectionSet = .both, drainSeconds: UInt64 = 5, age: Int64 = 0, phase: Int64 = 0,
    bufferSeconds: UInt32 = 10, alignMilliseconds: UInt64? = nil
  ) throws {
    self.id = id
    self.directions = directions
    self.directory = directory.path
    self.phase = phase
    epoch = af_now_ns() - age
    var fields = FieldWriter()
    fields.append(.id, Array(id.utf8))
    for url in [url] + furtherURLs { fields.append(.url, Array(url.utf8)) }
    for setting in settings { fields.append(.setting, Array(setting.utf8)) }
    fields.append(.options, Array(options.utf8))
    fields.append(.channel, Array("PJSIP/alice-00000001".utf8))
    fields.append(.uniqueID, Array("1700000000.1".utf8))
    fields.append(.linkedID, Array("1700000000.0".utf8))
    fields.append(.rate, number: 8000)
    fields.append(.drain, number: drainSeconds)
    if let alignMilliseconds { fields.append(.align, number: alignMilliseconds) }
    tap = .allocate(capacity: 1)
    tap.initialize(to: af_tap())
    let failure = createRing(
      tap, path: Array("\(directory.path)/\(id).ring".utf8CString),
      size: RingSize(seconds: bufferSeconds, rate: 8000), facts: fields.bytes,
      directions: UInt64(directions.rawValue), now: epoch, wall: af_wall_ns())
    try #require(failure == 0)
  }

  deinit {
    unmapRing(tap)
    tap.deallocate()
  }

  /// Writes so many frames of each direction at once, as if each had come when it was due.
  package func speak(frames: Int) {
    for _ in 0..<frames { speak(directions) }
  }

  /// The same of one direction; the other one says nothing meanwhile.
  package func speak(_ only: DirectionSet, frames: Int) {
    for _ in 0..<frames { speak(only) }
  }

  /// The party presses a digit, which ends with the last frame.
  package func press(_ digit: Character) {
    captureDigit(
      tap, direction: UInt32(Direction.in.rawValue), digit: digit.asciiValue ?? 0, milliseconds: 80,
      now: epoch + Int64(framesWritten) * TestCall.frameNanoseconds + phase)
  }

  private func speak(_ directions: DirectionSet) {
    let arrival = epoch + Int64(framesWritten + 1) * TestCall.frameNanoseconds + phase
    for direction in Direction.allCases where directions.contains(direction) {
      let samples = TestCall.samples(of: direction, frame: framesWritten)
      samples.withUnsafeBytes { bytes in
        guard let base = bytes.baseAddress else { return }
        captureFrame(
          tap,
          CapturedFrame(
            direction: UInt32(direction.rawValue), samples: base, count: UInt32(samples.count), rate: 8000),
          channel: nil, now: arrival)
      }
    }
    framesWritten += 1
  }

  /// Has the call go on in a further ring, as the capture module does when the rate has risen or the run directory was
  /// removed.
  package func continueRing(bufferSeconds: UInt32 = 10) throws {
    var next = af_tap()
    generation += 1
    let path = "\(directory)/\(id).\(generation).ring"
    let failure = createNextRing(
      &next, path: Array(path.utf8CString), size: RingSize(seconds: bufferSeconds, rate: 8000),
      generation: generation, continuing: tap)
    try #require(failure == 0)
    swapRing(tap, &next)
    unmapRing(&next)
  }

  /// Nobody says anything for so long, in whole frames.
  package func pause(milliseconds: Int) { framesWritten += milliseconds / 20 }

  /// Writes frames in real time until the call is this old, or until the task is cancelled. `only`: of these
  /// directions.
  package func speak(_ only: DirectionSet? = nil, untilMilliseconds end: Int64) async throws {
    while Int64(framesWritten) * 20 < end {
      let due = epoch + Int64(framesWritten + 1) * TestCall.frameNanoseconds
      let wait = due - af_now_ns()
      if wait > 0 { try await Task.sleep(nanoseconds: UInt64(wait)) }
      speak(only ?? directions, frames: 1)
    }
  }

  /// Writes the frames that are due by now.
  package func speakDue() {
    while epoch + Int64(framesWritten + 1) * TestCall.frameNanoseconds <= af_now_ns() { speak(frames: 1) }
  }

  /// Makes the entry nonsense that was written so many entries before the last one.
  package func damage(entryBeforeLast count: UInt64) throws {
    let direction = try #require(MemoryLayout<af_ring_entry>.offset(of: \.direction))
    let entry = (tap.pointee.sequence &- 1 &- count) & tap.pointee.index_mask
    tap.pointee.index[Int(entry) * MemoryLayout<af_ring_entry>.size + direction] = 7
  }

  /// Ends capture.
  package func hangUp() { closeTap(tap, now: epoch + Int64(framesWritten) * TestCall.frameNanoseconds + phase) }

  /// The stream that a server has to get: the sum of both directions, saturated.
  package var expected: [Int16] { TestCall.expected(frames: framesWritten, directions) }

  package static func expected(frames: Int, _ directions: DirectionSet = .both) -> [Int16] {
    (0..<frames).flatMap { frame in
      let parts = Direction.allCases.filter { directions.contains($0) }.map { samples(of: $0, frame: frame) }
      return (0..<frameSamples).map { index in Int16(clamping: parts.reduce(0) { $0 + Int($1[index]) }) }
    }
  }

  private static func samples(of direction: Direction, frame: Int) -> [Int16] {
    (0..<frameSamples).map {
      hashedSample(seed: 42, direction: direction, index: UInt64(frame * frameSamples + $0))
    }
  }
}

/// How the streams of a fork's connections fit together.
package struct Reception {
  /// Samples that no connection got.
  package var missing = 0
  /// Samples that connections got again, per break.
  package var repeats: [Int] = []
  /// Samples that are not what was said.
  package var isExact = true

  /// Looks for each connection's place in the expected stream, and for what is between them.
  package init(_ connections: [TestServer.Connection], expected: [Int16]) {
    var reached = 0
    var isFirst = true
    for samples in connections.map(\.samples) where !samples.isEmpty {
      guard let start = Reception.place(of: samples, in: expected) else {
        isExact = false
        return
      }
      if start > reached { missing += start - reached }
      if !isFirst { repeats.append(max(0, reached - start)) }
      isFirst = false
      reached = max(reached, start + samples.count)
    }
    missing += max(0, expected.count - reached)
  }

  private static func place(of samples: [Int16], in expected: [Int16]) -> Int? {
    stride(from: 0, to: expected.count, by: TestCall.frameSamples).first { start in
      start + samples.count <= expected.count && expected[start] == samples[0]
        && expected[start..<(start + samples.count)].elementsEqual(samples)
    }
  }
}
