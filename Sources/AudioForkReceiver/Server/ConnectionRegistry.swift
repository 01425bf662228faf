// SPDX-License-Identifier: Apache-2.0
internal import NIOCore
internal import Synchronization

/// Asks a connection to end: a stream by Close 1001, a connection that is not yet a WebSocket at once.
struct ReceiverStops: Sendable {}

/// The open connections, and those whose files are still being finished. Any thread may call it.
///
/// Connections that are not yet a WebSocket are counted apart, so that strangers, who get no further than that, cannot
/// take the places of streams. Where too many of them wait, the oldest is closed: an honest one needs milliseconds.
final class ConnectionRegistry: Sendable {
  private struct State {
    var isStopping = false
    var isGivenUp = false
    var numbersGiven = 0
    var handshakes: [Int: any Channel] = [:]
    var streams: [Int: any Channel] = [:]
    var idle: CheckedContinuation<Void, Never>?

    var isEmpty: Bool { handshakes.isEmpty && streams.isEmpty }
  }

  /// Most connections that are not yet a WebSocket.
  static let handshakesMax = 256

  private let streamsMax: Int
  private let state = Mutex(State())

  init(streamsMax: Int) { self.streamsMax = streamsMax }

  /// Adds a connection and gives it its number; nil once the receiver is stopping.
  func add(_ channel: any Channel) -> Int? {
    let (number, oldest) = state.withLock { state -> (Int?, (any Channel)?) in
      guard !state.isStopping else { return (nil, nil) }
      state.numbersGiven += 1
      var oldest: (any Channel)?
      if state.handshakes.count >= ConnectionRegistry.handshakesMax, let first = state.handshakes.keys.min() {
        oldest = state.handshakes.removeValue(forKey: first)
      }
      state.handshakes[state.numbersGiven] = channel
      return (state.numbersGiven, oldest)
    }
    oldest?.close(promise: nil)
    return number
  }

  /// The connection becomes a stream; false where there are too many of them, or the receiver is stopping.
  func admit(_ number: Int) -> Bool {
    state.withLock { state in
      guard !state.isStopping, state.streams.count < streamsMax,
        let channel = state.handshakes.removeValue(forKey: number)
      else { return false }
      state.streams[number] = channel
      return true
    }
  }

  /// Removes a connection whose file, if it had one, is complete.
  func remove(_ number: Int) {
    let idle = state.withLock { state -> CheckedContinuation<Void, Never>? in
      state.handshakes[number] = nil
      state.streams[number] = nil
      return state.isEmpty ? state.idle.take() : nil
    }
    idle?.resume()
  }

  /// Asks every connection to end and returns when the last one has been removed, or when the time is over. To be
  /// called once.
  /// - Returns: streams whose files are not complete.
  func stop(within limit: Duration) async -> Int {
    let channels = state.withLock { state in
      state.isStopping = true
      return Array(state.handshakes.values) + Array(state.streams.values)
    }
    for channel in channels { channel.pipeline.fireUserInboundEventTriggered(ReceiverStops()) }
    // Not a child of this task, which may have been cancelled: that is one way to stop.
    let deadline = Task.detached { [self] in
      try await Task.sleep(for: limit)
      giveUp()
    }
    await withCheckedContinuation { continuation in
      let isIdle = state.withLock { state in
        if !state.isEmpty, !state.isGivenUp {
          state.idle = continuation
          return false
        }
        return true
      }
      if isIdle { continuation.resume() }
    }
    deadline.cancel()
    return state.withLock { $0.streams.count }
  }

  private func giveUp() {
    let idle = state.withLock { state -> CheckedContinuation<Void, Never>? in
      state.isGivenUp = true
      return state.idle.take()
    }
    idle?.resume()
  }
}
