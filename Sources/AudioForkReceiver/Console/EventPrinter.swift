// SPDX-License-Identifier: Apache-2.0
internal import Glibc
internal import NIOPosix
internal import Synchronization

/// Takes events from any thread without blocking and writes them to standard output from a thread of its own, which
/// may wait for a slow reader for as long as it likes.
package struct EventPrinter: Sendable {
  /// How events are written.
  package enum Form: Sendable {
    case json
    case plain
    /// On a terminal: plain lines, and one line for each open stream redrawn in place.
    case live
  }

  /// Events waiting for standard output, and their bytes: enough for thousands of streams, small enough to bound memory
  /// when nobody reads. What does not fit is dropped and counted. Texts get half of the room, so that a client that
  /// says much does not displace the lines about other streams' beginning and end.
  private static let waitingMax = 20_000
  package static let waitingBytesMax = 8 << 20

  private let form: Form
  private let descriptor: CInt
  private let events: AsyncStream<ReceiverEvent>
  private let continuation: AsyncStream<ReceiverEvent>.Continuation
  private let counts = Counts()

  private final class Counts: Sendable {
    let waiting = Atomic(0)
    let waitingBytes = Atomic(0)
    let dropped = Atomic(0)
  }

  /// A printer to standard output, or to another descriptor.
  package init(_ form: Form, to descriptor: CInt = STDOUT_FILENO) {
    self.form = form
    self.descriptor = descriptor
    (events, continuation) = AsyncStream.makeStream(bufferingPolicy: .bufferingOldest(EventPrinter.waitingMax))
  }

  /// Live on a terminal, plain elsewhere.
  package static var formForStandardOutput: Form { isatty(STDOUT_FILENO) == 1 ? .live : .plain }

  /// Bytes of the events that wait.
  package var waitingBytes: Int { counts.waitingBytes.load(ordering: .relaxed) }

  /// Queues an event.
  package func emit(_ event: ReceiverEvent) {
    let byteCount = event.byteCount
    let share = event.isText ? 2 : 1
    let bytes = counts.waitingBytes.add(byteCount, ordering: .relaxed).newValue
    let count = counts.waiting.add(1, ordering: .relaxed).newValue
    if bytes <= EventPrinter.waitingBytesMax / share, count <= EventPrinter.waitingMax / share,
      case .enqueued = continuation.yield(event)
    {
      return
    }
    forget(byteCount)
    counts.dropped.add(1, ordering: .relaxed)
  }

  private func forget(_ byteCount: Int) {
    counts.waitingBytes.subtract(byteCount, ordering: .relaxed)
    counts.waiting.subtract(1, ordering: .relaxed)
  }

  /// No event will follow; `run()` returns when all have been written.
  package func finish() { continuation.finish() }

  /// Writes events until `finish()`.
  package func run() async {
    let pool = NIOThreadPool(numberOfThreads: 1)
    pool.start()
    var live = LiveBlock()
    for await event in events {
      await reportDropped(&live, pool)
      await write(event, &live, pool)
      forget(event.byteCount)
    }
    await reportDropped(&live, pool)
    try? await pool.shutdownGracefully()
  }

  private func reportDropped(_ live: inout LiveBlock, _ pool: NIOThreadPool) async {
    let missing = counts.dropped.exchange(0, ordering: .relaxed)
    if missing > 0 { await write(.dropped(missing), &live, pool) }
  }

  private func write(_ event: ReceiverEvent, _ live: inout LiveBlock, _ pool: NIOThreadPool) async {
    let text: String
    switch form {
    case .json: text = EventLines.json(event) + "\n"
    case .plain: text = EventLines.plain(event) + "\n"
    case .live:
      var size = winsize()
      let known = ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 0 && size.ws_row > 0
      var time = timespec()
      clock_gettime(CLOCK_MONOTONIC, &time)
      text = live.characters(
        for: event, columns: known ? Int(size.ws_col) : 80, lines: known ? Int(size.ws_row) : 24,
        now: Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec))
    }
    let descriptor = descriptor
    try? await pool.runIfActive { EventPrinter.write(text, to: descriptor) }
  }

  private static func write(_ text: String, to descriptor: CInt) {
    var rest = Array(text.utf8)[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
      if count > 0 {
        rest = rest.dropFirst(count)
      } else if errno == EAGAIN {
        var wanted = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        poll(&wanted, 1, -1)
      } else if errno != EINTR {
        return // Nobody reads any more; recording goes on.
      }
    }
  }
}
