// SPDX-License-Identifier: Apache-2.0
internal import NIOCore
internal import Synchronization

/// Asks a connection to end: a stream by Close 1001, a connection that is not yet a WebSocket at once.
struct ReceiverStops: Sendable {}

/// The open connections, and those whose files are still being finished. Any thread may call it.
final class ConnectionRegistry: Sendable {
  private struct State {
    var isStopping = false
    var numbersGiven = 0
    var channels: [Int: any Channel] = [:]
    var idle: CheckedContinuation<Void, Never>?
  }

  private let state = Mutex(State())

  /// Adds a connection and gives it its number; nil once the receiver is stopping.
  func add(_ channel: any Channel) -> Int? {
    state.withLock { state in
      guard !state.isStopping else { return nil }
      state.numbersGiven += 1
      state.channels[state.numbersGiven] = channel
      return state.numbersGiven
    }
  }

  /// Removes a connection whose file, if it had one, is complete.
  func remove(_ number: Int) {
    let idle = state.withLock { state -> CheckedContinuation<Void, Never>? in
      state.channels[number] = nil
      guard state.channels.isEmpty else { return nil }
      defer { state.idle = nil }
      return state.idle
    }
    idle?.resume()
  }

  /// Asks every connection to end and returns when the last one has been removed. To be called once.
  func stop() async {
    let channels = state.withLock { state in
      state.isStopping = true
      return Array(state.channels.values)
    }
    for channel in channels { channel.pipeline.fireUserInboundEventTriggered(ReceiverStops()) }
    await withCheckedContinuation { continuation in
      let isIdle = state.withLock { state in
        if !state.channels.isEmpty { state.idle = continuation }
        return state.channels.isEmpty
      }
      if isIdle { continuation.resume() }
    }
  }
}
