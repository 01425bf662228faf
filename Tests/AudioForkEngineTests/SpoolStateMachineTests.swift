// SPDX-License-Identifier: Apache-2.0
import AudioForkEngine
import Testing

private typealias Machine = SpoolStateMachine
private typealias State = SpoolStateMachine.State
private typealias Input = SpoolStateMachine.Input
private typealias Action = SpoolStateMachine.Action

@Suite("Spool state machine")
struct SpoolStateMachineTests {
  /// What an input does in a state.
  private struct Row {
    let state: State
    let input: Input
    let action: Action?
    let next: State

    init(_ state: State, _ input: Input, _ action: Action?, _ next: State) {
      self.state = state
      self.input = input
      self.action = action
      self.next = next
    }
  }

  private static let inputs: [Input] = [
    .opened(isTooLarge: false), .opened(isTooLarge: true), .foundNothing, .openFailed, .lookTimerFired, .create, .write,
    .written, .fetch, .fetched, .empty, .emptied, .close(keeps: false), .close(keeps: true),
  ]

  /// Every state that can be reached from the first one, and every input that does something there. All others do
  /// nothing.
  private static let table: [Row] = {
    let last = SpoolStateMachine.looksMax - 1
    var rows: [Row] = []
    for failures in 0...last {
      let looking = State.looking(failures: failures)
      rows += [
        Row(looking, .opened(isTooLarge: false), nil, .open(.none, .none)),
        Row(looking, .opened(isTooLarge: true), .empty, .open(.emptying, .none)),
        Row(looking, .foundNothing, nil, .absent),
        failures == last
          ? Row(looking, .openFailed, nil, .absent)
          : Row(looking, .openFailed, .scheduleLook, .waitingToLook(failures: failures + 1)),
        Row(looking, .close(keeps: false), nil, .closing(.look, keeps: false)),
        Row(looking, .close(keeps: true), nil, .closing(.look, keeps: true)),
      ]
    }
    for failures in 1...last {
      let waiting = State.waitingToLook(failures: failures)
      rows += [
        Row(waiting, .lookTimerFired, .look, .looking(failures: failures)),
        Row(waiting, .close(keeps: false), .remove, .closed),
        Row(waiting, .close(keeps: true), nil, .closed),
      ]
    }
    rows += [
      Row(.absent, .create, .create, .creating),
      Row(.absent, .close(keeps: false), nil, .closed),
      Row(.absent, .close(keeps: true), nil, .closed),

      Row(.creating, .opened(isTooLarge: false), nil, .open(.none, .none)),
      Row(.creating, .opened(isTooLarge: true), .empty, .open(.emptying, .none)),
      Row(.creating, .foundNothing, nil, .absent),
      Row(.creating, .openFailed, nil, .absent),
      Row(.creating, .close(keeps: false), nil, .closing(.creation, keeps: false)),
      Row(.creating, .close(keeps: true), nil, .closing(.creation, keeps: true)),

      Row(.open(.none, .none), .write, .write, .open(.writing, .none)),
      Row(.open(.none, .none), .fetch, .fetch, .open(.none, .underWay)),
      Row(.open(.none, .none), .empty, .empty, .open(.emptying, .none)),
      Row(.open(.none, .none), .close(keeps: false), .close(keeps: false), .closed),
      Row(.open(.none, .none), .close(keeps: true), .close(keeps: true), .closed),

      Row(.open(.none, .underWay), .write, .write, .open(.writing, .underWay)),
      Row(.open(.none, .underWay), .fetched, .usePage, .open(.none, .none)),
      Row(.open(.none, .underWay), .empty, .empty, .open(.emptying, .outdated)),

      Row(.open(.none, .outdated), .write, .write, .open(.writing, .outdated)),
      Row(.open(.none, .outdated), .fetched, nil, .open(.none, .none)),
      Row(.open(.none, .outdated), .empty, .empty, .open(.emptying, .outdated)),

      Row(.open(.writing, .none), .written, nil, .open(.none, .none)),
      Row(.open(.writing, .none), .fetch, .fetch, .open(.writing, .underWay)),
      Row(.open(.writing, .none), .empty, nil, .open(.writingThenEmptying, .none)),

      Row(.open(.writing, .underWay), .written, nil, .open(.none, .underWay)),
      Row(.open(.writing, .underWay), .fetched, .usePage, .open(.writing, .none)),
      Row(.open(.writing, .underWay), .empty, nil, .open(.writingThenEmptying, .underWay)),

      Row(.open(.writing, .outdated), .written, nil, .open(.none, .outdated)),
      Row(.open(.writing, .outdated), .fetched, nil, .open(.writing, .none)),
      Row(.open(.writing, .outdated), .empty, nil, .open(.writingThenEmptying, .outdated)),

      Row(.open(.writingThenEmptying, .none), .written, .empty, .open(.emptying, .none)),

      Row(.open(.writingThenEmptying, .underWay), .written, .empty, .open(.emptying, .outdated)),
      Row(.open(.writingThenEmptying, .underWay), .fetched, .usePage, .open(.writingThenEmptying, .none)),

      Row(.open(.writingThenEmptying, .outdated), .written, .empty, .open(.emptying, .outdated)),
      Row(.open(.writingThenEmptying, .outdated), .fetched, nil, .open(.writingThenEmptying, .none)),

      Row(.open(.emptying, .none), .emptied, nil, .open(.none, .none)),

      Row(.open(.emptying, .outdated), .emptied, nil, .open(.none, .outdated)),
      Row(.open(.emptying, .outdated), .fetched, nil, .open(.emptying, .none)),
    ]
    for keeps in [false, true] { rows += closingRows(keeps: keeps) }
    return rows
  }()

