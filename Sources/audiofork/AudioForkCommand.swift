// SPDX-License-Identifier: Apache-2.0
import ArgumentParser

@main
struct AudioForkCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "audiofork",
    abstract: "Streams the audio of live Asterisk calls to WebSocket servers.",
    subcommands: [EngineCommand.self, ServeCommand.self, ReportCommand.self, TapCommand.self])

  /// Up to its first `await` this runs on the main thread, before the runtime has started any other.
  static func main() async {
    EngineCommand.prepareProcess(CommandLine.arguments)
    await main(nil)
  }
}
