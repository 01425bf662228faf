// SPDX-License-Identifier: Apache-2.0
import Glibc

/// `audiofork engine`: hands over to `audiofork-engine`.
///
/// An older audiofork.conf, or a module that was loaded before an upgrade, starts `audiofork engine`. The
/// process replaces itself, so that process id, link and arguments stay what the module knows.
enum EngineHandover {
  /// Where `audiofork-engine` is, seen from the folder of `audiofork`: beside it in a build folder, or as installed. A
  /// copy of `audiofork` in another folder finds the one that is installed.
  private static let places = ["../libexec/audiofork/audiofork-engine", "audiofork-engine"]
  private static let installed = [
    "/usr/local/libexec/audiofork/audiofork-engine", "/usr/libexec/audiofork/audiofork-engine",
  ]

  /// Replaces this process by `audiofork-engine` with the same arguments. Returns only if there is none: the reason.
  static func start(arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>) -> String {
    guard let own = realpath("/proc/self/exe", nil) else { return "cannot find its own folder: \(reason(errno))" }
    defer { free(own) }
    let folder = String(cString: own).split(separator: "/").dropLast().map { "/" + $0 }.joined()
    var failure = ENOENT
    for path in places.map({ "\(folder)/\($0)" }) + installed {
      execv(path, arguments)
      if errno != ENOENT, errno != ENOTDIR { failure = errno }
    }
    return "cannot start audiofork-engine (\(reason(failure))), looked for in \(folder) as "
      + places.joined(separator: " and ") + ", and at " + installed.joined(separator: " and ")
      + ": install audiofork again"
  }

  private static func reason(_ number: CInt) -> String { String(cString: strerror(number)) }
}
