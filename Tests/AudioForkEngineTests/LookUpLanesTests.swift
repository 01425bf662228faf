// SPDX-License-Identifier: Apache-2.0
import AudioForkEngine
import Testing

@Suite("Threads for look-ups")
struct LookUpLanesTests {
  private typealias Lanes = LookUpLanes<Int>

  @Test("As many begin at once as there are fresh places, the others when one is over, in their order")
  func order() {
    var lanes = Lanes()
    let begun = (0..<20).flatMap { lanes.ask($0) }
    #expect(begun == Array(0..<16))
    #expect(lanes.finished(3, wasSlow: false) == [16])
    #expect(lanes.finished(3, wasSlow: false) == [], "nothing of that name runs")
    #expect(lanes.finished(0, wasSlow: false) == [17])
  }

  @Test("Nine dead names in both families leave room for a healthy one after a second, and at once from then on")
  func nineDeadNames() {
    var lanes = Lanes()
    var begun = (0..<18).flatMap { lanes.ask($0) }
    #expect(begun.count == 16)
    #expect(lanes.ask(100) == [], "it waits")
    // A second later.
    for question in 0..<16 { begun += lanes.markSlow(question) }
    #expect(begun.suffix(3) == [16, 17, 100])
    #expect(lanes.finished(100, wasSlow: false) == [])
    // The dead ones answer nothing after all, and are asked again: half a minute later all of it is in one lane.
    for question in 0..<18 { _ = lanes.markSlow(question) }
    for question in 0..<18 { #expect(lanes.finished(question, wasSlow: true) == []) }
    #expect((0..<18).flatMap { lanes.ask($0) } == Array(0..<16))
    for healthy in 200..<216 { #expect(lanes.ask(healthy) == [healthy]) }
  }

  @Test("Threads are bounded however many names are dead, and the suspects take no more than their part of them")
  func bounded() {
    var lanes = Lanes()
    for question in 0..<1000 { _ = lanes.ask(question) }
    for _ in 0..<10 {
      for question in 0..<1000 { _ = lanes.markSlow(question) }
      #expect(lanes.runningCount <= Lanes.threadsMax)
    }
    #expect(lanes.runningCount == Lanes.threadsMax)
    // One round in which all of them turn out dead.
    for question in 0..<1000 { _ = lanes.finished(question, wasSlow: true) }
    #expect(lanes.runningCount == 0)
    let begun = (0..<1000).flatMap { lanes.ask($0) }
    #expect(begun.count == Lanes.suspectsMax)
    #expect(lanes.ask(5000) == [5000])
  }

  @Test("A name that answers in time again is a name like others")
  func recovers() {
    var lanes = Lanes()
    #expect(lanes.ask(1) == [1])
    _ = lanes.markSlow(1)
    _ = lanes.finished(1, wasSlow: true)
    #expect(lanes.ask(1) == [1])
    _ = lanes.finished(1, wasSlow: false)
    for question in 10..<25 { _ = lanes.ask(question) }
    #expect(lanes.ask(1) == [1], "in the last fresh place")
    #expect(lanes.ask(2) == [])
  }
}
