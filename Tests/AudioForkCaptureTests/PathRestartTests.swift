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
    restarts.ask()
    #expect(restarts.millisecondsToAct(second) == 0 && restarts.take(second))
    #expect(restarts.millisecondsToAct(second) == nil)
    restarts.ask()
    #expect(!restarts.take(2 * second) && restarts.millisecondsToAct(2 * second) == 9_000)
    #expect(!restarts.take(11 * second - 1) && restarts.take(11 * second))
    restarts.ask()
    restarts.engineIsTold()
    #expect(restarts.millisecondsToAct(60 * second) == nil && !restarts.take(60 * second))
  }

  @Test("The age at which an engine leaves doubles up to 10 minutes, until one serves for longer")
  func ages() {
    var age = LeavingAge()
    var ages = [age.seconds]
    for _ in 0..<8 {
      age.engineEnded(after: Int64(age.seconds + 5) * second)
      ages.append(age.seconds)
    }
    #expect(ages == [10, 20, 40, 80, 160, 320, 600, 600, 600])
    age.engineEnded(after: 3600 * second)
    #expect(age.seconds == 10)
  }
}
