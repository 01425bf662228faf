// SPDX-License-Identifier: MIT
package import AudioForkBytes

/// What stands in the parentheses behind an option's letter.
package enum OptionArgument: Sendable {
  /// The letter stands alone.
  case none
  /// An argument is accepted and has no meaning.
  case ignored
  /// A value of this kind.
  case value(SettingKind)
  /// A value of this kind, or nothing.
  case optional(SettingKind)

  /// What the argument sets; nil where it sets nothing.
  package var kind: SettingKind? {
    switch self {
    case .none, .ignored: nil
    case .value(let kind), .optional(let kind): kind
    }
  }
}

/// One option of `AudioFork(url,options)`. The table drives parsing, messages and documentation.
package struct OptionDefinition: Sendable {
  package let letter: UInt8
  package let argument: OptionArgument
  /// How it is written, for messages: `D(in|out|both|stereo)`.
  package let form: Bytes
  /// Help: whole sentences, no line breaks.
  package let help: Bytes

  private init(letter: UInt8, argument: OptionArgument, form: Bytes, help: Bytes) {
    self.letter = letter
    self.argument = argument
    self.form = form
    self.help = help
  }

  private init(letter: UInt8, argument: OptionArgument, form: StaticString, help: StaticString) {
    self.init(letter: letter, argument: argument, form: Bytes(text: form), help: Bytes(text: help))
  }
}

extension OptionDefinition {
  /// Every option that AudioFork takes, in the order of the documentation.
  package static let all: [OptionDefinition] = [
    OptionDefinition(
      letter: UInt8(ascii: "b"), argument: .none, form: "b",
      help: "Only send audio while the channel is bridged. Silence is sent in between, or nothing with n."),
    OptionDefinition(
      letter: UInt8(ascii: "B"), argument: .optional(.beepInterval), form: "B(seconds), 5 to 3600",
      help: "Play a beep into the call every so many seconds, 15 without a number. Needs func_periodic_hook.so."),
    OptionDefinition(
      letter: UInt8(ascii: "p"), argument: .none, form: "p", help: "Play a beep on the channel when the fork starts."),
    OptionDefinition(
      letter: UInt8(ascii: "P"), argument: .none, form: "P",
      help: "Play a beep on the channel when the fork is stopped by StopAudioFork, the CLI or AMI."),
    OptionDefinition(
      letter: UInt8(ascii: "v"), argument: .value(.gainIn), form: "v(factor), -4 to 4",
      help: "Volume of what the party says (in): doubled or halved so many times."),
    OptionDefinition(
      letter: UInt8(ascii: "V"), argument: .value(.gainOut), form: "V(factor), -4 to 4",
      help: "Volume of what the party hears (out): doubled or halved so many times."),
    OptionDefinition(
      letter: UInt8(ascii: "W"), argument: .value(.gainBoth), form: "W(factor), -4 to 4",
      help: "Volume of both directions: doubled or halved so many times."),
    OptionDefinition(
      letter: UInt8(ascii: "i"), argument: .value(.idVariable), form: "i(variable)",
      help: "Channel variable that is set to the fork's id."),
    OptionDefinition(
      letter: UInt8(ascii: "D"), argument: .value(.direction), form: "D(in|out|both|stereo)",
      help:
        """
        Which audio: what the party says, what it hears, the sum of both, or both interleaved (in left, out right). \
        Default: both.
        """
    ),
    OptionDefinition(
      letter: UInt8(ascii: "f"), argument: .value(.format),
      form: "f(slin|slin12|slin16|slin24|slin32|slin44|slin48|ulaw|alaw)",
      help: "Audio format on the wire, by Asterisk's name. Default: slin, signed 16-bit little-endian at 8 kHz."),
    OptionDefinition(
      letter: UInt8(ascii: "m"), argument: .value(.message), form: "m(milliseconds), 20 to 1000 in steps of 20",
      help:
        """
        Length of one binary message, for servers that take no short ones. Audio waits for its message to fill. \
        Default: 20.
        """
    ),
    OptionDefinition(
      letter: UInt8(ascii: "n"), argument: .none, form: "n",
      help: "No fill: send only captured audio, and nothing while the call delivers none."),
    OptionDefinition(
      letter: UInt8(ascii: "S"), argument: .ignored, form: "S",
      help: "Accepted: silence is filled in anyway, unless n is given."),
    OptionDefinition(
      letter: UInt8(ascii: "a"), argument: .ignored, form: "a",
      help: "Accepted and ignored: there is no file to append to."),
    OptionDefinition(
      letter: UInt8(ascii: "T"), argument: .optional(.tls), form: "T(on|insecure)",
      help: "TLS, which a wss:// URL has by itself. insecure: do not verify the server's certificate."),
    OptionDefinition(
      letter: UInt8(ascii: "R"), argument: .value(.reconnectMaxWait), form: "R(seconds), 1 to 3600",
      help: "Longest time for one connection attempt and for the wait between two. Default: 5."),
    OptionDefinition(
      letter: UInt8(ascii: "r"), argument: .value(.reconnectAttempts), form: "r(attempts), 0 to 1000000",
      help:
        """
        Attempts to reconnect in one outage, at each of several URLs, before the fork ends. Default: no limit; an \
        outage ends the fork after outage seconds, 300.
        """
    ),
    OptionDefinition(
      letter: UInt8(ascii: "w"), argument: .value(.dialect), form: DialectTraits.optionForm,
      help: DialectTraits.optionHelp),
    OptionDefinition(
      letter: UInt8(ascii: "H"), argument: .value(.headers), form: "H(Name: value&Name: value)",
      help:
        """
        Headers for the request that opens the connection. A value with a caller's words is written ^{CALLERID(name)}; \
        control characters in it are percent-encoded.
        """
    ),
    OptionDefinition(
      letter: UInt8(ascii: "s"), argument: .value(.parameters), form: "s(key=value&key=value)",
      help:
        """
        Parameters for the server; an ampersand in a value is written %26. The value of a ^{...} goes out as it is. \
        With raw they go in the header AudioFork-Parameters.
        """
    ),
    OptionDefinition(
      letter: UInt8(ascii: "x"), argument: .value(.textVariable), form: "x(variable)",
      help: "Channel variable that also receives each text message of the server, besides AUDIOFORK_RESPONSE."),
  ]
}
