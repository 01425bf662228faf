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
    return add(line.holdsVariable ? folderBeforeVariable(line.value) : line.value, use)
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

extension Control {
  /// Has the engine replaced where the fork needs a file or folder that the running one may not open. Call it before
  /// the fork's row is in the table. A path of a fork is new where variables in the configuration are in it.
  static func allowPaths(of plan: ForkPlan, _ settings: Settings) {
    guard settings.confinesEngine else { return }
    var found: Bytes?
    for (use, path) in plan.paths where !path.isEmpty {
      withState { state in
        guard !state.engineRules.covers(path, use), state.learnedPaths < EngineRules.learnedMax,
          state.engineRules.add(path, use)
        else { return }
        state.learnedPaths &+= 1
        if found == nil { found = path }
      }
    }
    guard let found else { return }
    log(
      AF_LEVEL_NOTICE, "a new fork needs ", .bytes(found), ", which comes from a variable and which the running",
      " AudioFork engine may not open; restarting the engine. To avoid this, name a fixed folder before the variable")
    restartEngine()
  }
}
