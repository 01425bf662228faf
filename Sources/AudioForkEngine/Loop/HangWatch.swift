// SPDX-License-Identifier: Apache-2.0

/// Tells an engine that hangs from one that is busy. Asked once a second; without clock.
///
/// A loop hangs if, since the last check, it has neither answered nor begun a job. A loop that is busy opening a
/// thousand forks still begins jobs.
package struct HangWatch {
  private struct Loop {
    var isAsked = false
    var jobs: UInt64 = 0
  }

  private var loops: [Loop]

  package init(loops: Int) { self.loops = [Loop](repeating: Loop(), count: loops) }

  /// `jobs`: begun by each loop so far. Returns whether no loop hangs, and which of them are to be asked now.
  package mutating func check(_ jobs: [UInt64]) -> (isAlive: Bool, ask: [Int]) {
    var isAlive = true
    var ask: [Int] = []
    for index in loops.indices where index < jobs.count {
      if loops[index].isAsked {
        if loops[index].jobs == jobs[index] { isAlive = false }
      } else {
        loops[index].isAsked = true
        ask.append(index)
      }
      loops[index].jobs = jobs[index]
    }
    return (isAlive, ask)
  }

  /// A loop that was asked has answered.
  package mutating func answered(_ loop: Int) {
    guard loops.indices.contains(loop) else { return }
    loops[loop].isAsked = false
  }
}
