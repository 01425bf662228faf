// SPDX-License-Identifier: Apache-2.0

/// Decides what a fork's spool does with its file, and tracks the work on threads. No I/O, no clock. Each input causes
/// at most one action. Inputs without a meaning in the current state are ignored.
package struct SpoolStateMachine: Sendable {
  /// Maximum number of looks for an earlier engine's file. Audio waits meanwhile.
  package static let looksMax = 4

  package enum State: Hashable, Sendable {
    /// A thread looks for the file that an earlier engine left; `failures` looks have failed before.
    /// Can transition to: open, absent, waitingToLook, closing.
    case looking(failures: Int)
    /// A look failed and the next one begins a little later. Can transition to: looking, closed.
    case waitingToLook(failures: Int)
    /// There is no file. Can transition to: creating, closed.
    case absent
    /// A thread creates the file. Can transition to: open, absent, closing.
    case creating
    /// The file is open. One change and one read at a time may be under way. Can transition to: closing, closed.
    case open(Change, Fetch)
    /// The spool is closing and waits for work on threads. `keeps`: the file stays for another engine.
    /// Can transition to: closed.
    case closing(Pending, keeps: Bool)
    /// Can transition to: nothing.
    case closed
  }

  /// What changes the open file.
  package enum Change: Hashable, Sendable, CaseIterable {
    /// Can transition to: writing, emptying.
    case none
    /// A thread writes a batch. Can transition to: none, writingThenEmptying.
    case writing
    /// A thread writes a batch, and the file is emptied afterwards. Can transition to: emptying.
    case writingThenEmptying
    /// A thread empties the file. Can transition to: none.
    case emptying
  }

  /// What reads the open file.
  package enum Fetch: Hashable, Sendable, CaseIterable {
    /// Can transition to: underWay.
    case none
    /// A thread reads a page. Can transition to: none, outdated.
    case underWay
    /// A thread reads a page of a file that was emptied since, so the page is not used. Can transition to: none.
    case outdated
  }

  /// What a closing spool waits for.
  package enum Pending: Hashable, Sendable, CaseIterable {
    /// A look for an earlier engine's file.
    case look
    /// The file's creation.
    case creation
    case change
    case fetch
    /// Can transition to: change, fetch.
    case changeAndFetch
  }

  package enum Input: Hashable, Sendable {
    /// The file is open. `isTooLarge`: the limit leaves no room for what is in it.
    case opened(isTooLarge: Bool)
    /// The look found no file.
    case foundNothing
    /// The look, or the creation, failed.
    case openFailed
    /// The wait for the next look is over.
    case lookTimerFired
    /// There is audio to keep.
    case create
    /// There is a batch to write.
    case write
    /// The write succeeded or failed.
    case written
    /// A page of the file is needed.
    case fetch
    /// The read succeeded or failed.
    case fetched
    /// Empty the file: its content is confirmed, evicted or damaged.
    case empty
    case emptied
    case close(keeps: Bool)
  }

  package enum Action: Hashable, Sendable {
    case look
    case scheduleLook
    case create
    case write
    case fetch
    /// Use the fetched page: the file was not emptied meanwhile.
    case usePage
    case empty
    /// Close the file, and remove it unless another engine needs it.
    case close(keeps: Bool)
    /// Remove the file if there is one. It could not be opened.
    case remove
  }

  /// Begins with a look that the owner starts.
  package private(set) var state = State.looking(failures: 0)

  package init() {}

  /// Starts in this state. For tests.
  package init(_ state: State) { self.state = state }

  /// Whether it is still unknown what an earlier engine left.
  package var isLooking: Bool {
    switch state {
    case .looking, .waitingToLook: true
    default: false
    }
  }

  /// Whether the file is open and the spool is not closing.
  package var isOpen: Bool {
    if case .open = state { true } else { false }
  }

  /// Whether a change of the file can begin.
  package var isIdle: Bool {
    if case .open(.none, _) = state { true } else { false }
  }

  /// Whether the owner may look for entries.
  package var isReadable: Bool {
    switch state {
    case .open(.writingThenEmptying, _): false
    case .open: true
    default: false
    }
  }

  /// Takes an input. Returns what the owner is to do now.
  package mutating func handle(_ input: Input) -> Action? {
    switch (state, input) {
    case (.closed, _): return nil
    case (_, .close(let keeps)): return close(keeps: keeps)
    case (.closing(let pending, let keeps), _): return finish(input, of: pending, keeps: keeps)
    case (.open(let change, let fetch), _): return handleOpen(input, change, fetch)
    default: return handleUnopened(input)
    }
  }

  private mutating func handleUnopened(_ input: Input) -> Action? {
    switch (state, input) {
    case (.looking, .opened(let isTooLarge)), (.creating, .opened(let isTooLarge)):
      state = .open(isTooLarge ? .emptying : .none, .none)
      return isTooLarge ? .empty : nil
    case (.looking, .foundNothing), (.creating, .foundNothing), (.creating, .openFailed):
      state = .absent
      return nil
    case (.looking(let failures), .openFailed):
      // A failed look is repeated, because the file may hold audio. But new audio cannot wait forever.
      guard failures + 1 < SpoolStateMachine.looksMax else {
        state = .absent
        return nil
      }
      state = .waitingToLook(failures: failures + 1)
      return .scheduleLook
    case (.waitingToLook(let failures), .lookTimerFired):
      state = .looking(failures: failures)
      return .look
    case (.absent, .create):
      state = .creating
      return .create
    default: return nil
    }
  }

  private mutating func handleOpen(_ input: Input, _ change: Change, _ fetch: Fetch) -> Action? {
    switch (input, change, fetch) {
    case (.write, .none, _):
      state = .open(.writing, fetch)
      return .write
    case (.written, .writing, _), (.emptied, .emptying, _):
      state = .open(.none, fetch)
      return nil
    case (.empty, .none, _), (.written, .writingThenEmptying, _):
      state = .open(.emptying, fetch == .none ? .none : .outdated)
      return .empty
    case (.empty, .writing, _):
      state = .open(.writingThenEmptying, fetch)
      return nil
    case (.fetch, .none, .none), (.fetch, .writing, .none):
      state = .open(change, .underWay)
      return .fetch
    case (.fetched, _, .underWay):
      state = .open(change, .none)
      return .usePage
    case (.fetched, _, .outdated):
      state = .open(change, .none)
      return nil
    default: return nil
    }
  }

  private mutating func close(keeps: Bool) -> Action? {
    switch state {
    case .looking: state = .closing(.look, keeps: keeps)
    case .creating: state = .closing(.creation, keeps: keeps)
    case .closing(let pending, _): state = .closing(pending, keeps: keeps)
    case .open(.none, .none):
      state = .closed
      return .close(keeps: keeps)
    case .open(.none, _): state = .closing(.fetch, keeps: keeps)
    case .open(_, .none): state = .closing(.change, keeps: keeps)
    case .open: state = .closing(.changeAndFetch, keeps: keeps)
    case .waitingToLook:
      state = .closed
      return keeps ? nil : .remove
    case .absent, .closed: state = .closed
    }
    return nil
  }

  /// Something that a closing spool waits for may have ended.
  private mutating func finish(_ input: Input, of pending: Pending, keeps: Bool) -> Action? {
    switch (pending, input) {
    case (.changeAndFetch, .written), (.changeAndFetch, .emptied): state = .closing(.fetch, keeps: keeps)
    case (.changeAndFetch, .fetched): state = .closing(.change, keeps: keeps)
    case (.look, .opened), (.creation, .opened), (.change, .written), (.change, .emptied), (.fetch, .fetched):
      state = .closed
      return .close(keeps: keeps)
    case (.look, .openFailed):
      state = .closed
      return keeps ? nil : .remove
    case (.look, .foundNothing), (.creation, .foundNothing), (.creation, .openFailed): state = .closed
    default: break
    }
    return nil
  }
}
