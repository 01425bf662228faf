// SPDX-License-Identifier: GPL-2.0-or-later
import AudioForkBytes
import AudioForkLink
import AudioForkSurface
import CAsterisk

/// What became of a text for a fork's server.
enum SentText {
  /// On its way. It is lost where the connection breaks at this moment.
  case accepted
  case noSuchFork
  /// There is no connection at the moment.
  case notConnected
  /// More than `textBytesMax`.
  case tooLong
  /// The engine does not take any more at the moment.
  case busy

  /// The outcome for whoever sent it: a sentence without its end.
  var explanation: StaticString {
    switch self {
    case .accepted: "The text is on its way to the fork's server"
    case .noSuchFork: "There is no such fork, or it has ended"
    case .notConnected: "The fork has no connection to its server at the moment; the text was not sent"
    case .tooLong: "A text has at most 65536 bytes; it was not sent"
    case .busy: "Too many texts are waiting to be sent; try again in a moment"
    }
  }
}

/// Longest text for a server, bytes.
let textBytesMax = 65_536

/// Texts for servers that wait for the control thread.
struct OutgoingTexts {
  /// Link messages.
  private var messages = [Bytes]()
  private var byteCount = 0

  /// With more bytes waiting the engine has stopped reading, and no text is accepted.
  private static let byteCountMax = 262_144

  /// Adds a message. Returns false if too much is waiting.
  mutating func append(_ message: Bytes) -> Bool {
    guard byteCount &+ message.count <= OutgoingTexts.byteCountMax else { return false }
    messages.append(message)
    byteCount &+= message.count
    return true
  }

  /// Returns the messages that wait, and removes them.
  mutating func takeAll() -> [Bytes] {
    let taken = messages
    messages = []
    byteCount = 0
    return taken
  }
}

/// Hands a text for its server to the fork with this id. Never waits.
func sendText(_ id: Bytes, _ text: Bytes) -> SentText {
  guard text.count <= textBytesMax else { return .tooLong }
  let message = MessageFromModule.sendText(id: id, text: text).encoded
  let outcome = withState { state -> SentText in
    guard let fork = state.forks.find(id), fork.pointee.ended == 0 else { return .noSuchFork }
    guard fork.state == .streaming || fork.state == .draining else { return .notConnected }
    return state.outgoingTexts.append(message) ? .accepted : .busy
  }
  if case .accepted = outcome { Control.wake() }
  return outcome
}
