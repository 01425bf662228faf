// SPDX-License-Identifier: GPL-2.0-or-later
import AudioForkBytes
import AudioForkLink
import AudioForkSurface
import CAsterisk

/// What the module's threads share: the table's lock, af_table_lock(), guards all of it, and the fields of each fork in
/// the table. The lock is a leaf: its holder locks no channel and waits for nothing. The audio path never takes it.
struct ModuleState {
  var forks = ForkTable()
  /// What became of the last forks that have ended.
  var endedForks = EndedForks()
  /// Work for the jobs thread.
  var jobs = JobQueue()
  /// Work for the commands thread.
  var commands = CommandQueue()
  /// Texts for servers, for the control thread.
  var outgoingTexts = OutgoingTexts()
  var engine = EngineStatus()
  /// The settings in force; nil while the module is not loaded.
  var settings: Settings?
  /// Whether the control thread is to end.
  var isStopping = false
  /// What engines of this load are told to need. It only grows: forks of earlier settings go on.
  var engineRules = EngineRules()
  /// The folders in them that Asterisk keeps for itself, without symbolic links, as they were at load.
  var privateFolders: [Bytes] = []
  /// How many paths forks have added to them.
  var learnedPaths = 0
  /// What the engine that was started last may open; nil: everything.
  var coverage: PathCoverage?
  /// Whether an engine runs, and is confined to `coverage`. True too for one that is being started with rules.
  var isEngineConfined = false
  var pathRestarts = PathRestarts()
  /// Requests to replace the engine.
  var restarts = EngineRestarts()

  /// There is no engine any more. The next one is told of all paths, so no fork has to wait for another one.
  mutating func engineEnded(_ now: Int64) {
    isEngineConfined = false
    forks.engineEnded(now)
  }

  /// The engine that is ready was given rules and is not held to them. No fork has to wait for another one.
  mutating func engineIsUnconfined(_ now: Int64) {
    isEngineConfined = false
    coverage = nil
    pathRestarts.engineIsTold()
    forks.engineIsUnconfined(now)
  }
}

nonisolated(unsafe) private var moduleState = ModuleState()

/// Runs `body` with the table's lock held. Never from within another `withState`.
func withState<Result>(_ body: (inout ModuleState) -> Result) -> Result {
  af_table_lock()
  let result = body(&moduleState)
  af_table_unlock()
  return result
}
