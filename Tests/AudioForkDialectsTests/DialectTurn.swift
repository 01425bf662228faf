// SPDX-License-Identifier: Apache-2.0
import AudioForkDialects
import AudioForkMedia
import AudioForkSurface

/// What a session made of one event.
struct DialectTurn: Equatable {
  var messages: [DialectOutput.ShownMessage]
  var actions: [ServerAction]
  var audioBytes: Int
}

extension DialectSession {
  /// The output of one call.
  mutating func turn(_ call: (inout Self, inout DialectOutput) -> Void) -> DialectTurn {
    var output = DialectOutput()
    call(&self, &output)
    return DialectTurn(messages: output.shownMessages, actions: output.actions, audioBytes: output.audioBytes)
  }

  /// The messages for one block.
  mutating func sent(
    _ samples: [Int16], channels: Int = 1, at position: Position = .zero, now: MonotonicTime = .start
  ) -> [DialectOutput.ShownMessage] {
    turn { $0.audio(AudioBlock(samples, channelCount: channels, at: position), now: now, into: &$1) }.messages
  }

  /// What the server's text asks for.
  mutating func understood(_ text: String, now: MonotonicTime = .start) -> [ServerAction] {
    turn { $0.received(.text(text), now: now, into: &$1) }.actions
  }
}

extension MonotonicTime {
  /// When connections of tests begin.
  static let start = MonotonicTime(nanoseconds: 1_000_000_000)
}

extension StreamDescription {
  /// A stream of the direction in at 8 kHz.
  static var test: StreamDescription {
    var stream = StreamDescription(
      forkID: "af-1", channel: "PJSIP/100-00000001", uniqueID: "1700000000.1", linkedID: "1700000000.0",
      direction: .in)
    stream.epochMilliseconds = 1_700_000_000_123
    return stream
  }
}
