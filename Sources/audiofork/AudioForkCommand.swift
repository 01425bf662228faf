// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import AudioForkEngine
import Dispatch
import Glibc

/// The program's start. Synchronous on purpose: an engine closes the descriptors that it inherited from Asterisk before
/// anything else, and an asynchronous main would have opened some of its own by then.
@main
enum Main {
  static func main() {
    EngineService.prepareProcess(arguments: CommandLine.arguments)
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
    abstract: "Streams the audio of live Asterisk calls to WebSocket servers.",
    subcommands: [EngineCommand.self, ServeCommand.self, ReportCommand.self, TapCommand.self, ReferenceCommand.self])
}
