// SPDX-License-Identifier: Apache-2.0

/// Decides which look-ups run, so that names whose servers do not answer leave threads for the others.
///
/// A look-up is *fresh* for its first second, and *slow* from then on. Fresh ones have `freshMax` threads, slow ones
/// the rest. A name whose last look-up was slow is *suspect*: its next ones begin only while less than `suspectsMax` of
/// the slow threads are in use. So suspect names occupy at most `suspectsMax` slow threads, however many they are.
/// While a slow thread is free, a new name occupies a fresh one for at most one second. No clock, no threads.
package struct LookUpLanes<Question: Hashable & Sendable>: Sendable {
  /// Look-ups in their first second that run together.
  package static var freshMax: Int { 16 }
  /// Look-ups that run for longer than that.
  package static var slowMax: Int { 32 }
  /// Look-ups of suspect names do not begin while so many slow ones run.
  package static var suspectsMax: Int { 16 }
  package static var threadsMax: Int { freshMax + slowMax }
  /// Suspect names that are remembered.
  private static var namesMax: Int { 1024 }

  private enum Lane {
    case fresh
    case slow
  }

  private var running: [Question: Lane] = [:]
  private var fresh = 0
  private var slow = 0
  private var waiting: [Question] = []
  private var suspectsWaiting: [Question] = []
  private var suspects: Set<Question> = []

  package init() {}

  package var runningCount: Int { running.count }

  /// Somebody asks; the question neither waits nor runs. Returns the look-ups to begin now.
  package mutating func ask(_ question: Question) -> [Question] {
    if suspects.contains(question) { suspectsWaiting.append(question) } else { waiting.append(question) }
    return begin()
  }

  /// A look-up has been running for a second. Returns the look-ups to begin now.
  package mutating func markSlow(_ question: Question) -> [Question] {
    // Without a slow thread it stays where it is.
    guard running[question] == .fresh, slow < Self.slowMax else { return [] }
    fresh -= 1
    slow += 1
    running[question] = .slow
    return begin()
  }

  /// A look-up is over. Returns the look-ups to begin now. `wasSlow`: it took longer than a second.
  package mutating func finished(_ question: Question, wasSlow: Bool) -> [Question] {
    switch running.removeValue(forKey: question) {
    case .fresh: fresh -= 1
    case .slow: slow -= 1
    case nil: return []
    }
    if !wasSlow {
      suspects.remove(question)
    } else {
      if suspects.count >= Self.namesMax { suspects.removeFirst() }
      suspects.insert(question)
    }
    return begin()
  }

  private mutating func begin() -> [Question] {
    var begun: [Question] = []
    while !waiting.isEmpty, fresh < Self.freshMax {
      fresh += 1
      begun.append(waiting.removeFirst())
      running[begun[begun.count - 1]] = .fresh
    }
    while !suspectsWaiting.isEmpty, slow < Self.suspectsMax {
      slow += 1
      begun.append(suspectsWaiting.removeFirst())
      running[begun[begun.count - 1]] = .slow
    }
    return begun
  }
}
