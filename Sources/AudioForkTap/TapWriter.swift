// SPDX-License-Identifier: GPL-2.0-or-later
package import CAudioForkABI

/// One frame as the hook's callback sees it. `samples` points at `count` signed 16-bit samples, any alignment.
package struct CapturedFrame {
  package var direction: UInt32
  package var samples: UnsafeRawPointer
  package var count: UInt32
  package var rate: UInt32
  /// RTP time in milliseconds and sequence number, where the frame has them.
  package var hasTiming: Bool
  package var ts: Int64
  package var sequenceNumber: UInt16

  @inline(__always)
  package init(
    direction: UInt32, samples: UnsafeRawPointer, count: UInt32, rate: UInt32, hasTiming: Bool = false, ts: Int64 = 0,
    sequenceNumber: UInt16 = 0
  ) {
    self.direction = direction
    self.samples = samples
    self.count = count
    self.rate = rate
    self.hasTiming = hasTiming
    self.ts = ts
    self.sequenceNumber = sequenceNumber
  }
}

/// Longest frame that is taken as audio: ten seconds. A longer one is a broken length field.
private let frameMillisecondsMax: UInt32 = 10_000

/// Writes one frame to the tap. The audio path: no lock, allocation, log, system call or wait, and nothing can trap.
///
/// The caller holds the channel's lock, so calls for one tap never overlap. `now` is CLOCK_MONOTONIC.
@inline(__always)
package func captureFrame(
  _ tap: UnsafeMutablePointer<af_tap>, _ frame: CapturedFrame, channel: UnsafeRawPointer?, now: Int64
) {
  guard af_word_load_relaxed(&tap.pointee.closed) == 0, tap.pointee.ring != nil else { return }
  guard frame.rate >= UInt32(AF_RATE_HZ_MIN), frame.rate <= UInt32(AF_RATE_HZ_MAX), frame.count > 0,
    frame.count <= frame.rate / 1000 &* frameMillisecondsMax
  else { return }
  let direction = frame.direction & 1
  guard tap.pointee.directions & (1 &<< UInt64(direction)) != 0 else { return }
  var flags: UInt8 = 0
  if tap.pointee.channel_seen != channel {
    // Another device under the fork: what RTP time it will send is unknown.
    if tap.pointee.channel_seen != nil { flags |= UInt8(truncatingIfNeeded: AF_ENTRY_CHANNEL.rawValue) }
    tap.pointee.channel_seen = channel
    tap.pointee.in.knows_ts = 0
    tap.pointee.out.knows_ts = 0
  }
  if direction == 0 {
    noteRate(tap, &tap.pointee.rates_hz.0, frame.rate)
    capture(tap, &tap.pointee.in, frame, direction, flags, now &- tap.pointee.epoch_ns)
  } else {
    noteRate(tap, &tap.pointee.rates_hz.1, frame.rate)
    capture(tap, &tap.pointee.out, frame, direction, flags, now &- tap.pointee.epoch_ns)
  }
}

/// Notes the rate of a direction for those who decide how large the ring has to be. The audio path.
@inline(__always)
private func noteRate(
  _ tap: UnsafeMutablePointer<af_tap>, _ word: UnsafeMutablePointer<UInt64>, _ rate: UInt32
) {
  guard af_word_load_relaxed(word) != UInt64(rate) else { return }
  af_word_store_relaxed(word, UInt64(rate))
  if let changed = tap.pointee.rates_changed { af_word_store_release(changed, 1) }
}

/// What the tap captures a second at present, bytes: the rates met last, or `rate` in a direction without a frame so
/// far. Any thread.
package func bytesPerSecond(_ tap: UnsafeMutablePointer<af_tap>, rateAtStart rate: UInt32) -> UInt64 {
  var bytes: UInt64 = 0
  for direction in 0..<2 where tap.pointee.directions & (1 &<< UInt64(direction)) != 0 {
    bytes &+= 2 &* capturedRate(tap, direction, rate)
  }
  return max(bytes, 1)
}

/// The highest of these rates, Hz.
package func highestRate(_ tap: UnsafeMutablePointer<af_tap>, rateAtStart rate: UInt32) -> UInt32 {
  UInt32(truncatingIfNeeded: max(capturedRate(tap, 0, rate), capturedRate(tap, 1, rate)))
}

private func capturedRate(_ tap: UnsafeMutablePointer<af_tap>, _ direction: Int, _ rate: UInt32) -> UInt64 {
  let met =
    direction == 0 ? af_word_load_relaxed(&tap.pointee.rates_hz.0) : af_word_load_relaxed(&tap.pointee.rates_hz.1)
  return met == 0 ? UInt64(rate) : met
}

