// SPDX-License-Identifier: Apache-2.0
import AudioForkCapture
import CAsterisk
import Testing

@Suite("The fork table")
struct ForkTableTests {
  /// Forks with the ids that a load of the module gives them.
  private final class Forks {
    let all: [ForkPointer]

    init(_ count: Int) {
      all = (0..<count).map { number in
        let fork = UnsafeMutablePointer<af_fork>.allocate(capacity: 1)
        fork.initialize(to: af_fork())
        fork.pointee.id = strdup("af-0123456789ab-\(number + 1)")
        return fork
      }
    }

    deinit {
      for fork in all {
        free(fork.pointee.id)
        fork.deallocate()
      }
    }
  }

  private func id(_ number: Int) -> [UInt8] { Array("af-0123456789ab-\(number + 1)".utf8) }

  @Test("Each fork is found by its id, the oldest comes first, and one that was removed is not found")
  func find() {
    let forks = Forks(2000)
    var table = ForkTable()
    for fork in forks.all { table.insert(fork) }
    #expect(table.ids == (0..<2000).map { id($0) })
    #expect((0..<2000).allSatisfy { table.find(id($0)) == forks.all[$0] })
    for number in stride(from: 0, to: 2000, by: 2) { table.remove(forks.all[number]) }
    table.remove(forks.all[0])
    #expect((0..<2000).allSatisfy { table.find(id($0)) == ($0 % 2 == 0 ? nil : forks.all[$0]) })
    #expect(table.ids == stride(from: 1, to: 2000, by: 2).map { id($0) })
    table.insert(forks.all[0])
    #expect(table.find(id(0)) == forks.all[0])
    #expect(table.ids.last == id(0))
    for other in ["", "af", "af-0123456789ab-", "af-0123456789ab-10\0", "af-0123456789ab-10x", "AF-0123456789AB-10"] {
      #expect(table.find(Array(other.utf8)) == nil, "\(other)")
    }
    withExtendedLifetime(forks) {}
  }

  @Test("A fork is found as fast among 2000 as among 20")
  func cost() {
    let few = nanoseconds(forks: 20)
    let many = nanoseconds(forks: 2000)
    // Memory that is out of the cache is slower; a walk through the table is a hundred times as long.
    #expect(many < 10 * few, "\(many) ns among 2000, \(few) ns among 20")
  }

  /// What it takes to find a fork, the best of five rounds.
  private func nanoseconds(forks count: Int) -> Double {
    let forks = Forks(count)
    var table = ForkTable()
    for fork in forks.all { table.insert(fork) }
    let ids = (0..<count).map { id($0) }
    var best = Duration.seconds(1000)
    for _ in 0..<5 {
      var found = 0
      best = min(
        best,
        ContinuousClock().measure {
          for turn in 0..<2000 where table.find(ids[turn * 7 % count]) != nil { found += 1 }
        })
      #expect(found == 2000)
    }
    return withExtendedLifetime(forks) { Double(best.components.attoseconds) / 1e9 / 2000 }
  }
}
