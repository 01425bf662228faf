// SPDX-License-Identifier: Apache-2.0
import AudioForkEngine
import AudioForkTLS
import Dispatch
import Glibc

/// `audiofork-engine`: the process that app_audiofork starts to deliver the audio of its forks.
///
/// It links nothing that a receiver needs: a missing codec library on this machine cannot stop a fork.
/// `main` is synchronous, because an engine first closes the descriptors that it inherited from Asterisk. An
/// asynchronous `main` would have opened some of its own by then.
@main
enum EngineProgram {
  static func main() {
    let arguments: EngineArguments
    do throws(EngineStartError) {
      arguments = try EngineArguments(CommandLine.arguments.dropFirst())
    } catch {
      complain(error.description)
      exit(EngineArguments.usageStatus)
    }
    if arguments.wantsHelp {
      print(EngineArguments.help)
      return
    }
    if arguments.wantsVersion {
      print(audioforkVersion)
      return
    }
    let confinement = EngineService.prepareProcess(link: arguments.link)
    Task { await run(arguments, confinement) }
    dispatchMain()
  }

  private static func run(_ arguments: EngineArguments, _ confinement: Confinement) async {
    let status: Int32
    do {
      let service = try EngineService(
        link: arguments.link, directory: arguments.directory, tls: TLSClientProvider(), confinement: confinement)
      status = try await service.run()
    } catch let error as EngineStartError {
      complain(error.description)
      status = EngineArguments.usageStatus
    } catch {
      complain("\(error)")
      status = EXIT_FAILURE
    }
    // Not exit(): its destructors would run while the event loops still work.
    _exit(status)
  }

  /// Writes a line to standard error.
  private static func complain(_ text: String) {
    let line = Array("audiofork-engine: \(text)\n".utf8)
    _ = write(STDERR_FILENO, line, line.count)
  }
}
