// SPDX-License-Identifier: Apache-2.0
internal import Glibc

/// Why a ring or cursor file cannot be used. The message names the file and says what to do.
package struct RingError: Error, Sendable, Equatable, CustomStringConvertible {
  /// What kind of refusal it is, for those who decide by it.
  package enum Code: Sendable, Equatable {
    /// There is no such file.
    case missing
    /// It exists, but this process may not open it.
    case notPermitted
    /// Not a file of this kind.
    case foreign
    /// A file that its writer has not finished, or never finished.
    case unfinished
    /// Its layout is of another version than this program knows.
    case version
    /// It contradicts itself or is shorter than it says.
    case damaged
    /// Another process owns it.
    case inUse
    /// The file system is full.
    case noSpace
    /// Any other failure of a system call.
    case system
  }

  package let code: Code
  package let message: String
  package var description: String { message }

  package init(_ code: Code, _ message: String) {
    self.code = code
    self.message = message
  }

  /// The error of a system call that failed with `errno` on the file at `path`; `what` is "ring", "cursor" or "spool".
  init(what: String, path: String, doing verb: String, errno failure: Int32) {
    switch failure {
    case ENOENT where what == "spool", ENOTDIR where what == "spool":
      self.init(.missing, "the folder of the spool file '\(path)' is missing: create it, or give another one as spool")
    case EACCES where what == "spool", EPERM where what == "spool":
      self.init(
        .notPermitted,
        "the spool file '\(path)' cannot be made by this user: the folder has to belong to Asterisk's user")
    case ENOENT, ENOTDIR:
      self.init(.missing, "there is no \(what) file at '\(path)': the fork may have ended; check the path")
    case EACCES, EPERM:
      self.init(
        .notPermitted,
        "the \(what) file '\(path)' may not be opened by this user: run as the user that Asterisk runs as")
    case ELOOP:
      self.init(.foreign, "'\(path)' is a symbolic link: give the \(what) file itself")
    case EISDIR, ENXIO:
      self.init(.foreign, "'\(path)' is not a regular file: give a \(what) file")
    case ENOSPC, EDQUOT:
      self.init(
        .noSpace,
        "no space for the \(what) file '\(path)': free some in its file system or use another "
          + (what == "spool" ? "folder as spool" : "run_dir"))
    default:
      self.init(.system, "cannot \(verb) the \(what) file '\(path)': \(RingError.text(of: failure))")
    }
  }

  private static func text(of failure: Int32) -> String {
    var buffer = [CChar](repeating: 0, count: 128)
    // Swift imports the XSI variant: it fills the buffer, its last byte stays the terminator.
    guard strerror_r(failure, &buffer, buffer.count - 1) == 0 else { return "error \(failure)" }
    return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}
