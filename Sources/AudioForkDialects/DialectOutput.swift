// SPDX-License-Identifier: Apache-2.0

/// What a dialect has made of one event: messages for the server, and actions for the engine, each in order. Its
/// storage is used again and again.
package struct DialectOutput: Sendable {
  private struct Message {
    var isText = false
    var payload: [UInt8] = []
  }

  private var messages: [Message] = []
  /// How many of them belong to this event; the others are storage.
  private var count = 0
  /// What the engine is to do.
  package private(set) var actions: [ServerAction] = []
  /// Bytes of captured audio in the messages, without headers and before an encoding as text.
  package private(set) var audioBytes = 0

  package init() {}

  package var isEmpty: Bool { count == 0 && actions.isEmpty }

  /// Forgets messages and actions, and keeps their storage.
  package mutating func removeAll() {
    count = 0
    audioBytes = 0
    if !actions.isEmpty { actions.removeAll(keepingCapacity: true) }
  }

  // MARK: - For dialects

  /// Adds a binary message. `write` appends to an empty payload.
  @inline(__always)
  package mutating func binary(audioBytes: Int = 0, _ write: (inout [UInt8]) -> Void) {
    self.audioBytes &+= audioBytes
    write(&messages[begin(isText: false)].payload)
  }

  /// Adds a text message. `write` appends UTF-8 to an empty payload.
  @inline(__always)
  package mutating func text(audioBytes: Int = 0, _ write: (inout [UInt8]) -> Void) {
    self.audioBytes &+= audioBytes
    write(&messages[begin(isText: true)].payload)
  }

  /// Adds a text message.
  package mutating func text(_ text: String) { self.text { $0.append(contentsOf: text.utf8) } }

  /// Adds an action.
  package mutating func act(_ action: ServerAction) { actions.append(action) }

  private mutating func begin(isText: Bool) -> Int {
    let index = count
    if index == messages.count { messages.append(Message()) }
    messages[index].isText = isText
    messages[index].payload.removeAll(keepingCapacity: true)
    count &+= 1
    return index
  }

  // MARK: - For the connection

  /// Calls `send` for each message. It may change the payload, which is worth nothing afterwards.
  @inline(__always)
  package mutating func sendMessages(_ send: (_ payload: inout [UInt8], _ isText: Bool) -> Void) {
    for index in 0..<count { send(&messages[index].payload, messages[index].isText) }
    count = 0
  }

  /// The messages, for tests and golden transcripts.
  package var shownMessages: [ShownMessage] {
    messages.prefix(count).map {
      $0.isText ? .text(String(decoding: $0.payload, as: UTF8.self)) : .binary($0.payload)
    }
  }

  /// A message of ours as a value.
  package enum ShownMessage: Sendable, Equatable {
    case text(String)
    case binary([UInt8])
  }
}
