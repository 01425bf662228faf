// SPDX-License-Identifier: GPL-2.0-or-later
import AudioForkBytes
import AudioForkSurface
import AudioForkTap
import CAsterisk

/// Looks, off the audio path, at the codecs of forks to which nothing comes. Belongs to the jobs thread.
enum CodecLooks {
  /// A codec without a translator makes Asterisk warn of each frame until the next look.
  private static let interval: Int64 = 500_000_000
  private nonisolated(unsafe) static var last: Int64 = 0

  /// Milliseconds until the next look is due; nil while there is no fork.
  static func millisecondsLeft(_ now: Int64) -> CInt? {
    guard withState({ $0.forks.count }) > 0 else { return nil }
    return CInt(truncatingIfNeeded: max(0, (last &+ interval &- now) / 1_000_000 &+ 1))
  }

  /// Looks where the time has come. No channel and no table may be locked.
  static func lookIfDue(_ now: Int64) {
    guard now &- last >= interval else { return }
    last = now
    for fork in candidates() { look(at: fork) }
  }

  private struct Candidate {
    let id: Bytes
    let uniqueID: Bytes
    let channel: Bytes
    let isOff: Bool
    let untranslated: UInt8
  }

  /// Live forks that captured nothing of a direction that they want since the last look.
  private static func candidates() -> [Candidate] {
    var found = [Candidate]()
    withState { state in
      state.forks.forEach { fork in
        guard fork.pointee.ended == 0, !isClosed(fork), let ring = fork.pointee.tap.ring else { return }
        let into = af_word_load_relaxed(af_ring_captured(ring, 0))
        let out = af_word_load_relaxed(af_ring_captured(ring, 1))
        var still: UInt64 = into == fork.pointee.looked_at.0 ? 1 : 0
        if out == fork.pointee.looked_at.1 { still |= 2 }
        fork.pointee.looked_at = (into, out)
        guard still & fork.pointee.tap.directions != 0 || fork.pointee.untranslated != 0 else { return }
        found.append(
          Candidate(
            id: bytes(fork.pointee.id), uniqueID: bytes(fork.pointee.uniqueid), channel: bytes(fork.pointee.channel),
            isOff: fork.pointee.hook_off != 0, untranslated: fork.pointee.untranslated))
      }
    }
    return found
  }

  private static func look(at candidate: Candidate) {
    guard let channel = liveChannel(candidate.uniqueID, called: candidate.channel) else {
      if candidate.isOff { channelIsGone(candidate) }
      return
    }
    defer { af_channel_unref(channel) }
    af_channel_lock(channel)
    let formats = RawFormats(of: channel)
    af_channel_unlock(channel)
    defer { formats.release() }
    let untranslated = formats.untranslated
    guard untranslated != 0 || candidate.untranslated != 0 else { return }
    af_channel_lock(channel)
    // As long as the channel is locked, a fork that it carries lives.
    let datastore = withCString(candidate.id) { ast_channel_datastore_find(channel, af_datastore_type(), $0) }
    let change = datastore.flatMap { $0.pointee.data }.flatMap {
      settle($0.assumingMemoryBound(to: af_fork.self), on: channel, formats, untranslated)
    }
    af_channel_unlock(channel)
    change?.carryOut(on: channel, candidate.id)
  }

  /// Marks the end of capture: a hook that is off learns of no hangup. Waits for a second miss, because a masquerade
  /// briefly leaves no channel with these names.
  private static func channelIsGone(_ candidate: Candidate) {
    let isOver = withState { state in
      guard let fork = state.forks.find(candidate.id), fork.pointee.hook_off != 0,
        bytes(fork.pointee.uniqueid) == candidate.uniqueID
      else { return false }
      fork.pointee.looks_missed &+= 1
      guard fork.pointee.looks_missed > 1 else { return false }
      closeTap(&fork.pointee.tap, now: af_now_ns())
      state.forks.mustLook(fork)
      return true
    }
    if isOver { Control.wake() }
  }
}
