// SPDX-License-Identifier: Apache-2.0
package import AudioForkLink
internal import AudioForkSurface

extension ForkCounters {
  /// Sample frames sent at the wire rate, fill included.
  package var position: UInt64 {
    get { self[.position] }
    set { self[.position] = newValue }
  }
  package var fill: UInt64 {
    get { self[.fill] }
    set { self[.fill] = newValue }
  }
  /// Captured samples reported as gaps.
  package var lost: UInt64 {
    get { self[.lost] }
    set { self[.lost] = newValue }
  }
  package var gaps: UInt64 {
    get { self[.gaps] }
    set { self[.gaps] = newValue }
  }
  package var reconnects: UInt64 {
    get { self[.reconnects] }
    set { self[.reconnects] = newValue }
  }
  /// Audio bytes written to sockets, repeats included.
  package var bytes: UInt64 {
    get { self[.bytes] }
    set { self[.bytes] = newValue }
  }
  package var lagMilliseconds: UInt64 {
    get { self[.lag] }
    set { self[.lag] = newValue }
  }
  /// Position up to which delivery is confirmed.
  package var confirmed: UInt64 {
    get { self[.confirmed] }
    set { self[.confirmed] = newValue }
  }
  /// Captured samples, summed over the directions.
  package var captured: UInt64 {
    get { self[.captured] }
    set { self[.captured] = newValue }
  }
  /// Captured samples in the confirmed part of the stream, summed over the directions. When the fork has ended, this
  /// and `lost` together are `captured`.
  package var delivered: UInt64 {
    get { self[.delivered] }
    set { self[.delivered] = newValue }
  }
  /// Captured samples of each direction that the confirmed part of the stream has passed, gaps included.
  package var accountedIn: UInt64 {
    get { self[.accountedIn] }
    set { self[.accountedIn] = newValue }
  }
  package var accountedOut: UInt64 {
    get { self[.accountedOut] }
    set { self[.accountedOut] = newValue }
  }
  /// Captured audio that is not confirmed.
  package var undeliveredMilliseconds: UInt64 {
    get { self[.undelivered] }
    set { self[.undelivered] = newValue }
  }
  /// By how much `in` is placed later than `out`, beyond their media times.
  package var skewMilliseconds: Int64 {
    get { Int64(bitPattern: self[.skew]) }
    set { self[.skew] = UInt64(bitPattern: newValue) }
  }
  /// Text messages of the server that were dropped.
  package var dropped: UInt64 {
    get { self[.dropped] }
    set { self[.dropped] = newValue }
  }
  /// Audio that was not sent is being overwritten in the ring.
  package var isLosing: Bool {
    get { self[.losing] != 0 }
    set { self[.losing] = newValue ? 1 : 0 }
  }
}
