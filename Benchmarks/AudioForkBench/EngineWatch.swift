// SPDX-License-Identifier: Apache-2.0
internal import AudioForkLink
internal import CAudioForkABI
internal import Synchronization

/// What an engine says of itself and of the honest fork.
final class EngineWatch: Sendable {
  private struct State {
    var lastBeat: Int64 = 0
    var longestSilence: Int64 = 0
    var gaps = 0
    var ends = 0
    var hostileEnds = 0
  }

  private let honest: [UInt8]
  private let state = Mutex(State())

  init(honest: String) { self.honest = Array(honest.utf8) }

  /// From now on silence counts.
  func begin() { state.withLock { $0.lastBeat = af_now_ns() } }

  func received(_ message: LinkMessage) {
    let isHonest = message.fields.bytes(.id) == honest
    state.withLock { state in
      switch message.kind {
      case .heartbeat where state.lastBeat > 0:
        let now = af_now_ns()
        state.longestSilence = max(state.longestSilence, now - state.lastBeat)
        state.lastBeat = now
      case .gap where isHonest: state.gaps += 1
      case .ended: if isHonest { state.ends += 1 } else { state.hostileEnds += 1 }
      default: break
      }
    }
  }

  func fill(_ sample: inout HostileBench.Sample) {
    state.withLock { state in
      sample.silence = Double(max(state.longestSilence, af_now_ns() - state.lastBeat)) / 1e6
      (sample.gaps, sample.ends, sample.hostileEnds) = (state.gaps, state.ends, state.hostileEnds)
    }
  }
}
