// SPDX-License-Identifier: GPL-2.0-or-later
import AudioForkBytes
import AudioForkLink
import AudioForkSurface
import CAsterisk

extension EngineRules {
  /// Files and folders that forks of this load may still add, beyond what the configuration says.
  static let learnedMax = 256

  /// Adds what Asterisk keeps for itself.
  mutating func addPrivateFolders() {
    var number: UInt32 = 0
    while let folder = af_private_folder(number) {
      addPrivate(bytes(folder))
      number &+= 1
    }
  }

  /// Adds what the settings name. Returns whether there is anything new.
  mutating func add(_ settings: Settings) -> Bool {
    var isNew = false
    for line in settings.defaults where add(line) { isNew = true }
    for profile in settings.profiles {
      for line in profile.lines where add(line) { isNew = true }
    }
    return isNew
  }

  private mutating func add(_ line: SettingLine) -> Bool {
    guard let use = line.key.kind.pathUse else { return false }
    return add(line.holdsVariable ? folderBeforeVariable(line.value) : withoutSlashAtEnd(line.value), use)
  }
}

/// The folder in which a path lies whose end is known only when a fork starts, with a "/" at its end.
private func folderBeforeVariable(_ path: Bytes) -> Bytes {
  var folder = path
  if let end = path.firstIndex(where: { $0 == UInt8(ascii: "$") || $0 == UInt8(ascii: "^") }) {
    folder = slice(path, 0, end)
  }
  while let last = folder.last, last != UInt8(ascii: "/") { folder.removeLast() }
  return folder
}

/// A path that is known to its end: a "/" there would make it a folder that holds others.
private func withoutSlashAtEnd(_ path: Bytes) -> Bytes {
  var path = path
  while path.count > 1, path.last == UInt8(ascii: "/") { path.removeLast() }
  return path
}

/// When the engine is replaced because forks need paths that it was not told of: at once, but seldom. Without a clock:
/// `now` is CLOCK_MONOTONIC.
package struct PathRestarts {
  private static let interval: Int64 = 10_000_000_000

  private var isPending = false
  private var lastAt: Int64?
  /// The log has said that forks have named too many paths.
  var hasSaidLimit = false

  package init() {}

  /// There is a path that the running engine was not told of.
  package mutating func ask() { isPending = true }

  /// Whether the engine is to be replaced now.
  package mutating func take(_ now: Int64) -> Bool {
    guard let left = millisecondsToAct(now), left == 0 else { return false }
    isPending = false
    lastAt = now
    return true
  }

  /// The engine that is started now is told of all paths.
  package mutating func engineIsTold() { isPending = false }

  /// Milliseconds until the engine is to be replaced; nil: it is not.
  package func millisecondsToAct(_ now: Int64) -> CInt? {
    guard isPending else { return nil }
    guard let lastAt else { return 0 }
    let left = max(0, min(PathRestarts.interval, lastAt &+ PathRestarts.interval &- now))
    return CInt(truncatingIfNeeded: (left &+ 999_999) / 1_000_000)
  }
}

extension Control {
  /// Has the engine replaced where the fork needs a file or folder that the running one may not open. Call it before
  /// the fork's row is in the table. A path of a fork is new where variables in the configuration are in it.
  static func allowPaths(of plan: ForkPlan, _ settings: Settings) {
    guard settings.confinesEngine else { return }
    var isNew = false
    for (use, path) in plan.paths where path.first == UInt8(ascii: "/") {
      let path = withoutSlashAtEnd(path)
      let isFirstBeyondLimit = withState { state -> Bool in
        guard !state.engineRules.covers(path, use) else { return false }
        if state.learnedPaths < EngineRules.learnedMax, state.engineRules.add(path, use) {
          state.learnedPaths &+= 1
          state.pathRestarts.ask()
          isNew = true
          return false
        }
        defer { state.pathRestarts.hasSaidLimit = true }
        return !state.pathRestarts.hasSaidLimit
      }
      guard isFirstBeyondLimit else { continue }
      log(
        AF_LEVEL_WARNING, "the AudioFork engine may not open '", .bytes(path),
        "': variables have named too many files ",
        "and folders. Let audiofork.conf name a folder outside of Asterisk's for them before the first variable, or ",
        "set confine = no")
    }
    guard isNew else { return }
    replaceEngineForPaths()
    // Where that is not due yet, the control thread has to know when it is.
    wake()
  }

  /// Has the engine replaced where forks need paths that it was not told of, and the time has come.
  static func replaceEngineForPaths() {
    guard withState({ $0.pathRestarts.take(af_now_ns()) }) else { return }
    log(
      AF_LEVEL_NOTICE, "a new fork needs a file or folder that a variable names and that the running AudioFork engine",
      " may not open; restarting the engine. To avoid this, name a fixed folder before the variable")
    restartEngine()
  }
}
