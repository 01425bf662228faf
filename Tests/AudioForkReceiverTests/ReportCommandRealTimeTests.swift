// SPDX-License-Identifier: Apache-2.0
import Testing

@Suite("audiofork report")
struct ReportCommandRealTimeTests {
  @Test("The exit status is 0 only if every prompt matches")
  func status() throws {
    let folder = try TemporaryFolder()
    // Noise of a generator that is good enough not to correlate with itself.
    var state: UInt32 = 1
    let noise = (0..<64_000).map { _ -> UInt8 in
      state = state &* 1_664_525 &+ 1_013_904_223
      return UInt8(state >> 24)
    }
    try write(noise, to: folder.path + "/all.sln")
    try write(Array(noise[16_000..<32_000]), to: folder.path + "/part.sln")
    func report(_ window: String) throws -> (Int?, String) {
      let process = try ServeProcess(
        ["report", folder.path + "/all.sln", "--match", "a b=\(folder.path)/part.sln@\(window)"])
      let status = process.exitStatus()
      return (status, process.output)
    }
    let (good, goodText) = try report("0.5-2.5")
    #expect(good == 0)
    #expect(goodText.hasSuffix("\na b: 1.000 at 1.00 s\n"))
    let (bad, badText) = try report("2-4")
    #expect(bad == 1)
    #expect(badText.hasSuffix(", below 0.99\n"))
    let absent = try ServeProcess(["report", folder.path + "/absent.wav"])
    #expect(absent.exitStatus() == 1)
    #expect(absent.errors.hasPrefix("audiofork report: cannot read \(folder.path)/absent.wav"))
  }
}
