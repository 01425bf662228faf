// SPDX-License-Identifier: Apache-2.0
package import AudioForkCore

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
  case told(StreamFacts, ForkMessage)
  /// The stream is over and its file complete. No file: it could not be created. `trouble`: why recording stopped.
  case ended(StreamFacts, StreamProgress, StreamEnding, file: String?, trouble: String?)
  /// Events that nobody read in time and that were dropped.
  case dropped(Int)
}
