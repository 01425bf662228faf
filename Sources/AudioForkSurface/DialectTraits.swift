// SPDX-License-Identifier: MIT
package import AudioForkBytes

/// A dialect: the message format that a server expects. `DialectTraits` says the rest about each.
package enum DialectName: UInt8, Sendable, Equatable, CaseIterable {
  case raw, audiofork, vosk
}

/// What distinguishes one dialect from another for the user and for the module. The table drives parsing, help,
/// messages and the rules of options, and says the engine what holds for all connections of a dialect. What is said on
/// a connection is code: `DialectRegistry`.
package struct DialectTraits: Sendable {
  package let dialect: DialectName
  /// The word in option `w` and in the key `dialect`.
  package let name: StaticString
  /// What the server is sent, for the help of option `w`.
  package let help: StaticString
  /// The sub-protocol that the dialect is; nil if the user chooses sub-protocols.
  package var subprotocol: StaticString?
  /// The formats on the wire that its servers understand.
  package var formats = WireFormat.all
  /// How many channels of audio its servers take in one stream.
  package var channelsMax = 2
  /// Whether the server is told of DTMF digits, unless `digits = no`.
  package var wantsDigits = false
  /// How long a direction waits for the other, unless `align` says it. Both must be in step where a block has both;
  /// a dialect with one message per track needs less.
  package var alignMilliseconds = 160
  /// Length of one binary message unless the fork says otherwise, milliseconds.
  package var messageMilliseconds = 20
  /// The lengths of a message that its servers understand, milliseconds.
  package var messageRange = ForkOptions.messageRange
  /// Whether the server is sent notes beside the audio: gaps, fill, muted audio, digits.
  package var wantsMarkers = false
  /// Whether the server itself says what it has of the audio. Else its pongs or its kernel confirm.
  package var acknowledges = false
  /// Whether the server says at the beginning of each connection where the stream is to continue.
  package var resumes = false
  /// How long the server may still answer after the last audio unless the fork says otherwise, seconds.
  package var lingerSeconds = 0
  /// The settings that the dialect takes and others refuse.
  package var ownSettings = [SettingKind]()
}

extension DialectTraits {
  /// Every dialect, in the order of the documentation. The first is the default.
  package static let all: [DialectTraits] = [
    DialectTraits(
      dialect: .raw, name: "raw", help: "binary messages of audio and nothing else",
      ownSettings: [.subprotocol, .firstText, .lastText, .linger]),
    DialectTraits(
      dialect: .audiofork, name: "audiofork",
      help:
        """
        the sub-protocol audiofork.v1, in which the server acknowledges what it has, so that nothing is lost or \
        repeated
        """,
      subprotocol: "audiofork.v1", wantsDigits: true, wantsMarkers: true, acknowledges: true, resumes: true,
      ownSettings: [.acknowledge]),
    DialectTraits(
      dialect: .vosk, name: "vosk",
      help: "the recognizer vosk-server, and others that speak like it: what is said comes back as transcripts",
      formats: WireFormat.all.filter { $0.encoding == .linear }, channelsMax: 1, messageMilliseconds: 200,
      acknowledges: true, lingerSeconds: 10, ownSettings: [.linger]),
  ]

  /// The dialect with this name, case ignored; nil for another word.
  package static func named(_ name: Bytes) -> DialectTraits? { all.first { equal(name, ignoringCase: $0.name) } }

  /// Returns whether the dialect takes a setting, in a value that not every dialect takes.
  package func takes(_ kind: SettingKind) -> Bool {
    ownSettings.contains { $0 == kind } || !DialectTraits.all.contains { $0.ownSettings.contains(kind) }
  }

  /// Returns whether servers of the dialect understand the format.
  package func takes(_ format: WireFormat) -> Bool { formats.contains { $0 == format } }

  /// `w(raw|audiofork)`.
  package static var optionForm: Bytes { Bytes(text: "w(") + names(separatedBy: "|", last: "|") + Bytes(text: ")") }

  /// `raw or audiofork`.
  package static var settingForm: Bytes { names(separatedBy: ", ", last: " or ") }

  /// The help of option `w`.
  package static var optionHelp: Bytes {
    var help = Bytes(text: "Dialect: what is said on the wire.")
    for traits in all {
      help.append(" ")
      help.append(traits.name)
      help.append(": ")
      help.append(traits.help)
      help.append(".")
    }
    return help + defaultSentence
  }

  /// The help of the key `dialect`.
  package static var settingHelp: Bytes { Bytes(text: "What is said on the wire, as option w.") + defaultSentence }

  /// The help of the key `align`.
  package static var alignHelp: Bytes {
    var help = Bytes(
      text:
        """
        Milliseconds that a direction waits for the other. What one party says while the other is silent, and the last \
        words before both are, leave at most this and 20 ms after they were captured. Audio of the other direction that \
        is later than this is placed behind fill and not lost.
        """)
    help.append(" Default: ")
    if let first = all.first { help.append(decimal: first.alignMilliseconds) }
    for traits in all where traits.alignMilliseconds != all.first?.alignMilliseconds {
      help.append("; ")
      help.append(decimal: traits.alignMilliseconds)
      help.append(" with dialect ")
      help.append(traits.name)
    }
    return help + Bytes(text: ".")
  }

  private static var defaultSentence: Bytes {
    var sentence = Bytes(text: " Default: ")
    if let traits = all.first { sentence.append(traits.name) }
    return sentence + Bytes(text: ".")
  }

  private static func names(separatedBy separator: StaticString, last: StaticString) -> Bytes {
    var names = Bytes()
    for (index, traits) in all.enumerated() {
      if index > 0 { names.append(index == all.count &- 1 ? last : separator) }
      names.append(traits.name)
    }
    return names
  }
}

extension ForkOptions {
  /// The traits of the fork's dialect.
  package var dialectTraits: DialectTraits {
    // Each dialect has an entry; a test sees to it.
    DialectTraits.all.first { $0.dialect == dialect } ?? DialectTraits(dialect: dialect, name: "", help: "")
  }

  /// Whether the server is told of DTMF digits.
  package var tellsDigits: Bool { sendsDigits && dialectTraits.wantsDigits }
}
