// SPDX-License-Identifier: Apache-2.0
package import AudioForkRing
internal import Glibc

/// Opens and removes the files that a fork has in its instance's directory. The id was checked when the message was
/// read.
package struct ForkFiles {
  private let directory: String
  private let id: String
  /// The newest generation of the ring that the module has told of, or that was found.
  let generation: UInt32
  private let cursorPath: String
  /// Counts the engines that crashed over this fork.
  let crashFile: CrashFile

  /// `generation`: the newest one of the ring that the module has told of, or that was found.
  package init(directory: String, id: String, generation: UInt32 = 0) {
    self.directory = directory
    self.id = id
    self.generation = min(generation, RingName.generationMax)
    cursorPath = "\(directory)/\(id).cursor"
    crashFile = CrashFile(path: "\(directory)/\(id).crashes")
  }

  private func ringPath(_ generation: UInt32) -> String { "\(directory)/\(RingName.name(of: id, generation))" }

  /// Maps the oldest ring that there is; the others follow. Throws if none exists or can be read.
  package func openRing() throws(ForkFailure) -> RingGenerations {
    do throws(RingError) {
      return try RingGenerations(
        told: generation,
        open: { [self] generation throws(RingError) in try RingReader(path: ringPath(generation)) },
        remove: { [self] generation in Glibc.unlink(ringPath(generation)) })
    } catch {
      throw ForkFailure("ring", error)
    }
  }

  /// Opens or creates the cursor, and locks it. Returns nil if the file system has no room: the fork works without a
  /// cursor, but an engine that continues the fork cannot know what was delivered.
  package func openCursor() throws(ForkFailure) -> CursorFile? {
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

  /// Throws if another engine ended the fork, or removed its oldest ring, before this engine got the cursor. Call after
  /// `openCursor`. Where a later ring exists the cursor stays: the fork continues there.
  package func checkRing(_ ring: RingGenerations) throws(ForkFailure) {
    guard access(ringPath(ring.oldestGeneration), F_OK) != 0, errno == ENOENT else { return }
    let first = ring.oldestGeneration + 1
    let last = min(max(generation, first) + RingName.aliveMax, RingName.generationMax)
    for later in first...max(first, last) where access(ringPath(later), F_OK) == 0 {
      throw ForkFailure(reason: "ring: another engine has just removed the fork's oldest one", kind: .inUse)
    }
    Glibc.unlink(cursorPath)
    throw ForkFailure(reason: "ring: another engine has ended the fork", kind: .missing)
  }

  /// Removes all files of the fork, its rings up to the generation behind `newest` among them. It is no error if one is
  /// missing.
  func unlink(newest: UInt32 = 0) {
    for generation in 0...min(max(generation, newest) + 1, RingName.generationMax) {
      Glibc.unlink(ringPath(generation))
    }
    Glibc.unlink(cursorPath)
    crashFile.unlink()
  }
}
