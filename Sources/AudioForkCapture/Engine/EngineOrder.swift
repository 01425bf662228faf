// SPDX-License-Identifier: GPL-2.0-or-later
import AudioForkBytes
import AudioForkLink
import CAsterisk

/// What the next engine is started with. Only the control thread makes one, right before it starts the engine.
struct EngineOrder {
  /// Of the program.
  let path: Bytes
  /// Encoded; empty: the engine does not confine itself.
  let rules: Bytes
  /// There were requests for a new engine.
  let wasAskedFor: Bool

  /// Takes down the settings and rules of now. This engine fulfills every request for a new one up to now. Looks at
  /// the files of `ca_file` and the like, and at no spool folder: blocks where these are on a file system that hangs,
  /// so configuration.md says to keep them on a local one. `leavingAge`: seconds.
  init(leavingAge: Int) {
    // Looks at files, so without the lock. A path that is added meanwhile counts as not covered, which is safe.
    let known = withState { $0.settings?.confinesEngine == true ? ($0.engineRules, $0.privateFolders) : nil }
    let coverage = known.map { PathCoverage($0, privateFolders: $1, resolve: realPath) }
    self = withState { state in
      state.pathRestarts.engineIsTold()
      state.engineRules.leavingAge = leavingAge
      let isConfined = state.settings?.confinesEngine == true
      state.coverage = isConfined ? coverage : nil
      state.isEngineConfined = isConfined
      return EngineOrder(
        path: state.settings?.engine ?? [], rules: isConfined ? state.engineRules.encoded : [],
        wasAskedFor: state.restarts.take())
    }
  }

  private init(path: Bytes, rules: Bytes, wasAskedFor: Bool) {
    self.path = path
    self.rules = rules
    self.wasAskedFor = wasAskedFor
  }
}
