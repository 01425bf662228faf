// SPDX-License-Identifier: Apache-2.0
internal import AudioForkRing
internal import CAudioForkABI
internal import Glibc
internal import NIOCore

/// Finds what dead Asterisks have left beside this engine's directory: each load of the module has a directory of its
/// own in run_dir, with a file that it holds locked for as long as it lives. A directory whose lock is free is taken
/// over here: the lock is held, its forks are delivered as far as they were captured, and it is removed.
///
/// File system work on a tmpfs; never on an event loop.
package final class ForkAdoption: Sendable {
  /// A directory that is ours now.
  struct Orphan: Sendable {
    let path: String
    fileprivate let lock: CInt
    /// Ids of the forks whose rings are in it, each with the newest generation of its ring.
    let forks: [String: UInt32]

    /// Removes the directory where nothing of value is left in it, and gives up the lock.
    func release() {
      if DirectoryContents.names(path).allSatisfy({
        $0 == "lock" || $0.hasSuffix(".cursor") || $0.hasSuffix(".crashes")
      }) {
        for name in DirectoryContents.names(path) { unlink("\(path)/\(name)") }
        rmdir(path)
      }
      close(lock)
    }
  }

  private let own: String
  private let parent: String

  /// `directory`: the engine's own, which is left alone as all whose lock is held.
  package init(beside directory: String) {
    let parts = directory.split(separator: "/", omittingEmptySubsequences: true)
    own = parts.last.map(String.init) ?? ""
    parent = (directory.hasPrefix("/") ? "/" : "") + parts.dropLast().joined(separator: "/")
  }

  /// Takes over every directory that nobody holds.
  func take() -> [Orphan] {
    guard !own.isEmpty, !parent.isEmpty else { return [] }
    return DirectoryContents.names(parent).sorted().compactMap { name in
      guard name != own, ForkAdoption.isInstanceName(name) else { return nil }
      return ForkAdoption.take("\(parent)/\(name)")
    }
  }

  private static func take(_ path: String) -> Orphan? {
    let lock = open("\(path)/lock", O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
    guard lock >= 0 else { return nil }
    var status = stat()
    guard flock(lock, LOCK_EX | LOCK_NB) == 0, fstat(lock, &status) == 0, status.st_nlink > 0 else {
      close(lock)
      return nil
    }
    return Orphan(path: path, lock: lock, forks: rings(in: path))
  }

  /// Ids of the forks whose rings are in a directory, each with the newest generation of its ring.
  private static func rings(in path: String) -> [String: UInt32] {
    let found = DirectoryContents.names(path).compactMap { RingName.parse($0) }.filter { isForkID($0.id) }
    return Dictionary(found.map { ($0.id, $0.generation) }, uniquingKeysWith: max)
  }

  /// Ids of all forks that have a ring, whichever Asterisk's they are.
  package func rings() -> Set<String> {
    let folders = DirectoryContents.names(parent).filter { ForkAdoption.isInstanceName($0) }
    return Set(folders.flatMap { ForkAdoption.rings(in: "\(parent)/\($0)").keys })
  }

  /// As the module names its directories: 12 hexadecimal digits.
  private static func isInstanceName(_ name: String) -> Bool {
    name.utf8.count == 12 && name.utf8.allSatisfy { (48...57).contains($0) || (97...102).contains($0) }
  }

  static func isForkID(_ id: String) -> Bool {
    (1...64).contains(id.utf8.count)
      && id.utf8.allSatisfy { (48...57).contains($0) || (97...122).contains($0) || (65...90).contains($0) || $0 == 45 }
  }
}
