// SPDX-License-Identifier: GPL-2.0-or-later
import AudioForkTap
import CAsterisk

/// The audiohook's callback, for every frame of the channel in both directions.
///
/// The channel's lock is held, and the hook's. No lock, allocation, log, system call, reference counting or wait in
/// here, and nothing that can trap. Returns 1: the samples are not modified, so that Asterisk sends the original
/// frame on and does not encode it again.
@c(af_hook)
func hook(
  _ hook: UnsafeMutablePointer<ast_audiohook>?, _ channel: OpaquePointer?, _ frame: UnsafeMutablePointer<ast_frame>?,
  _ direction: ast_audiohook_direction
) -> CInt {
  guard let hook else { return 1 }
  // The hook is the fork's first field; the tap's address is computed and not looked up.
  let fork = UnsafeMutableRawPointer(hook).assumingMemoryBound(to: af_fork.self)
  let tap = UnsafeMutableRawPointer(fork).advanced(by: Int(AF_FORK_TAP_OFFSET.rawValue)).assumingMemoryBound(
    to: af_tap.self)
  guard let frame, hook.pointee.status != AST_AUDIOHOOK_STATUS_DONE else {
    // The last call: at hangup (no channel then), or after the hook was told to leave.
    closeTap(tap, now: af_now_ns())
    return 1
  }
  if frame.pointee.frametype == AST_FRAME_DTMF_END {
    if fork.pointee.only_bridged == 0 || ast_channel_is_bridged(channel) != 0 {
      captureDigit(
        tap, direction: direction == AST_AUDIOHOOK_DIRECTION_READ ? 0 : 1,
        digit: UInt8(truncatingIfNeeded: frame.pointee.subclass.integer),
        milliseconds: UInt32(truncatingIfNeeded: frame.pointee.len), now: af_now_ns())
    }
    return 1
  }
  guard frame.pointee.frametype == AST_FRAME_VOICE, let samples = frame.pointee.data.ptr,
    let format = frame.pointee.subclass.format, frame.pointee.datalen >= 2
  else { return 1 }
  // Not captured at all: in the stream the time between is fill, or left out with n.
  if fork.pointee.only_bridged != 0, ast_channel_is_bridged(channel) == 0 { return 1 }
  let flags = frame.pointee.flags
  captureFrame(
    tap,
    CapturedFrame(
      direction: direction == AST_AUDIOHOOK_DIRECTION_READ ? 0 : 1,
      samples: UnsafeRawPointer(samples),
      count: UInt32(bitPattern: frame.pointee.datalen) / 2,
      rate: ast_format_get_sample_rate(format),
      hasTiming: flags & UInt32(AST_FRFLAG_HAS_TIMING_INFO) != 0,
      ts: Int64(truncatingIfNeeded: frame.pointee.ts),
      sequenceNumber: UInt16(truncatingIfNeeded: frame.pointee.seqno)),
    channel: UnsafeRawPointer(channel), now: af_now_ns())
  return 1
}
