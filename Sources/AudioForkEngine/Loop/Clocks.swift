// SPDX-License-Identifier: Apache-2.0
internal import AudioForkMedia
internal import CAudioForkABI

extension MonotonicTime {
  /// CLOCK_MONOTONIC, the clock of a ring's epoch. A call into the vDSO, no system call.
  static var now: MonotonicTime { MonotonicTime(nanoseconds: af_now_ns()) }
}

extension WallTime {
  /// CLOCK_REALTIME.
  static var now: WallTime { WallTime(nanoseconds: af_wall_ns()) }
}
