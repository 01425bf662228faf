// SPDX-License-Identifier: Apache-2.0
import AudioForkEngine
import NIOConcurrencyHelpers
import Testing

@Suite("What all forks' spools take of the disk")
struct SpoolStoreTests {
  /// Notes whose stream has been evicted.
  private final class Evictions: Sendable {
    private let ids = NIOLockedValueBox<[String]>([])
    var all: [String] { ids.withLockedValue { $0 } }
    func note(_ id: String) { ids.withLockedValue { $0.append(id) } }
  }

  private let store = SpoolStore()
  private let evictions = Evictions()

  private func reserve(_ bytes: Int, for id: String, in folder: String = "/a", limit: Int = 100) -> Bool {
    let evictions = evictions
    return store.reserve(bytes, for: id, in: folder, limit: limit) { evictions.note(id) }
  }

  @Test("Beyond a folder's limit the stream that began first goes, and never for its own fork")
  func oldestGoes() {
    #expect(reserve(40, for: "one"))
    #expect(reserve(40, for: "two"))
    #expect(reserve(90, for: "other", in: "/b"))
    #expect(reserve(20, for: "three"))
    #expect(evictions.all == [])
    #expect(reserve(30, for: "three"))
    #expect(evictions.all == ["one"])
    // It spools again: what it has now is as old as its stream.
    #expect(reserve(10, for: "one"))
    #expect(reserve(1, for: "two"))
    #expect(evictions.all == ["one", "one"])
    #expect(!reserve(50, for: "two"), "it would be this one itself")
    #expect(evictions.all == ["one", "one"])
    // 41 of two, 50 of three.
    #expect(!reserve(200, for: "three"), "it is too much alone")
    #expect(evictions.all == ["one", "one", "two"])
  }

  @Test("What is given back or released counts no more, and a fork that has nothing is not evicted")
  func givenBack() {
    #expect(reserve(60, for: "one"))
    #expect(reserve(40, for: "two"))
    store.giveBack(10, of: "one")
    #expect(reserve(10, for: "two"))
    store.giveBack(500, of: "one")
    store.giveBack(500, of: "nobody")
    #expect(reserve(50, for: "two"))
    store.release("two", isOver: false)
    #expect(reserve(30, for: "three"))
    store.release("two", isOver: true)
    store.release("one", isOver: true)
    #expect(reserve(70, for: "three"))
    #expect(evictions.all == [])
    #expect(reserve(100, for: "four"))
    #expect(evictions.all == ["three"])
  }

  @Test("A write costs the same beside 2000 forks that spool as beside 20, below the limit and at it")
  func cost() {
    for isFull in [false, true] {
      let few = nanoseconds(forks: 20, isFull: isFull)
      let many = nanoseconds(forks: 2000, isFull: isFull)
      #expect(many < 10 * few, "\(many) ns beside 2000, \(few) ns beside 20, \(isFull ? "at" : "below") the limit")
    }
  }

  /// What a write costs, the best of five rounds. At the limit each second write evicts.
  private func nanoseconds(forks: Int, isFull: Bool) -> Double {
    let store = SpoolStore()
    let ids = (0..<forks).map { "af-0123456789ab-\($0)" }
    let limit = isFull ? forks * 1000 : Int.max
    func write(_ id: String) { _ = store.reserve(1000, for: id, in: "/a", limit: limit) {} }
    for id in ids { write(id) }
    var best = Duration.seconds(1000)
    for _ in 0..<5 {
      best = min(best, ContinuousClock().measure { for turn in 0..<1000 { write(ids[turn * 7 % forks]) } })
    }
    return Double(best.components.attoseconds) / 1e9 / 1000
  }
}
