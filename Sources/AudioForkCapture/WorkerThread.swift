// SPDX-License-Identifier: GPL-2.0-or-later
import CAsterisk

/// A thread of the module beside the control thread. It sleeps until something wakes it.
protocol WorkerThread {
  /// The eventfd that wakes the thread. Written before the thread starts and after it has ended.
  static var wakeDescriptor: CInt { get set }
  /// Creates the thread. Returns 0 or an errno.
  static func launch() -> CInt
  /// Waits for the end of the thread.
  static func join()
  /// Tells the thread whether to end when it has nothing left to do.
  static func setStopping(_ isStopping: Bool)
}

extension WorkerThread {
  /// Starts the thread. Returns 0 or an errno.
  static func start() -> CInt {
    wakeDescriptor = eventfd(0, CInt(EFD_CLOEXEC | EFD_NONBLOCK))
    guard wakeDescriptor >= 0 else { return af_errno() }
    setStopping(false)
    let failure = launch()
    if failure != 0 { closeWakeDescriptor() }
    return failure
  }

  /// Ends the thread once its queue is empty.
  static func stop() {
    setStopping(true)
    wake()
    join()
    closeWakeDescriptor()
  }

  private static func closeWakeDescriptor() {
    close(wakeDescriptor)
    wakeDescriptor = -1
  }

  /// Wakes the thread. Any thread may call it between `start` and `stop`.
  static func wake() {
    var one: UInt64 = 1
    _ = write(wakeDescriptor, &one, 8)
  }

  /// Takes the wake-ups that have come so far. Only the thread itself may call it. Does not wait.
  static func takeWakeUps() {
    var count: UInt64 = 0
    _ = read(wakeDescriptor, &count, 8)
  }
}
