// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import CAudioForkProcess
import Dispatch
import Glibc

/// The program's start. Synchronous: an engine that this process becomes must inherit no descriptor of ours, and a
/// receiver must not be dumpable from its first line on.
@main
enum Main {
  static func main() {
    switch CommandLine.arguments.dropFirst().first {
    case "engine":
      complain("engine", EngineHandover.start(arguments: CommandLine.unsafeArgv))
      exit(EXIT_FAILURE)
    case "serve": af_process_keep_secrets()
    default: break
    }
    Task {
      await AudioForkCommand.main()
      Glibc.exit(0)
    }
    dispatchMain()
  }
}

struct AudioForkCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "audiofork",
    abstract: "Receives and examines audio streams of Asterisk calls. (app_audiofork sends them.)",
    subcommands: [ServeCommand.self, ReportCommand.self, TapCommand.self, ReferenceCommand.self])
}

/// Writes a line of a subcommand to standard error.
func complain(_ command: String, _ text: String) {
  let line = Array("audiofork \(command): \(text)\n".utf8)
  _ = write(STDERR_FILENO, line, line.count)
}
