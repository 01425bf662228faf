// SPDX-License-Identifier: GPL-2.0-or-later
import AudioForkBytes
import CAsterisk

/// The processes of engines: the one that serves, and those that were killed and have not ended yet. Only the control
/// thread uses it.
///
/// Asterisk's SIGCHLD handler reaps its children. While the commands of ended forks run, that handler is replaced, so
/// that we reap ours.
struct EngineProcess {
  private var serving: af_process?
  private var leaving = [af_process]()
  private var hasSaidThatPidfdsLack = false

  /// Maximum killed engines whose status is awaited. A process in the midst of a system call outlives SIGKILL.
  private static let leavingMax = 16
  /// Between two looks at those that are waited for.
  private static let lookMilliseconds: CInt = 20

  /// Milliseconds until `reap` is due; nil while nothing is waited for.
  var millisecondsToLook: CInt? { leaving.isEmpty ? nil : EngineProcess.lookMilliseconds }

  /// A new engine has this pid. Call it right after its start.
  mutating func began(_ pid: CInt) {
    var process = af_process()
    let failure = af_process_open(pid, &process)
    if failure != 0, failure != ESRCH { tellThatPidfdsLack(failure) }
    serving = process
  }

  private mutating func tellThatPidfdsLack(_ failure: CInt) {
    guard !hasSaidThatPidfdsLack else { return }
    hasSaidThatPidfdsLack = true
    log(
      AF_LEVEL_NOTICE, "cannot get a pidfd (pidfd_open: ", .bytes(reason(failure)), "); Linux has them since 5.3.",
      " The AudioFork engine is signaled by its process id after its start time was compared, and ended commands are",
      " noticed within 20 ms. Nothing has to be done")
  }

  /// Asks the engine that serves to leave: older ones know no message for it.
  func terminate() {
    guard var process = serving else { return }
    _ = af_process_signal(&process, SIGTERM)
  }

  /// Kills the engine that serves.
  mutating func kill() {
    guard var process = serving else { return }
    serving = nil
    _ = af_process_signal(&process, SIGKILL)
    if leaving.count >= EngineProcess.leavingMax {
      af_process_close(&leaving[0])
      leaving.removeFirst()
    }
    leaving.append(process)
  }

  /// Takes the statuses of those that have ended. Does not wait.
  mutating func reap() {
    guard !leaving.isEmpty else { return }
    var left = [af_process]()
    for process in leaving {
      var process = process
      if af_process_reap(&process) != 0 {
        af_process_close(&process)
      } else {
        left.append(process)
      }
    }
    leaving = left
  }

  /// Waits until all of them have ended, or until `deadline` (CLOCK_MONOTONIC).
  mutating func finish(deadline: Int64) {
    reap()
    while !leaving.isEmpty, af_now_ns() < deadline {
      _ = poll(nil, 0, 5)
      reap()
    }
    var index = 0
    while index < leaving.count {
      af_process_close(&leaving[index])
      index &+= 1
    }
    leaving = []
  }
}
