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

  /// Adds what the settings name.
  mutating func add(_ settings: Settings) -> ToldSettings {
    var told = ToldSettings()
    for line in settings.defaults { add(line, &told) }
    for profile in settings.profiles {
      for line in profile.lines { add(line, &told) }
    }
    return told
  }

  private mutating func add(_ line: SettingLine, _ told: inout ToldSettings) {
    guard let use = line.key.kind.pathUse else { return }
    let path = line.holdsVariable ? folderBeforeVariable(line.value) : withoutSlashAtEnd(line.value)
    guard !contains(path, use) else { return }
    if add(path, use) {
      told.isNew = true
    } else if path.first == UInt8(ascii: "/") {
      told.leftOut.append((path, use))
    }
  }
}

/// What became of the paths of some settings.
struct ToldSettings {
  /// There is one that the engine was not told of before.
  var isNew = false
  /// Paths for which there was no room.
  var leftOut = [(path: Bytes, use: PathUse)]()

  /// Says in the log how many of them the engine may not open. Looks at files: may block, so no lock may be held.
  func tellLeftOut(_ rules: EngineRules, privateFolders: [Bytes]) {
    guard !leftOut.isEmpty else { return }
    let coverage = PathCoverage(rules, privateFolders: privateFolders, resolve: realPath)
    var count = 0
    for (path, use) in leftOut {
      let isCovered = coverage.coversByText(path, use) ?? coverage.covers(NamedPath(path, resolve: realPath), use)
      if !isCovered { count &+= 1 }
    }
    guard count > 0 else { return }
    log(
      AF_LEVEL_WARNING, "audiofork.conf names too many files and folders: the engine is told of ",
      .number(EngineRules.entriesMax), " of each kind, and may not open ", .number(count),
      " further ones. Keep files in few folders outside of Asterisk's, which it may read as a whole, or set",
      " confine = no. Paths of earlier settings count until the module is loaded again")
  }
}

/// The path without symbolic links (realpath(3)); nil where there is no such file. May block: no lock may be held.
func realPath(_ path: Bytes) -> Bytes? {
  withCString(path) { path in
    withUnsafeTemporaryAllocation(byteCount: Int(PATH_MAX), alignment: 1) { buffer in
      realpath(path, buffer.baseAddress?.assumingMemoryBound(to: CChar.self)).map { bytes($0) }
    }
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

extension Control {
  /// Has the engine replaced where the fork needs a file or folder that the running one may not open. Returns the
  /// number of the first engine in which the fork may begin; 0: any. Call it before the fork's row is in the table. No
  /// lock may be held: it looks at a file that the running engine was not told of, on whatever file system that is, and
  /// the dialplan waits for that. It does not look at spool folders, or at files that the configuration names.
  static func allowPaths(of plan: ForkPlan, _ settings: Settings) -> UInt32 {
    guard settings.confinesEngine else { return 0 }
    var firstEngine: UInt32 = 0
    for (use, path) in plan.paths where path.first == UInt8(ascii: "/") {
      let path = withoutSlashAtEnd(path)
      let mustLook = withState { $0.coverage.map { $0.coversByText(path, use) == nil } ?? false }
      let named = mustLook ? NamedPath(path, resolve: realPath) : NamedPath(text: path)
      switch withState({ $0.allow(named, use, heldMax: heldMax(plan)) }) {
      case .allowed: break
      case .byEngine(let number): firstEngine = max(firstEngine, number)
      case .tooMany(let isFirst): if isFirst { tellLimit(named.path) }
      }
    }
    guard firstEngine > 0 else { return 0 }
    replaceEngineForPaths()
    // Where that is not due yet, the control thread has to know when it is.
    wake()
    return firstEngine
  }

  /// For how long the fork may be held, nanoseconds: its buffer keeps what it captures meanwhile, and half of its time
  /// for draining is left if capture ends meanwhile.
  private static func heldMax(_ plan: ForkPlan) -> Int64 {
    Int64(min(plan.options.bufferSeconds, plan.options.drainSecondsMax)) &* 500_000_000
  }

  private static func tellLimit(_ path: Bytes) {
    log(
      AF_LEVEL_WARNING, "the AudioFork engine may not open '", .bytes(path),
      "': audiofork.conf and variables have named too many files ",
      "and folders. Let audiofork.conf name a folder outside of Asterisk's for them before the first variable, or ",
      "set confine = no")
  }

  /// Has the engine replaced where forks need paths that it was not told of, and the time has come.
  static func replaceEngineForPaths() {
    let isDue = withState { state -> Bool in
      guard state.pathRestarts.take(af_now_ns()) else { return false }
      // Under the same lock, so that an engine that is started now counts.
      _ = state.restarts.ask()
      return true
    }
    guard isDue else { return }
    log(
      AF_LEVEL_NOTICE, "a new fork needs a file or folder that a variable names and that the running AudioFork engine",
      " may not open; restarting the engine. To avoid this, name a fixed folder before the variable")
    wake()
  }
}

/// Which engine may open a path.
private enum PathAccess {
  case allowed
  /// The engine with this number, and those after it.
  case byEngine(UInt32)
  /// None. `isFirst`: there is no line in the log yet.
  case tooMany(isFirst: Bool)
}

extension ModuleState {
  /// Decides which engine may open a path of a fork, and has the next one told of it. A path of a fork is new where
  /// variables in the configuration are in it, or where it leads to another place than when the engine started.
  fileprivate mutating func allow(_ path: NamedPath, _ use: PathUse, heldMax: Int64) -> PathAccess {
    if let coverage, coverage.covers(path, use) { return .allowed }
    if !engineRules.contains(path.path, use) {
      guard learnedPaths < EngineRules.learnedMax, engineRules.add(path.path, use) else {
        guard !forks.isEngineUnconfined else { return .allowed }
        defer { pathRestarts.hasSaidLimit = true }
        return .tooMany(isFirst: !pathRestarts.hasSaidLimit)
      }
      learnedPaths &+= 1
    }
    // The next engine is told of it.
    guard isEngineConfined else { return .allowed }
    pathRestarts.ask(af_now_ns(), within: heldMax)
    return .byEngine(forks.engineNumber &+ 1)
  }
}
