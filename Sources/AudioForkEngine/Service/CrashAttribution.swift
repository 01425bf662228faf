// SPDX-License-Identifier: Apache-2.0
internal import CAudioForkProcess
internal import Glibc

/// Names the fork that this thread is working on, so that a crash adds a byte to that fork's `CrashFile`.
final class CrashAttribution {
  private let path: UnsafeMutablePointer<CChar>?

  /// `path`: the file that gets a byte for a crash.
  init(_ path: String) { self.path = strdup(path) }

  deinit { free(path) }

  /// Does the fork's work on this thread. Costs two stores and no system call.
  func during<Result>(_ work: () -> Result) -> Result {
    let before = af_crash_blame(path)
    defer { af_crash_blame(before) }
    return work()
  }
}
