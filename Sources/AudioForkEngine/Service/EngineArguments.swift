// SPDX-License-Identifier: Apache-2.0

/// The command line of `audiofork-engine`.
///
/// A first word `engine` is accepted and ignored: the module passes the same words to every engine, so that a
/// configuration that still names the program `audiofork` keeps working.
package struct EngineArguments: Equatable, Sendable {
  /// Exit status after a command line or a start that cannot work: EX_USAGE of sysexits.h.
  package static let usageStatus: Int32 = 64

  package static let help = """
    Usage: audiofork-engine --link DESCRIPTOR --directory DIRECTORY

    Delivers the audio of an Asterisk's forks. Started by app_audiofork, not by hand.

      --link DESCRIPTOR      Socket to the module. Default: 3.
      --directory DIRECTORY  Holds the rings and cursors of this load of the module.
      --version              Print the version.
      --help                 Print this text.

    If standard input is a rules file from the module, the engine confines itself to the paths in it.

    The engine exits when the module has ended and all captured audio is delivered. On SIGTERM it waits two seconds
    for the module's end. If the module lives on, it exits, and the next engine continues where this one stopped.
    """

  /// Descriptor of the socket to the module.
  package private(set) var link: CInt = 3
  /// Directory of the rings. Empty only with `wantsHelp` or `wantsVersion`.
  package private(set) var directory = ""
  package private(set) var wantsHelp = false
  package private(set) var wantsVersion = false

  /// Reads the words after the program's name. Throws when one is unknown or the directory is missing.
  package init(_ words: some Collection<String>) throws(EngineStartError) {
    var rest = words[...]
    if rest.first == "engine" { rest = rest.dropFirst() }
    while let word = rest.popFirst() {
      // Both forms, as other programs take them: --link 3 and --link=3.
      let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
      func value() throws(EngineStartError) -> String {
        if parts.count == 2 { return parts[1] }
        guard let value = rest.popFirst() else { throw EngineArguments.misuse("\(word) needs a value") }
        return value
      }
      switch parts[0] {
      case "--help", "-h": wantsHelp = true
      case "--version": wantsVersion = true
      case "--link":
        let text = try value()
        guard let number = CInt(text), number >= 0 else {
          throw EngineArguments.misuse("--link needs the number of a descriptor, not '\(text)'")
        }
        link = number
      case "--directory": directory = try value()
      default: throw EngineArguments.misuse("unknown argument '\(word)'")
      }
    }
    guard wantsHelp || wantsVersion || !directory.isEmpty else {
      throw EngineArguments.misuse("--directory is missing")
    }
  }

  private static func misuse(_ what: String) -> EngineStartError {
    EngineStartError(
      description: "\(what). The engine is started by app_audiofork: load the module with "
        + "'module load app_audiofork.so' in Asterisk's CLI")
  }
}
