// SPDX-License-Identifier: Apache-2.0

/// Tells an engine that hangs from one that is busy. Asked once a second; without clock.
///
/// A loop hangs where it has not answered since the last time it was asked and has begun no job since then either: it
/// is in the midst of one. A loop with a thousand forks to open answers late, and is not stuck.
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
