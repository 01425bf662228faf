// SPDX-License-Identifier: Apache-2.0
package import AudioForkWebSocket
internal import NIOCore
internal import Synchronization

/// How many attempts to connect to one host may be under way at the same time: when a server comes back, a thousand
/// forks don't shake its hand at once. First come, first served. Shared by all loops.
package final class AttemptAdmission: Sendable {
  /// Attempts to one host and port that may be under way together.
  package static let attemptsMax = 32

  /// Lets one attempt in; given back when it is over, or no longer wanted. On one event loop.
  final class Ticket {
    private let admission: AttemptAdmission
    private let host: String
    private let number: UInt64
    /// Whether the attempt may begin at once.
    let isAdmitted: Bool
    private var isReturned = false

    fileprivate init(_ admission: AttemptAdmission, _ host: String, _ number: UInt64, isAdmitted: Bool) {
      self.admission = admission
      self.host = host
      self.number = number
      self.isAdmitted = isAdmitted
    }

    /// The attempt is over: it has come to a connection, or to nothing. Again: nothing.
    func giveBack() {
      guard !isReturned else { return }
      isReturned = true
      admission.leave(host, number)
    }

    deinit { giveBack() }
  }

  private struct Host {
    var underWay: Set<UInt64> = []
    var waiting: [(number: UInt64, loop: any EventLoop, begin: @Sendable () -> Void)] = []
  }

  private struct State {
    var hosts: [String: Host] = [:]
    var numbers: UInt64 = 0
  }

  private let state = Mutex(State())
  private let attemptsMax: Int

  package init(attemptsMax: Int = AttemptAdmission.attemptsMax) { self.attemptsMax = max(attemptsMax, 1) }

  /// Asks for an attempt to `host` (with its port). Where there is no room for it now, `begin` is called on the loop
  /// when it may begin; it may have given its ticket back just then.
  func ask(_ host: String, on loop: any EventLoop, _ begin: @escaping () -> Void) -> Ticket {
    let bound = NIOLoopBound(begin, eventLoop: loop)
    let (number, isIn) = state.withLock { state -> (UInt64, Bool) in
      state.numbers &+= 1
      let number = state.numbers
      if state.hosts[host, default: Host()].underWay.count < attemptsMax {
        state.hosts[host, default: Host()].underWay.insert(number)
        return (number, true)
      }
      state.hosts[host, default: Host()].waiting.append((number, loop, { bound.value() }))
      return (number, false)
    }
    return Ticket(self, host, number, isAdmitted: isIn)
  }

  private func leave(_ host: String, _ number: UInt64) {
    let next = state.withLock { state -> (loop: any EventLoop, begin: @Sendable () -> Void)? in
      guard var entry = state.hosts[host] else { return nil }
      defer { state.hosts[host] = entry.underWay.isEmpty && entry.waiting.isEmpty ? nil : entry }
      guard entry.underWay.remove(number) != nil else {
        entry.waiting.removeAll { $0.number == number }
        return nil
      }
      guard !entry.waiting.isEmpty else { return nil }
      let next = entry.waiting.removeFirst()
      entry.underWay.insert(next.number)
      return (next.loop, next.begin)
    }
    if let next { next.loop.execute(next.begin) }
  }
}

/// What all forks of an engine share.
package struct EngineSurroundings: Sendable {
  /// Nil: forks to wss:// end at once.
  package var tls: (any TLSProvider)?
  package var names: NameResolution
  package var admission: AttemptAdmission
  package var spools: SpoolStore

  package init(
    tls: (any TLSProvider)? = nil, names: NameResolution = NameResolution(),
    admission: AttemptAdmission = AttemptAdmission(), spools: SpoolStore = SpoolStore()
  ) {
    self.tls = tls
    self.names = names
    self.admission = admission
    self.spools = spools
  }
}
