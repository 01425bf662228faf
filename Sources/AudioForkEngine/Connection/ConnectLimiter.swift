// SPDX-License-Identifier: Apache-2.0
internal import NIOConcurrencyHelpers
package import NIOCore

/// Limits how many forks connect to one host and port at the same time, so that a server that comes back does not get
/// a thousand TLS handshakes at once. First come, first served. Shared by all loops.
///
/// An attempt holds its place until TCP and TLS are established, it fails, or `placeMax` has passed. So a silent server
/// delays other forks by at most `placeMax`.
package final class ConnectLimiter: Sendable {
  /// Attempts to one host and port that may be under way together.
  package static let attemptsMax = 32
  /// How long an attempt keeps its place at most.
  package static let placeMax = TimeAmount.seconds(2)

  /// Lets one attempt in; given back when it is over, or no longer wanted. On one event loop.
  final class Ticket {
    private let limiter: ConnectLimiter
    private let host: String
    private let number: UInt64
    /// Whether the attempt may begin at once.
    let isAdmitted: Bool
    private var isReturned = false

    fileprivate init(_ limiter: ConnectLimiter, _ host: String, _ number: UInt64, isAdmitted: Bool) {
      self.limiter = limiter
      self.host = host
      self.number = number
      self.isAdmitted = isAdmitted
    }

    /// The attempt needs its place no more. Again: nothing.
    func giveBack() {
      guard !isReturned else { return }
      isReturned = true
      limiter.release(host, number)
    }

    deinit { giveBack() }
  }

  private struct Waiter {
    let loop: any EventLoop
    let begin: @Sendable () -> Void
  }

  /// Thousands may wait for one host: nothing here takes longer for that.
  private struct Host {
    var underWay: Set<UInt64> = []
    var waiting: [UInt64: Waiter] = [:]
    /// The numbers of those who wait, in order; of those who don't any more too. From `head` on.
    var order: [UInt64] = []
    var head = 0

    mutating func next() -> (number: UInt64, waiter: Waiter)? {
      if head > 64, head > order.count / 2 {
        order.removeFirst(head)
        head = 0
      }
      while head < order.count {
        let number = order[head]
        head += 1
        if let waiter = waiting.removeValue(forKey: number) { return (number, waiter) }
      }
      order = []
      head = 0
      return nil
    }
  }

  private struct State {
    var hosts: [String: Host] = [:]
    var numbers: UInt64 = 0
  }

  private let state = NIOLockedValueBox(State())
  private let attemptsMax: Int

  let placeMax: TimeAmount

  package init(attemptsMax: Int = ConnectLimiter.attemptsMax, placeMax: TimeAmount = ConnectLimiter.placeMax) {
    self.attemptsMax = max(attemptsMax, 1)
    self.placeMax = placeMax
  }

  /// Asks for an attempt to `host` (with its port). Where there is no room for it now, `begin` is called on the loop
  /// when it may begin; it may have given its ticket back just then.
  func ask(_ host: String, on loop: any EventLoop, _ begin: @escaping () -> Void) -> Ticket {
    let bound = NIOLoopBound(begin, eventLoop: loop)
    let (number, isIn) = state.withLockedValue { state -> (UInt64, Bool) in
      state.numbers &+= 1
      let number = state.numbers
      if state.hosts[host, default: Host()].underWay.count < attemptsMax {
        state.hosts[host, default: Host()].underWay.insert(number)
        return (number, true)
      }
      state.hosts[host, default: Host()].waiting[number] = Waiter(loop: loop) { bound.value() }
      state.hosts[host, default: Host()].order.append(number)
      return (number, false)
    }
    return Ticket(self, host, number, isAdmitted: isIn)
  }

  private func release(_ host: String, _ number: UInt64) {
    let next = state.withLockedValue { state -> Waiter? in
      guard state.hosts[host]?.underWay.remove(number) != nil else {
        state.hosts[host]?.waiting[number] = nil
        return nil
      }
      guard let next = state.hosts[host]?.next() else {
        if state.hosts[host]?.underWay.isEmpty == true { state.hosts[host] = nil }
        return nil
      }
      state.hosts[host]?.underWay.insert(next.number)
      return next.waiter
    }
    if let next { next.loop.execute(next.begin) }
  }
}
