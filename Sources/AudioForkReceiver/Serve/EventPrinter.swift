// SPDX-License-Identifier: Apache-2.0
internal import Glibc
internal import Synchronization

/// Takes events from any thread without blocking and writes them to standard output from one task.
package struct EventPrinter: Sendable {
  /// How events are written.
  package enum Form: Sendable {
    case json
    case plain
    /// On a terminal: plain lines, and one line for each open stream redrawn in place.
    case live
  }

  /// Events waiting for standard output; enough for thousands of streams, small enough to bound memory when nobody
  /// reads. What does not fit is dropped and counted.
  private static let waitingMax = 20_000

  private let form: Form
  private let events: AsyncStream<ReceiverEvent>
  private let continuation: AsyncStream<ReceiverEvent>.Continuation
  private let dropped = DroppedCount()

  private final class DroppedCount: Sendable { let value = Atomic(0) }

  /// A printer to standard output.
  package init(_ form: Form) {
    self.form = form
    (events, continuation) = AsyncStream.makeStream(bufferingPolicy: .bufferingOldest(EventPrinter.waitingMax))
  }

  /// Live on a terminal, plain elsewhere.
  package static var formForStandardOutput: Form { isatty(STDOUT_FILENO) == 1 ? .live : .plain }

  /// Queues an event.
  package func emit(_ event: ReceiverEvent) {
    if case .dropped = continuation.yield(event) { dropped.value.add(1, ordering: .relaxed) }
  }

  /// No event will follow; `run()` returns when all have been written.
  package func finish() { continuation.finish() }

  /// Writes events until `finish()`.
  package func run() async {
    var live = LiveBlock()
    for await event in events {
      tellDropped(&live)
      write(event, &live)
    }
    tellDropped(&live)
  }

  private func tellDropped(_ live: inout LiveBlock) {
    let missing = dropped.value.exchange(0, ordering: .relaxed)
    if missing > 0 { write(.dropped(missing), &live) }
  }

  private func write(_ event: ReceiverEvent, _ live: inout LiveBlock) {
    switch form {
    case .json: EventPrinter.write(EventLines.json(event) + "\n")
    case .plain: EventPrinter.write(EventLines.plain(event) + "\n")
    case .live:
      var size = winsize()
      let known = ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 0 && size.ws_row > 0
      var time = timespec()
      clock_gettime(CLOCK_MONOTONIC, &time)
      EventPrinter.write(
        live.characters(
          for: event, columns: known ? Int(size.ws_col) : 80, lines: known ? Int(size.ws_row) : 24,
          now: Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)))
    }
  }

  private static func write(_ text: String) {
    var rest = Array(text.utf8)[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { Glibc.write(STDOUT_FILENO, $0.baseAddress, $0.count) }
      if count > 0 {
        rest = rest.dropFirst(count)
      } else if errno == EAGAIN {
        var wanted = pollfd(fd: STDOUT_FILENO, events: Int16(POLLOUT), revents: 0)
        poll(&wanted, 1, -1)
      } else if errno != EINTR {
        return  // Nobody reads any more; recording goes on.
      }
    }
  }
}
