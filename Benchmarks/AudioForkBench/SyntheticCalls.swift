// SPDX-License-Identifier: Apache-2.0
internal import AudioForkLink
internal import AudioForkTap
internal import CAudioForkABI
internal import Glibc
internal import Synchronization

/// Calls as the capture module writes them, without Asterisk: rings that a thread fills in real time, 20 ms a frame in
/// both directions. Each frame that the party says carries the time at which it was written and its number
/// (Benchmarks/wire/wire.h); the other direction is silent, so that the sum of both still does.
///
/// @unchecked Sendable: `taps` are made in `init`, written to by the one thread that `start` starts, and let go in
/// `stop` after that thread has ended.
final class SyntheticCalls: @unchecked Sendable {
  static let frameNanoseconds: Int64 = 20_000_000
  private static let frameSamples = 160
  /// Steps of a frame's time at which some of the calls have theirs.
  private static let steps = 20

  let identifiers: [String]
  /// CLOCK_MONOTONIC of the calls' beginning; the call `i` begins `i % steps` steps later.
  let epoch: Int64
  private let taps: UnsafeMutablePointer<af_tap>
  private let count: Int
  private let isOver = Atomic(false)
  private let thread = Mutex<pthread_t?>(nil)
  /// How late the thread was at worst, nanoseconds.
  private let latest = Atomic<Int64>(0)

  /// Where a call is forked to, and how.
  struct Fork {
    let url: String
    let options: String
  }

  /// Makes `count` rings in `folder`, whose calls begin in `delay` nanoseconds. `settings`: lines of a profile. `name`:
  /// what their identifiers begin with.
  convenience init(
    _ count: Int, in folder: String, name: String = "bench", url: String, options: String, settings: [String],
    delay: Int64
  ) throws {
    let forks = (0..<count).map { Fork(url: "\(url)/\($0)", options: options) }
    try self.init(forks, in: folder, name: name, settings: settings, delay: delay)
  }

  /// Makes a ring for each of `forks` that holds `bufferSeconds`: as many as the engine is ever behind.
  init(
    _ forks: [Fork], in folder: String, name: String, settings: [String], delay: Int64, bufferSeconds: UInt32 = 4
  ) throws {
    count = forks.count
    taps = .allocate(capacity: max(count, 1))
    taps.initialize(repeating: af_tap(), count: max(count, 1))
    epoch = (af_now_ns() + delay) / Self.frameNanoseconds * Self.frameNanoseconds
    identifiers = (0..<count).map { "\(name)-\($0)" }
    for (number, identifier) in identifiers.enumerated() {
      var fields = FieldWriter()
      fields.append(.id, Array(identifier.utf8))
      fields.append(.url, Array(forks[number].url.utf8))
      for setting in settings { fields.append(.setting, Array(setting.utf8)) }
      fields.append(.options, Array(forks[number].options.utf8))
      fields.append(.channel, Array("Bench/\(number)".utf8))
      fields.append(.uniqueID, Array("1700000000.\(number)".utf8))
      fields.append(.linkedID, Array("1700000000.\(number)".utf8))
      fields.append(.rate, number: 8000)
      fields.append(.drain, number: 1)
      let failure = createRing(
        taps + number, path: Array("\(folder)/\(identifier).ring".utf8CString),
        size: RingSize(seconds: bufferSeconds, rate: 8000), facts: fields.bytes, directions: 3,
        now: epoch + phase(number), wall: af_wall_ns())
      guard failure == 0 else { throw BenchError("ring \(number): \(String(cString: strerror(failure)))") }
    }
  }

  deinit {
    for number in 0..<count { unmapRing(taps + number) }
    taps.deallocate()
  }

  private func phase(_ number: Int) -> Int64 {
    Int64(number % Self.steps) * (Self.frameNanoseconds / Int64(Self.steps))
  }

  /// Begins to speak. A thread, and no task: it sleeps to the nanosecond and shares no pool.
  func start() {
    var made = pthread_t()
    let box = Unmanaged.passRetained(self)
    let failure = pthread_create(
      &made, nil,
      { box in
        if let box { Unmanaged<SyntheticCalls>.fromOpaque(box).takeRetainedValue().speak() }
        return nil
      }, box.toOpaque())
    if failure == 0 { thread.withLock { $0 = made } } else { box.release() }
  }

  /// Ends the thread.
  func stop() {
    isOver.store(true, ordering: .relaxed)
    let made = thread.withLock { thread in
      defer { thread = nil }
      return thread
    }
    if let made { pthread_join(made, nil) }
  }

  /// How late a frame was written at worst, milliseconds: what is more than a few makes the figures worth nothing.
  var latestMilliseconds: Double { Double(latest.load(ordering: .relaxed)) / 1e6 }
  func forgetLateness() { latest.store(0, ordering: .relaxed) }

  private func speak() {
    let step = Self.frameNanoseconds / Int64(Self.steps)
    var samples = (0..<Self.frameSamples).map { Int16(truncatingIfNeeded: $0 &* 7919) & 0x3FFF }
    let silence = [Int16](repeating: 0, count: Self.frameSamples)
    var turn: Int64 = 0
    while !isOver.load(ordering: .relaxed) {
      // A frame that begins with the epoch is there when its 20 ms are over.
      let due = epoch &+ Self.frameNanoseconds &+ turn &* step
      var until = timespec(tv_sec: Int(due / 1_000_000_000), tv_nsec: Int(due % 1_000_000_000))
      clock_nanosleep(CLOCK_MONOTONIC, CInt(TIMER_ABSTIME), &until, nil)
      let late = af_now_ns() &- due
      if late > latest.load(ordering: .relaxed) { latest.store(late, ordering: .relaxed) }
      for number in stride(from: Int(turn % Int64(Self.steps)), to: count, by: Self.steps) {
        let stamp = UInt64(af_now_ns() / 1000)
        for place in 0..<4 { samples[place] = Int16(truncatingIfNeeded: stamp &>> UInt64(15 * place) & 0x7FFF) }
        let frame = turn / Int64(Self.steps)
        for place in 0..<2 { samples[4 + place] = Int16(truncatingIfNeeded: frame &>> Int64(15 * place) & 0x7FFF) }
        write(samples, 0, number, due)
        write(silence, 1, number, due)
      }
      turn &+= 1
    }
  }

  private func write(_ samples: [Int16], _ direction: UInt32, _ number: Int, _ due: Int64) {
    samples.withUnsafeBytes { bytes in
      guard let base = bytes.baseAddress else { return }
      captureFrame(
        taps + number, CapturedFrame(direction: direction, samples: base, count: UInt32(samples.count), rate: 8000),
        channel: nil, now: due)
    }
  }
}
