// SPDX-License-Identifier: Apache-2.0
internal import NIOCore

/// The beginning of the kernel's `struct tcp_info` (linux/tcp.h), up to `tcpi_bytes_acked` at offset 120. The C
/// library's copy ends before that. The kernel fills as many bytes as it is asked for.
struct TCPInformation: Sendable {
  /// `tcpi_state`, `tcpi_ca_state`, `tcpi_retransmits`, `tcpi_probes` and four more, a byte each.
  private var states: UInt64 = 0
  private var timers: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0, 0, 0)
  /// `tcpi_last_ack_recv` and `tcpi_pmtu`, 32 bits each.
  private var received: UInt64 = 0
  private var rest: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0, 0, 0, 0)
  /// Bytes that the peer has acknowledged; our SYN counts as one.
  private(set) var acknowledgedBytes: UInt64 = 0

  /// Milliseconds since the peer's kernel has acknowledged anything.
  var silentMilliseconds: UInt64 { received & 0xFFFF_FFFF }

  /// Whether the kernel repeats itself and has had no acknowledgement for so long. A window that the peer closed is no
  /// such case: its probes are answered and are no retransmissions.
  func isUnanswered(for milliseconds: UInt64) -> Bool {
    let retransmissions = states &>> 16 & 0xFF
    return retransmissions > 0 && silentMilliseconds >= milliseconds
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
