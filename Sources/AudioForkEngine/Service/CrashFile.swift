// SPDX-License-Identifier: Apache-2.0
internal import Glibc

/// The file that counts the engines that crashed over one fork: each crash adds a byte (af_process.h).
///
/// A fork over which several engines have crashed is ended, so that it does not take the other forks down again and
/// again.
struct CrashFile {
  /// Number of crashes after which a fork is ended.
  private static let crashesMax = 3

  private let path: String

  /// The file need not exist.
  init(path: String) { self.path = path }

  /// Throws if too many engines have crashed over this fork.
  func checkCount() throws(ForkFailure) {
    var status = stat()
    guard lstat(path, &status) == 0, status.st_size >= CrashFile.crashesMax else { return }
    throw ForkFailure(
      reason:
        """
        engine: it has crashed \(status.st_size) times over this fork, which is a fault of audiofork's: please report \
        it
        """
    )
  }

  /// Removes the file. It is no error if there is none.
  func unlink() { Glibc.unlink(path) }

  /// Returns what blames a crash during the fork's work on it.
  func attribution() -> CrashAttribution { CrashAttribution(path) }
}
