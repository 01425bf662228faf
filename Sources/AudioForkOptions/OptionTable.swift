// SPDX-License-Identifier: MIT

/// What stands in the parentheses behind an option's letter.
package enum OptionArgument: Sendable {
  /// The letter stands alone.
  case none
  /// One of `in`, `out`, `both`.
  case direction
  /// The name of a channel variable.
  case variable
  /// A whole number of seconds.
  case seconds(ClosedRange<Int>)
  /// A whole number of times.
  case count(ClosedRange<Int>)
}

/// One option of `AudioFork(url,options)`. The table drives parsing, messages and documentation.
package struct OptionDefinition: Sendable {
  package let letter: UInt8
  package let argument: OptionArgument
  /// How it is written, for messages: `D(in|out|both)`.
  package let form: StaticString
  /// One sentence of help.
  package let help: StaticString
}

extension OptionDefinition {
  /// Every option that AudioFork takes, in the order of the documentation.
  package static let all: [OptionDefinition] = [
    OptionDefinition(
      letter: UInt8(ascii: "D"), argument: .direction, form: "D(in|out|both)",
      help: "Which audio: what the party says, what it hears, or the sum of both in one stream. Default: both."),
    OptionDefinition(
      letter: UInt8(ascii: "i"), argument: .variable, form: "i(variable)",
      help: "Channel variable that is set to the fork's id."),
    OptionDefinition(
      letter: UInt8(ascii: "n"), argument: .none, form: "n",
      help: "No fill: send only captured audio, and nothing while the call delivers none."),
    OptionDefinition(
      letter: UInt8(ascii: "R"), argument: .seconds(1...3600), form: "R(seconds), 1 to 3600",
      help: "Longest time for one connection attempt and for the wait between two. Default: 5."),
    OptionDefinition(
      letter: UInt8(ascii: "r"), argument: .count(0...1_000_000), form: "r(attempts), 0 to 1000000",
      help: "Attempts to reconnect in one outage before the fork ends. Default: 20."),
  ]
}
