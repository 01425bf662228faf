// SPDX-License-Identifier: Apache-2.0
internal import AudioForkRing
internal import Glibc

/// Opens and removes the files that a fork has in its instance's directory. The id was checked when the message was
/// read.
struct ForkFiles {
  private let ringPath: String
  private let cursorPath: String
  /// Counts the engines that crashed over this fork.
  let crashFile: CrashFile

  init(directory: String, id: String) {
    ringPath = "\(directory)/\(id).ring"
    cursorPath = "\(directory)/\(id).cursor"
    crashFile = CrashFile(path: "\(directory)/\(id).crashes")
  }

  /// Maps the ring. Throws if it is missing or cannot be read.
  func openRing() throws(ForkFailure) -> RingReader {
    do throws(RingError) {
      return try RingReader(path: ringPath)
    } catch {
      throw ForkFailure("ring", error)
    }
  }

  /// Opens or creates the cursor, and locks it. Returns nil if the file system has no room: the fork works without a
  /// cursor, but an engine that continues the fork cannot know what was delivered.
  func openCursor() throws(ForkFailure) -> CursorFile? {
    do throws(RingError) {
      return try CursorFile(path: cursorPath)
    } catch {
      switch error.code {
      case .noSpace: return nil
      case .foreign:
        // A file that is no cursor is no reason to lose the call's audio: remove it and try again.
        Glibc.unlink(cursorPath)
        throw ForkFailure(reason: "cursor: \(error.message)", kind: .inUse)
      default: throw ForkFailure("cursor", error)
      }
    }
  }

  /// Throws if another engine ended the fork and removed the ring before this engine got the cursor. Call after
  /// `openCursor`.
  func checkRing() throws(ForkFailure) {
    guard access(ringPath, F_OK) != 0, errno == ENOENT else { return }
    Glibc.unlink(cursorPath)
    throw ForkFailure(reason: "ring: another engine has ended the fork", kind: .missing)
  }

  /// Removes all files of the fork. It is no error if one is missing.
  func unlink() {
    Glibc.unlink(ringPath)
    Glibc.unlink(cursorPath)
    crashFile.unlink()
  }
}
