// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import AudioForkEngine
import AudioForkTLS
import Glibc

/// `audiofork engine`: started by the capture module, never by a person.
struct EngineCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "engine",
    abstract: "Delivers the audio of an Asterisk's forks. Started by app_audiofork, not by hand.",
    discussion: """
      Asterisk's module starts one engine and talks to it over a socket (docs/internals/control-link.md). The engine \
      exits when the module is gone and everything captured has been delivered, or at once on SIGTERM; the next \
      engine then goes on from where it was.
      """)

  @Option(help: "Descriptor of the socket to the module.")
  var link: Int32 = 3

  @Option(help: "Directory that holds the rings and cursors of this load of the module.")
  var directory: String

  func run() async throws {
    let status: Int32
    do {
      status = try await EngineService(link: link, directory: directory, tls: TLSClientProvider()).run()
    } catch let error as EngineStartError {
      let line = Array("audiofork engine: \(error.description)\n".utf8)
      _ = write(STDERR_FILENO, line, line.count)
      throw ExitCode(64)
    }
    // Not by way of exit(): its destructors would run under the event loops that still turn.
    _exit(status)
  }
}