  private static func closingRows(keeps: Bool) -> [Row] {
    var rows: [Row] = []
    // From the states in which something is under way.
    for change in Machine.Change.allCases {
      for fetch in Machine.Fetch.allCases
      where (change, fetch) != (.none, .none) && (change, fetch) != (.emptying, .underWay) {
        let pending: Machine.Pending = change == .none ? .fetch : fetch == .none ? .change : .changeAndFetch
        rows.append(Row(.open(change, fetch), .close(keeps: keeps), nil, .closing(pending, keeps: keeps)))
      }
    }
    // The last word counts.
    for pending in Machine.Pending.allCases {
      rows.append(Row(.closing(pending, keeps: !keeps), .close(keeps: keeps), nil, .closing(pending, keeps: keeps)))
    }
    for isTooLarge in [false, true] {
      for pending in [Machine.Pending.look, .creation] {
        let opened = Input.opened(isTooLarge: isTooLarge)
        rows.append(Row(.closing(pending, keeps: keeps), opened, .close(keeps: keeps), .closed))
      }
    }
    return rows + [
      Row(.closing(.look, keeps: keeps), .foundNothing, nil, .closed),
      Row(.closing(.look, keeps: keeps), .openFailed, keeps ? nil : .remove, .closed),
      Row(.closing(.creation, keeps: keeps), .foundNothing, nil, .closed),
      Row(.closing(.creation, keeps: keeps), .openFailed, nil, .closed),
      Row(.closing(.change, keeps: keeps), .written, .close(keeps: keeps), .closed),
      Row(.closing(.change, keeps: keeps), .emptied, .close(keeps: keeps), .closed),
      Row(.closing(.fetch, keeps: keeps), .fetched, .close(keeps: keeps), .closed),
      Row(.closing(.changeAndFetch, keeps: keeps), .written, nil, .closing(.fetch, keeps: keeps)),
      Row(.closing(.changeAndFetch, keeps: keeps), .emptied, nil, .closing(.fetch, keeps: keeps)),
      Row(.closing(.changeAndFetch, keeps: keeps), .fetched, nil, .closing(.change, keeps: keeps)),
    ]
  }

  private static var states: Set<State> { Set(table.flatMap { [$0.state, $0.next] }) }

  @Test("Each input in each state does what the table says, and nothing where the table has no row")
  func walk() {
    for state in Self.states {
      for input in Self.inputs {
        let rows = Self.table.filter { $0.state == state && $0.input == input }
        #expect(rows.count <= 1, "\(state) \(input)")
        var machine = Machine(state)
        #expect(machine.handle(input) == rows.first?.action, "\(state) \(input)")
        #expect(machine.state == rows.first?.next ?? state, "\(state) \(input)")
      }
    }
  }

  @Test("The table's states are those that can be reached, and no others")
  func reachable() {
    var reached: Set<State> = []
    var next = [Machine().state]
    while let state = next.popLast() {
      guard reached.insert(state).inserted else { continue }
      for input in Self.inputs {
        var machine = Machine(state)
        _ = machine.handle(input)
        next.append(machine.state)
      }
    }
    #expect(reached == Self.states)
    #expect(!reached.contains(.open(.emptying, .underWay)), "a page of an emptied file is outdated")
  }

  /// The input that is owed while something is under way.
  private static func owed(_ state: State) -> Input? {
    switch state {
    case .looking, .creating, .closing(.look, _), .closing(.creation, _): .opened(isTooLarge: false)
    case .open(.writing, _), .open(.writingThenEmptying, _): .written
    case .closing(.change, _), .closing(.changeAndFetch, _): .written
    case .open(.emptying, _): .emptied
    case .open(.none, .underWay), .open(.none, .outdated), .closing(.fetch, _): .fetched
    case .waitingToLook: .lookTimerFired
    case .absent, .open(.none, .none), .closed: nil
    }
  }

  @Test("Closing ends in every state, with an open file closed exactly once", arguments: [false, true])
  func closes(keeps: Bool) {
    for state in Self.states where state != .closed {
      var machine = Machine(state)
      var actions = [machine.handle(.close(keeps: keeps))]
      for _ in 0..<3 { actions.append(Self.owed(machine.state).flatMap { machine.handle($0) }) }
      #expect(machine.state == .closed, "\(state)")
      let closed = actions.filter { $0 == .close(keeps: keeps) }.count
      switch state {
      case .absent, .waitingToLook: #expect(closed == 0, "\(state)")
      default: #expect(closed == 1, "\(state)")
      }
    }
  }

  @Test("An open spool comes to rest by itself")
  func rests() {
    for state in Self.states where Machine(state).isOpen {
      var machine = Machine(state)
      for _ in 0..<4 { _ = Self.owed(machine.state).map { machine.handle($0) } }
      #expect(machine.state == .open(.none, .none), "\(state)")
      #expect(machine.isIdle && machine.isReadable)
    }
  }
}