/// Mutes directions of the tap (bit 0 in, bit 1 out), or ends their mute. `now` is CLOCK_MONOTONIC. Any thread, but one
/// at a time for each tap.
package func muteTap(_ tap: UnsafeMutablePointer<af_tap>, _ directions: UInt64, isOn: Bool, now: Int64) {
  let muted = af_word_load_relaxed(&tap.pointee.muted)
  if isOn {
    af_word_store_release(&tap.pointee.muted, muted | directions)
    return
  }
  // Before the bits: a digit that is not muted any more must find the moment.
  let ending = muted & directions
  let moment = UInt64(truncatingIfNeeded: now)
  if ending & 1 != 0 { af_word_store_relaxed(&tap.pointee.unmuted_ns.0, moment) }
  if ending & 2 != 0 { af_word_store_relaxed(&tap.pointee.unmuted_ns.1, moment) }
  af_word_store_release(&tap.pointee.muted, muted & ~directions)
}

/// How much earlier than its frame says a digit's press may have begun: Asterisk waits for a digit's end, for the gap
/// between two digits and for the jitter of the network.
private let pressSlackNanoseconds: Int64 = 500_000_000

/// Whether any part of a digit's press may lie in a mute of its direction.
///
/// Where Asterisk generates a digit's length itself, it does so after the press: the press may have begun twice that
/// length ago. A digit in doubt counts as muted.
@inline(__always)
private func isDigitMuted(
  _ tap: UnsafeMutablePointer<af_tap>, direction: UInt32, milliseconds: UInt32, now: Int64
) -> Bool {
  if af_word_load_acquire(&tap.pointee.muted) & (1 &<< UInt64(direction)) != 0 { return true }
  let unmuted =
    direction == 0
    ? af_word_load_relaxed(&tap.pointee.unmuted_ns.0) : af_word_load_relaxed(&tap.pointee.unmuted_ns.1)
  let press = Int64(milliseconds) &* 2_000_000 &+ pressSlackNanoseconds
  return unmuted != 0 && Int64(truncatingIfNeeded: unmuted) > now &- press
}

/// Writes a DTMF digit to the tap: ASCII, and for how many milliseconds it was pressed; a digit that was pressed, in
/// part at least, while its direction was muted is not written. As `captureFrame`.
@inline(__always)
package func captureDigit(
  _ tap: UnsafeMutablePointer<af_tap>, direction givenDirection: UInt32, digit: UInt8, milliseconds: UInt32, now: Int64
) {
  guard af_word_load_relaxed(&tap.pointee.closed) == 0, tap.pointee.ring != nil else { return }
  let direction = givenDirection & 1
  guard tap.pointee.directions & (1 &<< UInt64(direction)) != 0,
    !isDigitMuted(tap, direction: direction, milliseconds: milliseconds, now: now)
  else { return }
  var entry = af_ring_entry()
  entry.arrival_ns = now &- tap.pointee.epoch_ns
  entry.direction = UInt8(truncatingIfNeeded: direction)
  entry.kind = UInt8(truncatingIfNeeded: AF_ENTRY_DTMF.rawValue)
  entry.detail = digit
  entry.ts = milliseconds
  entry.captured = direction == 0 ? tap.pointee.in.captured : tap.pointee.out.captured
  publish(tap, &entry, nil, 0)
}

