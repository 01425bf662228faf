// SPDX-License-Identifier: GPL-2.0-or-later
import AudioForkBytes
import AudioForkSurface
import AudioForkTap
import CAsterisk

/// Gives up one of a fork's two owners. The last one frees it. Not with the table's lock held.
func release(_ fork: ForkPointer) {
  let isLast = withState { _ in
    fork.pointee.owners &-= 1
    return fork.pointee.owners == 0
  }
  if isLast { destroy(fork) }
  af_module_release()
  // This comes last: afterwards the module may be unloaded.
  if isLast { withState { $0.forks.unreserve() } }
}

/// Returns whether capture into the fork's ring has ended.
func isClosed(_ fork: ForkPointer) -> Bool { isTapClosed(&fork.pointee.tap) }

/// Unmaps the fork's ring. Not with the table's lock held.
func unmap(_ fork: ForkPointer) {
  RingMemory.unmap(&fork.pointee.tap)
  withState { state in
    state.forks.memory.remove(fork.pointee.ring_bytes)
    fork.pointee.ring_bytes = 0
    while fork.pointee.old_count > 0 { state.forks.dropOldestRing(of: fork) }
  }
}

/// Frees a fork that has no owner.
func destroy(_ fork: ForkPointer) {
  unmap(fork)
  free(fork.pointee.id)
  free(fork.pointee.url)
  free(fork.pointee.direction)
  free(fork.pointee.format)
  free(fork.pointee.verification)
  free(fork.pointee.text_variable)
  free(fork.pointee.command)
  free(fork.pointee.caller_number)
  free(fork.pointee.caller_name)
  free(fork.pointee.beep_id)
  free(fork.pointee.channel)
  free(fork.pointee.uniqueid)
  free(fork.pointee.linkedid)
  free(fork.pointee.endpoint)
  free(fork.pointee.reason)
  free(fork.pointee.codec_problem)
  free(fork.pointee.response)
  free(fork.pointee.transcript)
  free(fork)
}

/// Asterisk frees the fork's datastore: StopAudioFork removed it, or the channel is freed, maybe long after the hangup.
@c(af_datastore_destroyed)
func datastoreDestroyed(_ pointer: UnsafeMutableRawPointer?) {
  guard let pointer else { return }
  let fork = pointer.assumingMemoryBound(to: af_fork.self)
  withState { state in
    // Under the lock, as the swap of a ring: capture does not end in the midst of it.
    closeTap(&fork.pointee.tap, now: af_now_ns())
    fork.pointee.hook_alive = 0
    state.forks.mustLook(fork)
  }
  ast_audiohook_destroy(&fork.pointee.hook)
  Control.wake()
  release(fork)
}

/// A masquerade moves the fork's datastore to the channel `to`. Both channels are locked.
@c(af_datastore_moved)
func datastoreMoved(_ pointer: UnsafeMutableRawPointer?, _ from: OpaquePointer?, _ to: OpaquePointer?) {
  guard let pointer, let to else { return }
  let fork = pointer.assumingMemoryBound(to: af_fork.self)
  let name = bytes(ast_channel_name(to))
  let uniqueID = bytes(ast_channel_uniqueid(to))
  let linkedID = bytes(ast_channel_linkedid(to))
  withState { _ in
    replace(&fork.pointee.channel, with: name)
    replace(&fork.pointee.uniqueid, with: uniqueID)
    replace(&fork.pointee.linkedid, with: linkedID)
  }
}
