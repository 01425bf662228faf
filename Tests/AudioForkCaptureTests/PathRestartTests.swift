// SPDX-License-Identifier: Apache-2.0
import AudioForkCapture
import Testing

@Suite("How often engines are replaced for what they may not open")
struct PathRestartTests {
  private let second: Int64 = 1_000_000_000

  @Test("For a new path at once, for the next one 10 seconds later, and not where an engine has been told meanwhile")
  func paths() {
    var restarts = PathRestarts()
    #expect(restarts.millisecondsToAct(second) == nil && !restarts.take(second))
    restarts.ask(second, within: 60 * second)
    #expect(restarts.millisecondsToAct(second) == 0 && restarts.take(second))
    #expect(restarts.millisecondsToAct(second) == nil)
    restarts.ask(2 * second, within: 60 * second)
    #expect(!restarts.take(2 * second) && restarts.millisecondsToAct(2 * second) == 9_000)
    #expect(!restarts.take(11 * second - 1) && restarts.take(11 * second))
    restarts.ask(12 * second, within: 60 * second)
    restarts.engineIsTold()
    #expect(restarts.millisecondsToAct(60 * second) == nil && !restarts.take(60 * second))
  }

  @Test("Sooner than that for a fork that cannot be held for as long")
  func shortWaits() {
    var restarts = PathRestarts()
    restarts.ask(second, within: 0)
    #expect(restarts.take(second) && !restarts.take(second))
    restarts.ask(2 * second, within: 5 * second)
    restarts.ask(4 * second, within: second / 2)
    restarts.ask(4 * second, within: 20 * second)
    #expect(restarts.millisecondsToAct(4 * second) == 500)
    #expect(!restarts.take(4 * second) && restarts.take(9 * second / 2) && !restarts.take(60 * second))
  }

  @Test("Never within 3 seconds of the last time, even for forks that cannot be held at all")
  func floor() {
    var restarts = PathRestarts()
    restarts.ask(second, within: 0)
    #expect(restarts.take(second) && !restarts.take(second))
    for step in 0..<3 {
      let last = second + Int64(step) * 3 * second
      restarts.ask(last + second, within: 0)
      #expect(restarts.millisecondsToAct(last + second) == 2_000)
      #expect(!restarts.take(last + 3 * second - 1) && restarts.take(last + 3 * second))
    }
  }

  @Test("The age at which an engine leaves doubles up to 10 minutes, until one serves for longer")
  func ages() {
    var age = LeavingAge()
    var ages = [age.seconds]
    for _ in 0..<8 {
      age.engineEnded(after: Int64(age.seconds + 5) * second, isAnnounced: true)
      ages.append(age.seconds)
    }
    #expect(ages == [10, 20, 40, 80, 160, 320, 600, 600, 600])
    age.engineEnded(after: 5 * second, isAnnounced: false)
    #expect(age.seconds == 600)
    age.engineEnded(after: 3600 * second, isAnnounced: false)
    #expect(age.seconds == 10)
    age.engineEnded(after: 5 * second, isAnnounced: false)
    #expect(age.seconds == 10)
  }
}
