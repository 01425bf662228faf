// SPDX-License-Identifier: Apache-2.0
import AudioForkMedia
package import AudioForkRing
import AudioForkTap
import AudioForkTestKit
package import CAudioForkABI
import Glibc

/// One writer at full speed and one reader that checks every sample, in two threads. A function of its own, because
/// scripts/lab/test-ring-tsan builds it, without the test library, under the thread sanitizer.
package struct RingRace {
  /// What one run must have seen before it may end, and how long it may take to see it.
  package struct Goal {
    /// Entries accepted and verified.
    package var entries: UInt64
    /// Times that the reader was lapped.
    package var laps: UInt64
    /// The writer goes on at least this long, and at most `secondsMax`.
    package var seconds: Double
    package var secondsMax: Double

    package init(entries: UInt64, laps: UInt64, seconds: Double, secondsMax: Double) {
      self.entries = entries
      self.laps = laps
      self.seconds = seconds
      self.secondsMax = secondsMax
    }
  }

  package struct Outcome {
    package var entries: UInt64 = 0
    package var laps: UInt64 = 0
    package var published: UInt64 = 0
    /// Generations of the ring that the reader came through.
    package var generations: UInt32 = 0
    package var complaints: [String] = []
  }

  /// The signal of both directions: hashes, made beforehand so that the writer spends its time writing. Its period
  /// is a prime, so that a sample that stayed from an earlier lap is not by accident the right one.
  private final class Signal: Sendable {
    static let period = 65521
    static let frameMax = 2880
    let tables: [[Int16]]

    init(seed: UInt64) {
      tables = Direction.allCases.map { direction in
        (0..<Signal.period + Signal.frameMax).map {
          hashedSample(seed: seed, direction: direction, index: UInt64($0 % Signal.period))
        }
      }
    }

    func sample(_ direction: Direction, _ index: UInt64) -> Int16 {
      tables[Int(direction.rawValue)][Int(index % UInt64(Signal.period))]
    }
  }

  /// What the writer's thread is given.
  ///
  /// Sendable although `tap` is a pointer: while the thread runs the writer alone uses it.
  private final class Writer: @unchecked Sendable {
    let tap: UnsafeMutablePointer<af_tap>
    let signal: Signal
    let seed: UInt64
    let hook: HookLock

    init(tap: UnsafeMutablePointer<af_tap>, signal: Signal, seed: UInt64, hook: HookLock) {
      self.tap = tap
      self.signal = signal
      self.seed = seed
      self.hook = hook
    }

    /// Captures frames of both directions as fast as it can. Every now and then it rests for a moment, so that the
    /// reader also gets to the newest entry and races with the one being written.
    func run(_ thread: WriterThread) {
      var random = SeededRandom(seed: seed)
      var captured: [UInt64] = [0, 0]
      var now = tap.pointee.epoch_ns
      while !thread.isStopping {
        for _ in 0..<64 {
          let bits = random.next()
          let direction = Int(bits & 1)
          let count = 1 + Int((bits >> 8) % UInt64(Signal.frameMax))
          now += 1_000_000
          signal.tables[direction].withUnsafeBytes { bytes in
            guard let base = bytes.baseAddress else { return }
            let first = Int(captured[direction] % UInt64(Signal.period))
            let frame = CapturedFrame(
              direction: UInt32(direction), samples: base + first * 2, count: UInt32(count), rate: 48000)
            hook.lock()
            captureFrame(tap, frame, channel: nil, now: now)
            hook.unlock()
          }
          captured[direction] += UInt64(count)
        }
        if random.next() & 3 == 0 { usleep(UInt32(random.next() & 127)) }
      }
      hook.lock()
      closeTap(tap, now: now)
      hook.unlock()
    }
  }

  /// Stands for the lock of a fork's hook, which Asterisk holds for each frame.
  ///
  /// Sendable although it holds a pointer: a mutex is made to be used by several threads.
  private final class HookLock: @unchecked Sendable {
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)

    init() { pthread_mutex_init(mutex, nil) }

    deinit {
      pthread_mutex_destroy(mutex)
      mutex.deallocate()
    }

    func lock() { pthread_mutex_lock(mutex) }
    func unlock() { pthread_mutex_unlock(mutex) }
  }

  /// Swaps further generations in while writer and reader race.
  ///
  /// Sendable although `tap` and the rings are pointers: `tap` is used with the hook's lock only, and the table of
  /// rings has a lock of its own.
  private final class Swapper: @unchecked Sendable {
    private let tap: UnsafeMutablePointer<af_tap>
    private let path: String
    private let hook: HookLock
    private let sharesMapping: Bool
    private let table = HookLock()
    /// Mappings by generation, for a reader that shares them.
    private var mappings: [UInt32: UnsafeMutableRawPointer]
    /// Rings that were continued and not unmapped.
    private var old: [af_tap] = []

    init(_ tap: UnsafeMutablePointer<af_tap>, _ path: String, _ hook: HookLock, sharesMapping: Bool) {
      self.tap = tap
      self.path = path
      self.hook = hook
      self.sharesMapping = sharesMapping
      mappings = tap.pointee.ring.map { [0: UnsafeMutableRawPointer($0)] } ?? [:]
    }

    func path(_ generation: UInt32) -> String { generation == 0 ? path : "\(path).\(generation)" }

    /// Makes rings of random sizes and swaps them in, until it is told to stop or the last generation is reached.
    func run(_ thread: WriterThread, seed: UInt64) {
      var random = SeededRandom(seed: seed)
      var generation: UInt32 = 0
      while !thread.isStopping, generation < RingName.generationMax {
        usleep(UInt32(2000 + random.next() % 8000))
        var next = af_tap()
        let size = RingSize(indexEntries: 64 << (random.next() % 4), areaBytes: 16384 << (random.next() % 4))
        guard
          createNextRing(
            &next, path: Array(path(generation + 1).utf8CString), size: size, generation: generation + 1,
            continuing: tap) == 0
        else { return }
        generation += 1
        table.lock()
        mappings[generation] = UnsafeMutableRawPointer(next.ring)
        table.unlock()
        hook.lock()
        swapRing(tap, &next)
        hook.unlock()
        if sharesMapping { old.append(next) } else { unmapRing(&next) }
      }
    }

    func open(_ generation: UInt32) throws(RingError) -> RingReader {
      guard sharesMapping else { return try RingReader(path: path(generation)) }
      table.lock()
      let mapping = mappings[generation]
      table.unlock()
      guard let mapping else { throw RingError(.missing, "there is no generation \(generation)") }
      return try RingReader(_path: path(generation), sharing: mapping)
    }

    /// Call when all threads have ended.
    func end() {
      for place in old.indices { unmapRing(&old[place]) }
      for generation in 1...RingName.generationMax { unlink(path(generation)) }
    }
  }

  /// Runs writer and reader on the ring of `tap` until the goal is reached and the writer has stopped. With
  /// `sharesMapping` the reader looks through the writer's mapping, where the thread sanitizer can see it. With `swaps`
  /// a third thread swaps further generations of the ring in.
  package static func run(
    tap: UnsafeMutablePointer<af_tap>, path: String, seed: UInt64, goal: Goal, sharesMapping: Bool = false,
    swaps: Bool = false
  ) throws(RingError) -> Outcome {
    let hook = HookLock()
    let swapper = Swapper(tap, path, hook, sharesMapping: sharesMapping)
    let reader = try RingGenerations(
      told: 0, open: { generation throws(RingError) in try swapper.open(generation) },
      remove: { unlink(swapper.path($0)) })
    let signal = Signal(seed: seed)
    let writer = Writer(tap: tap, signal: signal, seed: seed, hook: hook)
    let thread = try WriterThread { writer.run($0) }
    let swapping = swaps ? try WriterThread { swapper.run($0, seed: ~seed) } : nil
    let outcome = read(reader, signal, goal) {
      swapping?.join()
      thread.stop()
    }
    thread.join()
    if swaps { swapper.end() }
    return outcome
  }

  private static func read(
    _ reader: RingGenerations, _ signal: Signal, _ goal: Goal, stop: () -> Void
  ) -> Outcome {
    var outcome = Outcome()
    var ledger = SampleLedger { signal.sample($0, $1) }
    var samples: [Int16] = []
    var sequence: UInt64 = 0
    let start = af_now_ns()
    var isStopping = false
    while true {
      let elapsed = Double(af_now_ns() - start) / 1e9
      let isReached = outcome.entries >= goal.entries && outcome.laps >= goal.laps && elapsed >= goal.seconds
      if !isStopping, isReached || elapsed >= goal.secondsMax || !ledger.complaints.isEmpty {
        isStopping = true
        stop()
      }
      // In this order: whoever sees the end and nothing published behind it has seen everything.
      let isClosed = reader.closedAt != nil
      reader.release(before: sequence)
      switch reader.read(sequence, into: &samples) {
      case .entry(let entry):
        if entry.sequence != sequence { ledger.complain("asked for \(sequence), got \(entry.sequence)") }
        ledger.take(entry, samples)
        outcome.entries += 1
        sequence += 1
      case .lapped(let oldest):
        if oldest <= sequence { ledger.complain("lapped at \(sequence), sent back to \(oldest)") }
        outcome.laps += 1
        sequence = oldest
      case .notYet:
        guard !isClosed else {
          ledger.finish { reader.captured($0) }
          outcome.published = reader.published
          outcome.generations = reader.newestGeneration
          outcome.complaints = ledger.complaints
          return outcome
        }
        sched_yield()
      case .notAudio, .digit:
        ledger.complain("entry \(sequence) is said to be no audio")
        sequence += 1
      case .broken(let reason):
        ledger.complain("broken: \(reason)")
        sequence += 1
      }
    }
  }
}
