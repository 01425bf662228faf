// SPDX-License-Identifier: Apache-2.0
package import AudioForkMedia
internal import NIOCore

/// The beginning of the kernel's `struct tcp_info` (linux/tcp.h), up to `tcpi_bytes_acked` at offset 120. The C
/// library's copy ends before that. The kernel fills as many bytes as it is asked for.
package struct TCPInformation: Sendable {
  /// `tcpi_state`, `tcpi_ca_state`, `tcpi_retransmits`, `tcpi_probes`, `tcpi_backoff` and three more, a byte each.
  private var states: UInt64 = 0
  /// Twelve numbers of 32 bits: `tcpi_rto` at offset 8, `tcpi_unacked` at 24 and others.
  private var numbers: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0, 0, 0)
  /// `tcpi_last_ack_recv` and `tcpi_pmtu`, 32 bits each.
  private var received: UInt64 = 0
  private var rest: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0, 0, 0, 0)
  /// Bytes that the peer has acknowledged; our SYN counts as one.
  private(set) var acknowledgedBytes: UInt64 = 0

  init() {}

  /// For tests of `isUnanswered`. `retransmissions` and `probes` are less than 256.
  package init(unacknowledged: UInt32, retransmissions: UInt64, probes: UInt64, silentMilliseconds: UInt32) {
    states = (retransmissions & 0xFF) &<< 16 | (probes & 0xFF) &<< 24
    numbers.2 = UInt64(unacknowledged)
    received = UInt64(silentMilliseconds)
  }

  /// Milliseconds since the peer's kernel has acknowledged anything.
  var silentMilliseconds: UInt64 { received & 0xFFFF_FFFF }

  /// Segments that were sent and are not acknowledged.
  private var unacknowledged: UInt64 { numbers.2 & 0xFFFF_FFFF }
  /// How often the oldest of them was sent again.
  private var retransmissions: UInt64 { states &>> 16 & 0xFF }
  /// Probes of a closed window, or of an idle connection, that were not answered. An answer sets this to 0.
  private var unansweredProbes: UInt64 { states &>> 24 & 0xFF }

  /// Returns true if the path or the peer's kernel is dead: something was sent again twice, and nothing was
  /// acknowledged for `limit`. `waiting`: how long something has waited for an answer. Before that there was nothing to
  /// acknowledge.
  ///
  /// A window that the peer has closed is no such case. Its probes are answered, with up to two minutes between them,
  /// and the first one may be on its way: only the second shows that there was no answer. A peer that closes its window
  /// over a segment under way answers each copy of it, and the kernel counts the first copy alone
  /// (`tcp_retransmit_timer`).
  package func isUnanswered(for limit: Nanoseconds, waiting: Nanoseconds) -> Bool {
    let isRepeating = (unacknowledged > 0 && retransmissions > 1) || unansweredProbes > 1
    return isRepeating && min(.milliseconds(Int64(silentMilliseconds)), waiting) >= limit
  }
}

extension TCPInformation {
  /// Asks the kernel about a channel's TCP connection. Answers nil if the kernel does not tell. The answer comes on the
  /// channel's event loop.
  static func ask(_ channel: (any Channel)?, _ answer: @escaping (TCPInformation?) -> Void) {
    guard let provider = channel as? any SocketOptionProvider else { return answer(nil) }
    let asked: EventLoopFuture<TCPInformation> = provider.unsafeGetSocketOption(level: .tcp, name: .tcp_info)
    asked.assumeIsolated().whenComplete { answer(try? $0.get()) }
  }
}
