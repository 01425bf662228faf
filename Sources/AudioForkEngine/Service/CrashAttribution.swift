// SPDX-License-Identifier: Apache-2.0
internal import CAudioForkProcess
internal import Glibc

/// Says what an event loop is working on, so that an engine that crashes leaves word of what it was (af_process.h). The
/// next engine gives up a fork over which several have crashed, instead of dying of it again and again.
final class CrashAttribution {
  private let path: UnsafeMutablePointer<CChar>?

  /// `path`: the file that gets a byte for a crash.
  init(_ path: String) { self.path = strdup(path) }

  deinit { free(path) }

  /// Does work that is about it, on this thread. Two stores more; no system call.
  func during<Result>(_ work: () -> Result) -> Result {
    let before = af_crash_blame(path)
    defer { af_crash_blame(before) }
    return work()
  }
}
