// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import AudioForkReceiver
import Glibc

struct ReportCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "report",
    abstract: "Shows a recording's length, level and waveform, and how well it contains known prompts.",
    discussion: """
      Each --match gives a prompt, by normalised cross-correlation the most similar place in its part of the \
      recording, and how alike they are there (1 = the same but for volume). The exit status is 0 only if every \
      prompt reaches the threshold.
      """)

  @Argument(help: "The recording: WAV, or headerless signed linear (.sln, .sln16, …).")
  var file: String

  @Option(help: "NAME=PROMPTFILE@FROM-TO: the whole prompt lies between these seconds. May be given more than once.")
  var match: [String] = []

  @Option(help: "Lowest correlation that is good.")
  var threshold = 0.99

  func validate() throws {
    for text in match where PromptMatch(text) == nil {
      throw ValidationError("--match needs NAME=PROMPTFILE@FROM-TO, such as caller=hello.sln@0.5-4.5, not '\(text)'")
    }
    guard (0...1).contains(threshold) else { throw ValidationError("--threshold needs a number from 0 to 1") }
  }

  func run() throws {
    do {
      let recording = try SampledAudio(reading: file)
      let matches = try match.compactMap(PromptMatch.init).map { ($0, try SampledAudio(reading: $0.promptPath)) }
      let report = RecordingReport(path: file, recording: recording, matches: matches, threshold: threshold)
      for line in report.lines { print(line) }
      if !report.isGood { throw ExitCode.failure }
    } catch let error as ReportError {
      complain("report", error.reason)
      throw ExitCode.failure
    }
  }
}
