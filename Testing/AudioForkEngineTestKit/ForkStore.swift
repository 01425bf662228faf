// SPDX-License-Identifier: Apache-2.0
internal import NIOConcurrencyHelpers
package import NIOWebSocket

/// The server's side of audiofork.v1 for one fork, written from its page alone.
package final class ForkStore: Sendable {
  package struct State: Sendable {
    /// The stream from position 0 on.
    package var samples: [Int16] = []
    /// Sample frames received twice, and missing positions.
    package var duplicates = 0
    package var holes = 0
    /// The client's text messages.
    package var texts: [String] = []
    /// A wrong position for `resume`, if the test wants one.
    package var resumesAt: Int?
    package var resumes = true
    package var acknowledges = true
    /// Whether an ack follows `resume` at once.
    package var acknowledgesResume = false
    package var level = "received"
    package var acknowledged = 0
  }

  private let state = NIOLockedValueBox(State())

  package init(_ change: (inout State) -> Void = { _ in }) { state.withLockedValue { change(&$0) } }

  package var now: State { state.withLockedValue { $0 } }
  package func change(_ change: (inout State) -> Void) { state.withLockedValue { change(&$0) } }

  /// Takes a frame; returns the texts to answer.
  package func received(_ opcode: WebSocketOpcode, _ payload: [UInt8]) -> [String] {
    state.withLockedValue { state in
      switch opcode {
      case .text:
        let text = String(decoding: payload, as: UTF8.self)
        state.texts.append(text)
        guard text.hasPrefix(#"{"type":"start""#), state.resumes else { return [] }
        let position = state.resumesAt ?? state.samples.count
        let ack = #"{"type":"ack","position":\#(position),"level":"\#(state.level)"}"#
        return [#"{"type":"resume","position":\#(position)}"#] + (state.acknowledgesResume ? [ack] : [])
      case .binary where payload.count >= 8:
        let position = payload[0..<8].reduce(0) { $0 << 8 | Int($1) }
        let samples = stride(from: 8, to: payload.count - 1, by: 2).map {
          Int16(truncatingIfNeeded: Int(payload[$0]) | Int(payload[$0 + 1]) << 8)
        }
        if position > state.samples.count {
          state.holes += position - state.samples.count
          state.samples += [Int16](repeating: 0, count: position - state.samples.count)
        }
        let known = min(state.samples.count - position, samples.count)
        state.duplicates += known
        state.samples += samples.dropFirst(known)
        guard state.acknowledges else { return [] }
        state.acknowledged = state.samples.count
        return [#"{"type":"ack","position":\#(state.samples.count),"level":"\#(state.level)"}"#]
      default: return []
      }
    }
  }
}

/// Stores for many forks, by fork id.
package final class ForkStores: Sendable {
  private let stores = NIOLockedValueBox<[String: ForkStore]>([:])

  package init() {}

  package subscript(id: String) -> ForkStore.State { store(of: id).now }

  func store(of id: String) -> ForkStore {
    stores.withLockedValue { stores in
      let store = stores[id] ?? ForkStore()
      stores[id] = store
      return store
    }
  }

  /// Returns the store for the id in this start message.
  func store(startedBy text: String) -> ForkStore? {
    guard text.hasPrefix(#"{"type":"start""#), let field = text.firstRange(of: #""id":""#) else { return nil }
    return store(of: String(text[field.upperBound...].prefix { $0 != "\"" }))
  }
}
