// SPDX-License-Identifier: GPL-2.0-or-later
import AudioForkBytes
import AudioForkLink
import AudioForkSurface
import CAsterisk

/// What one engine has still to be told: the settings, rows of the fork table, texts, and which forks it may forget.
///
/// A new engine gets a new outbox, and with it everything. Only the control thread uses it.
struct EngineOutbox {
  /// Maximum ids that wait. Further ones stay in the engine until it leaves.
  private static let forgottenMax = 10_000

  private var tableEndIsDue = true
  /// The engine-wide settings that this engine has been sent.
  private var sentSettings: EngineSettings?
  private var hasToldShutdown = false
  /// Ids of forks that the engine is to forget, while the link is full.
  private var forgotten = [Bytes]()

  /// Sends changes of the settings and of the table, as far as the socket takes them. `knowsStopping`: the engine knows
  /// the message STOPPING.
  mutating func send(_ settings: EngineSettings, over link: inout EngineLink, isReady: Bool, knowsStopping: Bool) {
    if settings != sentSettings {
      sentSettings = settings
      link.append(.settings(settings.lines))
    }
    if isReady, knowsStopping { tellShutdown(over: &link) }
    sendForgotten(over: &link)
    var rows = Bytes()
    let room = link.room
    var isComplete = true
    withState { state in
      while let fork = state.forks.unsent.first {
        guard rows.count < room else {
          isComplete = false
          break
        }
        state.forks.isSent(fork)
        rows +=
          MessageFromModule<Bytes>.fork(
            id: bytes(fork.pointee.id), isClosed: fork.pointee.closed_at_ns != 0,
            generation: fork.pointee.generation
          ).encoded
      }
      // After the rows: a text is for a fork that the engine knows.
      if isReady, isComplete, rows.count < room {
        for text in state.outgoingTexts.takeAll() { rows += text }
      }
    }
    link.append(rows)
    if isComplete, tableEndIsDue {
      tableEndIsDue = false
      link.append(.tableEnd)
    }
    link.flush()
  }

  /// A row was removed: the engine need not know the fork any more.
  mutating func forget(_ id: Bytes) {
    guard forgotten.count < EngineOutbox.forgottenMax else { return }
    forgotten.append(id)
  }

  private mutating func sendForgotten(over link: inout EngineLink) {
    guard !forgotten.isEmpty else { return }
    link.flush()
    var sent = 0
    while sent < forgotten.count, link.room > 0 {
      link.append(.forget(id: forgotten[sent]))
      sent &+= 1
      // Output that is left over wakes this thread, so ids wait only where there is some.
      if link.room <= 0 { link.flush() }
    }
    if sent > 0 { forgotten.removeFirst(sent) }
  }

  /// Tells the engine once that Asterisk is shutting down.
  private mutating func tellShutdown(over link: inout EngineLink) {
    guard !hasToldShutdown, ast_shutting_down() != 0 else { return }
    hasToldShutdown = true
    link.append(.stopping)
  }
}