@inline(__always)
private func capture(
  _ tap: UnsafeMutablePointer<af_tap>, _ state: UnsafeMutablePointer<af_direction_state>, _ frame: CapturedFrame,
  _ direction: UInt32, _ givenFlags: UInt8, _ arrival: Int64
) {
  var flags = givenFlags
  // Written frames may carry the other channel's timing: only what was read is trusted.
  let timed = frame.hasTiming && direction == UInt32(AF_DIRECTION_IN.rawValue)
  if timed { flags |= UInt8(truncatingIfNeeded: AF_ENTRY_TIMING.rawValue) }
  let placement = placeFrame(
    &state.pointee, arrival: arrival, samples: UInt64(frame.count), rate: frame.rate, ts: timed ? frame.ts : nil)
  var isAhead = false
  switch placement {
  case .continues: break
  case .startsRun(let start):
    state.pointee.run_ns = start
    state.pointee.run_samples = 0
    state.pointee.rate_hz = frame.rate
    flags |= UInt8(truncatingIfNeeded: AF_ENTRY_RUN_START.rawValue)
  case .ahead:
    isAhead = true
    flags |= UInt8(truncatingIfNeeded: AF_ENTRY_AHEAD.rawValue)
  }
  let muted = af_word_load_relaxed(&tap.pointee.muted) & (1 &<< UInt64(direction)) != 0
  if muted { flags |= UInt8(truncatingIfNeeded: AF_ENTRY_MUTED.rawValue) }

  var entry = af_ring_entry()
  entry.arrival_ns = arrival
  entry.rate_hz = frame.rate
  entry.direction = UInt8(truncatingIfNeeded: direction)
  entry.kind = UInt8(truncatingIfNeeded: AF_ENTRY_AUDIO.rawValue)
  entry.ts = timed ? UInt32(truncatingIfNeeded: frame.ts) : 0
  entry.sequence_number = timed ? frame.sequenceNumber : 0

  let pieceMax = af_piece_samples(frame.rate)
  var done: UInt32 = 0
  while done < frame.count {
    let left = frame.count &- done
    let count = left < pieceMax ? left : pieceMax
    entry.run_ns = state.pointee.run_ns
    entry.run_index = state.pointee.run_samples
    entry.captured = state.pointee.captured
    entry.samples = UInt16(truncatingIfNeeded: count)
    entry.flags = flags
    if count < left { entry.flags |= UInt8(truncatingIfNeeded: AF_ENTRY_MORE.rawValue) }
    publish(tap, &entry, muted ? nil : frame.samples + Int(truncatingIfNeeded: done &* 2), count)
    state.pointee.captured &+= UInt64(count)
    if !isAhead { state.pointee.run_samples &+= UInt64(count) }
    flags &= ~UInt8(truncatingIfNeeded: AF_ENTRY_RUN_START.rawValue | AF_ENTRY_CHANNEL.rawValue)
    done &+= count
  }
  af_word_store_relaxed(af_ring_captured(tap.pointee.ring, direction), state.pointee.captured)
  if isAhead {
    let word = af_ring_ahead(tap.pointee.ring, direction)
    af_word_store_relaxed(word, af_word_load_relaxed(word) &+ UInt64(frame.count))
  }
}

/// After a while in which nothing could be captured: what RTP time comes next is unknown. No frame may be captured
/// meanwhile.
package func forgetTiming(_ tap: UnsafeMutablePointer<af_tap>) {
  tap.pointee.in.knows_ts = 0
  tap.pointee.out.knows_ts = 0
}

/// Stores one entry; the order of stores is the one that af_ring.h describes.
@inline(__always)
private func publish(
  _ tap: UnsafeMutablePointer<af_tap>, _ entry: inout af_ring_entry, _ samples: UnsafeRawPointer?, _ count: UInt32
) {
  let sequence = tap.pointee.sequence
  let start = tap.pointee.head
  let head = start &+ af_ring_span(count)
  let offset = Int(truncatingIfNeeded: (sequence & tap.pointee.index_mask) &* UInt64(AF_RING_ENTRY_BYTES))
  guard let index = tap.pointee.index, let area = tap.pointee.area else { return }
  let slot = index + offset
  let sequenceWord = UnsafeMutableRawPointer(slot).assumingMemoryBound(to: UInt64.self)
  entry.start = start
  af_word_store_relaxed(sequenceWord, sequence &* 2 &+ 1)
  af_word_store_relaxed(af_ring_claimed(tap.pointee.ring), head)
  af_fence_release()
  af_ring_store_samples(area, tap.pointee.area_mask, start, samples, count)
  af_ring_store_fields(slot, &entry)
  af_word_store_release(sequenceWord, sequence &* 2 &+ 2)
  af_word_store_release(af_ring_published(tap.pointee.ring), sequence &+ 1)
  tap.pointee.head = head
  tap.pointee.sequence = sequence &+ 1
}

/// Marks the end of capture. Reached from the hook's last call, from StopAudioFork and from the datastore's
/// destruction, in any order: the first one counts.
package func closeTap(_ tap: UnsafeMutablePointer<af_tap>, now: Int64) {
  guard af_word_claim(&tap.pointee.closed, UInt64(AF_TAP_CLOSING.rawValue)) != 0 else { return }
  if let ring = tap.pointee.ring {
    let since = now &- tap.pointee.epoch_ns
    af_word_store_release(af_ring_closed(ring), UInt64(truncatingIfNeeded: since > 0 ? since : 0) &+ 1)
  }
  af_word_store_release(&tap.pointee.closed, UInt64(AF_TAP_CLOSED.rawValue))
}

/// Whether the end of capture has been marked in the ring: then nobody writes to it any more.
package func isTapClosed(_ tap: UnsafeMutablePointer<af_tap>) -> Bool {
  af_word_load_acquire(&tap.pointee.closed) == UInt64(AF_TAP_CLOSED.rawValue)
}
