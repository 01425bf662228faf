// SPDX-License-Identifier: Apache-2.0
internal import AudioForkBytes
package import AudioForkSurface

/// One stream as its events describe it.
package struct StreamFacts: Equatable, Sendable {
  /// Counts connections from 1; names the stream in the events of one run.
  package let number: Int
  package let request: StreamRequest
  /// The client's address and port.
  package let remote: String
  /// What `start` said, on a connection of `audiofork.v1`.
  package var start: ForkStart?

  package init(number: Int, request: StreamRequest, remote: String) {
    self.number = number
    self.request = request
    self.remote = remote
  }
}

extension StreamFacts {
  /// Of the file.
  package var rateHertz: Int { start?.rateHertz ?? request.rateHertz }
  package var channelCount: Int { start?.channelCount ?? request.channelCount }
  package var encoding: SampleEncoding { start?.encoding ?? request.encoding }
  package var forkID: String { start?.id ?? request.forkID }
}

/// How far a stream is.
package struct StreamProgress: Equatable, Sendable {
  /// Sample frames in the file.
  package var frameCount = 0
  /// Binary messages received in full.
  package var messages = 0
  /// Text messages received.
  package var texts = 0
  /// Sample frames that came although the file had them (`audiofork.v1`).
  package var duplicates: UInt64 = 0
  /// Level since the last progress event; in `ended`, of the whole stream.
  package var level = LevelMeter()

  package init() {}

  /// Length of the audio in the file.
  package func seconds(_ facts: StreamFacts) -> Double {
    Double(frameCount) / Double(facts.rateHertz)
  }

  /// Bytes of samples in the file.
  package func bytes(_ facts: StreamFacts) -> Int { frameCount * 2 * facts.channelCount }
}

/// What the receiver tells.
package enum ReceiverEvent: Equatable, Sendable {
  /// Connections are accepted. `url` is where; `folder` is where recordings go.
  case listening(url: String, port: Int, folder: String)
  /// A stream began; `file` is its recording.
  case started(StreamFacts, file: String)
  /// Something has changed since the last one; at most one in each progress interval.
  case progress(StreamFacts, StreamProgress)
  /// A text message arrived.
  case text(StreamFacts, String)
  /// The client said something about its fork's stream (`audiofork.v1`).
  case message(StreamFacts, ForkMessage)
  /// The stream is over and its file complete. No file: it could not be created. `trouble`: why recording stopped.
  case ended(StreamFacts, StreamProgress, StreamEnding, file: String?, trouble: String?)
  /// Something about this receiver that its operator should change.
  case warning(String)
  /// Events that nobody read in time and that were dropped.
  case dropped(Int)
}

extension ReceiverEvent {
  /// Most bytes of a client's text in an event. What is longer is cut, and ends with an ellipsis.
  package static let textBytesMax = 16 * 1024

  /// The event of a text message.
  static func received(_ facts: StreamFacts, _ text: String) -> ReceiverEvent { .text(facts, cut(text)) }

  /// The event of another message of `audiofork.v1`.
  static func received(_ facts: StreamFacts, _ message: ForkMessage) -> ReceiverEvent {
    switch message {
    case .text(let text): .message(facts, .text(cut(text)))
    case .gap(let direction, let position, let start, let samples, let reason):
      .message(
        facts,
        .gap(direction: cut(direction), position: position, start: start, samples: samples, reason: cut(reason)))
    case .fill(let direction, let position, let frames):
      .message(facts, .fill(direction: cut(direction), position: position, frames: frames))
    case .mute(let direction, let position, let frames):
      .message(facts, .mute(direction: cut(direction), position: position, frames: frames))
    case .digit(let direction, let position, let digit, let milliseconds):
      .message(
        facts, .digit(direction: cut(direction), position: position, digit: cut(digit), milliseconds: milliseconds))
    case .stop(let position, let reason): .message(facts, .stop(position: position, reason: cut(reason)))
    case .unknown(let type): .message(facts, .unknown(type: cut(type)))
    case .start: .message(facts, message)
    }
  }

  private static func cut(_ text: String) -> String {
    guard text.utf8.count > textBytesMax else { return text }
    return String(
      decoding: AudioForkBytes.cut(Bytes(text.utf8.prefix(textBytesMax + 1)), to: textBytesMax), as: UTF8.self) + "…"
  }

  /// About how many bytes it takes while it waits for standard output.
  var byteCount: Int {
    func count(_ facts: StreamFacts) -> Int {
      let request = facts.request
      return request.path.utf8.count + request.forkID.utf8.count + request.channel.utf8.count
        + request.notes.reduce(0) { $0 + $1.utf8.count }
    }
    let fixed = 512
    switch self {
    case .listening, .dropped, .progress: return fixed
    case .warning(let text): return fixed + text.utf8.count
    case .started(let facts, let file): return fixed + count(facts) + file.utf8.count
    case .text(let facts, let text): return fixed + count(facts) + text.utf8.count
    case .message(let facts, let message): return fixed + count(facts) + message.byteCount
    case .ended(let facts, _, let ending, let file, let trouble):
      return fixed + count(facts) + ending.reason.utf8.count + (file?.utf8.count ?? 0) + (trouble?.utf8.count ?? 0)
    }
  }

  /// Whether a client makes it at will, as often as it likes.
  var isText: Bool {
    switch self {
    case .text, .message: true
    case .listening, .started, .progress, .ended, .warning, .dropped: false
    }
  }
}
