// SPDX-License-Identifier: Apache-2.0
import ArgumentParser

@main
struct AudioForkCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "audiofork",
    abstract: "Streams the audio of live Asterisk calls to WebSocket servers.",
    subcommands: [EngineCommand.self, ServeCommand.self, ReportCommand.self, TapCommand.self])
}
