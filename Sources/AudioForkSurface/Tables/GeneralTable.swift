// SPDX-License-Identifier: MIT
package import AudioForkBytes

/// What a key of `[general]` stands for that a profile does not have.
package enum GeneralKind: Sendable {
  case engine, runDirectory, allow, bufferTotal, stasis, commands, functions, confine
  /// One that the engine uses as a whole. The module only checks its value and sends it to the engine
  /// (`EngineSettings`).
  case engineWide(EngineValue)
}

/// Who may give AudioFork a command.
package enum CommandPolicy: Sendable, Equatable {
  /// A dialplan that the channel executes, and the AMI action.
  case dialplan
  case yes, no

  /// The policy with this word (for yes and no, those of `ForkOptions.truth`); nil for another word.
  package init?(_ word: Bytes) {
    if equal(word, ignoringCase: "dialplan") {
      self = .dialplan
    } else if let isAllowed = ForkOptions.truth(word) {
      self = isAllowed ? .yes : .no
    } else {
      return nil
    }
  }
}

/// One key of `[general]` in `audiofork.conf`. The keys of a profile that `[general]` takes too are in `ProfileKey`
/// (`isGeneral`). The table drives parsing, messages and documentation.
package struct GeneralKey: Sendable {
  package let name: StaticString
  package let kind: GeneralKind
  /// The accepted form of its value.
  package let form: StaticString
  package let help: StaticString
  /// Whether several lines add up instead of the last one counting.
  package var isRepeatable = false

  package init(
    name: StaticString, kind: GeneralKind, form: StaticString, help: StaticString, isRepeatable: Bool = false
  ) {
    self.name = name
    self.kind = kind
    self.form = form
    self.help = help
    self.isRepeatable = isRepeatable
  }
}

extension GeneralKey {
  /// Every key that only `[general]` takes, in the order of the documentation.
  package static let all: [GeneralKey] = [
    GeneralKey(
      name: "engine", kind: .engine, form: "an absolute path",
      help:
        """
        The engine: the program that talks to the WebSocket servers. Default: \
        /usr/local/libexec/audiofork/audiofork-engine.
        """
    ),
    GeneralKey(
      name: "run_dir", kind: .runDirectory, form: "an absolute path of at most 200 characters",
      help:
        """
        Folder for the rings, on a tmpfs. Default: audiofork in Asterisk's run directory if that is a tmpfs, else \
        /dev/shm/audiofork-UID, or a folder beside it where another user has taken that name. Not in a unit's \
        RuntimeDirectory, which systemd removes when Asterisk stops, unless RuntimeDirectoryPreserve is set.
        """
    ),
    GeneralKey(
      name: "allow", kind: .allow, form: "ws[s]://host[:port][/path], where * and ? are wildcards",
      help:
        """
        URLs that forks may go to, and that a redirect may lead to; every URL where there is no such line. Without a \
        port the default one is meant, without a path any.
        """,
      isRepeatable: true),
    GeneralKey(
      name: "buffer_total", kind: .bufferTotal, form: "a whole number of megabytes from 0 to 1000000",
      help:
        """
        Cap of the memory of all forks' buffers together; a fork beyond it is not started, and a buffer does not grow \
        with the call's sampling rate. A warning comes at 80 %. 0: no cap. Default: half of what is free in run_dir's \
        file system when the module is loaded.
        """
    ),
    GeneralKey(
      name: "stasis", kind: .stasis, form: "yes or no",
      help: "Whether the AMI events are also raised as Stasis user events, for ARI applications. Default: no."),
    GeneralKey(
      name: "commands", kind: .commands, form: "dialplan, yes or no",
      help:
        """
        Who may give AudioFork a command, its third argument. dialplan: a dialplan that the channel executes, and the \
        AMI action AudioFork, which needs the privilege system; not Originate with an application, a feature code or \
        the CLI. yes: all of them, so that the AMI privilege originate is enough for a shell. no: nobody. \
        Default: dialplan.
        """
    ),
    GeneralKey(
      name: "functions", kind: .functions,
      form: "names of dialplan functions separated by commas, none that reaches beyond the call",
      help:
        """
        Further functions that ^{...} may name, besides those that read the call or change a text. A caller may choose \
        their arguments. SHELL, FILE, DB, REALTIME, CURL, EVAL, ODBC and their like cannot be allowed.
        """,
      isRepeatable: true),
    GeneralKey(
      name: "confine", kind: .confine, form: "yes or no",
      help:
        """
        Whether the engine gives up what it does not need, where the kernel can (Landlock, Linux 5.13): writing \
        outside of run_dir's parent and the spool folders, reading anything but these, the system's libraries and \
        certificates, and the files that this file names, and starting programs. Default: yes.
        """
    ),
  ]

  /// The key with this name, case ignored; nil for another word.
  package static func named(_ name: Bytes) -> GeneralKey? {
    all.first { equal(name, ignoringCase: $0.name) }
  }

  /// Largest `buffer_total`, megabytes.
  package static let bufferTotalMax = 1_000_000
}
