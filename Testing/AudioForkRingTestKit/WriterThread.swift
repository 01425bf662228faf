// SPDX-License-Identifier: Apache-2.0
package import AudioForkRing
import Glibc
import Synchronization

/// A thread of its own for a writer that races with a reader. The concurrency pool has too few threads to block one.
package final class WriterThread: Sendable {
  private let mustStop = Atomic<Bool>(false)
  private let thread = Mutex<pthread_t?>(nil)
  private let body: @Sendable (WriterThread) -> Void

  /// Starts `body`, which returns soon after `isStopping`.
  package init(_ body: @escaping @Sendable (WriterThread) -> Void) throws(RingError) {
    self.body = body
    var started = pthread_t()
    let failure = pthread_create(
      &started, nil,
      { argument in
        if let argument {
          let writer = Unmanaged<WriterThread>.fromOpaque(argument).takeRetainedValue()
          writer.body(writer)
        }
        return nil
      }, Unmanaged.passRetained(self).toOpaque())
    guard failure == 0 else { throw RingError(.system, "pthread_create says \(failure)") }
    let thread = started
    self.thread.withLock { $0 = thread }
  }

  package var isStopping: Bool { mustStop.load(ordering: .relaxed) }

  package func stop() { mustStop.store(true, ordering: .relaxed) }

  /// Has the thread stop, and waits until it has.
  package func join() {
    stop()
    let running = thread.withLock { thread in
      defer { thread = nil }
      return thread
    }
    if let running { pthread_join(running, nil) }
  }
}
