// SPDX-License-Identifier: GPL-2.0-or-later
package import CAudioForkABI

/// Limits of the media-time rule: docs/internals/timeline.md, and timeline_model.py, the same rule as a program.
package enum MediaTimeLimit {
  /// Later than this opens a hole.
  package static let holeNanoseconds: Int64 = 80_000_000
  /// Later than this, with unbroken RTP timing, it is we who were late and not the source.
  package static let stallNanoseconds: Int64 = 160_000_000
  /// How far a direction may run ahead of the clock.
  package static let aheadNanoseconds: Int64 = 2_000_000_000
  /// Slack for a jump of RTP time beyond how late the frame is.
  package static let jumpSlackNanoseconds: Int64 = 20_000_000
}

/// Where a frame goes on its direction's timeline.
package enum MediaPlacement {
  /// It continues the run.
  case continues
  /// It starts a run at this media time, nanoseconds since the epoch.
  case startsRun(Int64)
  /// It is more than two seconds ahead of the clock: counted and stored, not rendered.
  case ahead
}

/// `count` samples at `rate` as nanoseconds, rounded down, without multiplying into an overflow.
@inline(__always)
package func nanoseconds(ofSamples count: UInt64, rate: UInt32) -> Int64 {
  // In C, which multiplies 64 bits by 64 to 128 without calling the runtime.
  Int64(truncatingIfNeeded: af_nanoseconds(count, rate))
}

/// Decides where a frame of `samples` samples lies, and moves the direction's RTP expectation on.
///
/// Called in the audio path: no trap, no allocation. `arrival` is nanoseconds since the epoch, `ts` the frame's
/// RTP time in milliseconds or nil where the frame has none or its source is unknown.
@inline(__always)
package func placeFrame(
  _ state: inout af_direction_state, arrival: Int64, samples: UInt64, rate: UInt32, ts: Int64?
) -> MediaPlacement {
  let duration = nanoseconds(ofSamples: samples, rate: rate)
  guard state.rate_hz != 0 else {
    expect(&state, ts: ts, duration: duration)
    let start = arrival &- duration
    return .startsRun(start > 0 ? start : 0)
  }
  let end = state.run_ns &+ nanoseconds(ofSamples: state.run_samples, rate: state.rate_hz)
  let late = arrival &- duration &- end
  var jump: Int64 = -1
  if let ts, state.knows_ts != 0 {
    jump = (ts &- state.next_ts) &* 1_000_000
    if ts &- state.next_ts > 3_600_000 || ts < state.next_ts { jump = -1 }
  }
  expect(&state, ts: ts, duration: duration)
  let stalled = state.stalled != 0
  if ts == nil || late <= MediaTimeLimit.holeNanoseconds { state.stalled = 0 }
  if jump > 0, jump <= late &+ MediaTimeLimit.jumpSlackNanoseconds {
    return .startsRun(end &+ jump)
  }
  if jump == 0,
    late > MediaTimeLimit.stallNanoseconds || (stalled && late > MediaTimeLimit.holeNanoseconds)
  {
    state.stalled = 1
    return rate == state.rate_hz ? .continues : .startsRun(end)
  }
  if late > MediaTimeLimit.holeNanoseconds { return .startsRun(arrival &- duration) }
  if late < 0 &- MediaTimeLimit.aheadNanoseconds { return .ahead }
  return rate == state.rate_hz ? .continues : .startsRun(end)
}

@inline(__always)
private func expect(_ state: inout af_direction_state, ts: Int64?, duration: Int64) {
  guard let ts else {
    // A frame without timing does not change the expectation.
    return
  }
  state.next_ts = ts &+ Int64(truncatingIfNeeded: af_milliseconds(duration))
  state.knows_ts = 1
}
