// SPDX-License-Identifier: Apache-2.0
package import AudioForkMedia
package import AudioForkSurface

/// A message of the server, whole.
package enum ServerMessage: Sendable, Equatable {
  case text(String)
  case binary([UInt8])
}

/// What the server asks of the engine, whatever the dialect calls it. One message may ask for several things.
package enum ServerAction: Sendable, Equatable {
  /// The server has the stream up to this position, and audio is to begin there. Once, before `isReady`.
  case resume(Position)
  /// The server has the stream up to this position.
  case acknowledged(Position, AcknowledgementLevel)
  /// For the dialplan.
  case text(String)
  /// What was recognized in the audio.
  case transcript(Transcript)
  /// The server has said its last word behind `finish`: the connection may be closed.
  case finished
  /// Close the connection now, although the stream has not ended; the fork ends in order.
  case close
  /// The server reports an error or a warning, and the connection continues. For the log, in the server's words. An
  /// error before a Close belongs into `meaning(ofClose:reason:)` as well.
  case complaint(String)
  /// The message breaks the dialect's rules. The text names it, for the log and the Close frame.
  case violation(String)
  /// For the call.
  case call(CallAction)
  /// For the audio that the server sends into the call.
  case playback(PlaybackAction)
}

/// What the server wants done with the call.
package enum CallAction: Sendable, Equatable {
  case hangUp
  /// Send these DTMF digits to the party.
  case sendDigits(String)
  /// Continue in the dialplan at this place, in the server's words.
  case redirect(String)
  /// Run something for the server and tell it the result; the text is the server's message.
  case toolCall(String)
}

/// What the server wants done with its audio.
package enum PlaybackAction: Sendable, Equatable {
  case play(PlaybackAudio)
  /// Report `PlaybackReport.markPlayed` when all audio before it was played.
  case mark(String)
  /// Drop what is queued. `keepsMarks`: marks in it are reported as cleared; else they are dropped too.
  case clear(keepsMarks: Bool)
  /// Drop the marks, and no audio.
  case forgetMarks
  /// Keep what is queued until `proceed`.
  case pause
  case proceed
  /// Which way audio goes from now on: `in` only to the server, `out` only from it, `both`.
  case setDirection(ForkDirection)
  /// Report `PlaybackReport.status`.
  case reportStatus
  /// Report `PlaybackReport.drained`, once, when the queue is empty.
  case reportDrained
}

/// Audio of the server for the call.
package struct PlaybackAudio: Sendable, Equatable {
  package var bytes: [UInt8]
  package var encoding: SampleEncoding
  package var rateHertz: Int
  /// What the server calls the piece of speech that it belongs to; empty: nothing.
  package var item: String

  package init(_ bytes: [UInt8], encoding: SampleEncoding, rateHertz: Int, item: String = "") {
    self.bytes = bytes
    self.encoding = encoding
    self.rateHertz = rateHertz
    self.item = item
  }
}

/// What has become of the server's audio.
package enum PlaybackReport: Sendable, Equatable {
  /// So much of an item has been played so far. Comes at least when the item has ended, and before `cleared`: a server
  /// that is told what was heard is told what was true when the queue was emptied.
  case played(item: String, milliseconds: UInt64)
  case markPlayed(String)
  case markCleared(String)
  /// The queue was emptied by `clear`.
  case cleared
  /// The queue is empty; answers `reportDrained`.
  case drained
  /// The queue is nearly full: the server should send no more until `low`.
  case high
  case low
  /// Answers `reportStatus`.
  case status(queuedMilliseconds: UInt64, isPaused: Bool)
}

/// What a recognizer has understood: one shape for all of them.
package struct Transcript: Sendable, Equatable {
  /// Whose words they are.
  package enum Speaker: String, Sendable {
    /// A direction of the stream: who is heard on `in`, and who on `out`.
    case `in`, out
    /// The server itself, in audio that it sends into the call.
    case server
  }

  package var text: String
  /// Nil: the server did not say; they are of the one direction that it gets, or of the sum of both.
  package var speaker: Speaker?
  /// False: it may still change.
  package var isFinal: Bool
  /// Where in the stream the words begin and end, in sample frames; nil: the server did not say.
  package var start: Position?
  package var end: Position?
  /// 0 to 1; nil: the server did not say.
  package var confidence: Double?

  package init(
    _ text: String, speaker: Speaker? = nil, isFinal: Bool, start: Position? = nil, end: Position? = nil,
    confidence: Double? = nil
  ) {
    self.text = text
    self.speaker = speaker
    self.isFinal = isFinal
    self.start = start
    self.end = end
    self.confidence = confidence
  }
}

/// What a server has done with audio that it acknowledges.
package enum AcknowledgementLevel: String, Sendable, CaseIterable, Comparable {
  /// It has taken it: it survives the connection, and the server's process as far as the server can say.
  case received
  /// It is on the disk: it survives a crash of the machine.
  case persisted

  package static func < (first: Self, second: Self) -> Bool { first == .received && second == .persisted }
}
