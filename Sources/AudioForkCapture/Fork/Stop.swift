// SPDX-License-Identifier: GPL-2.0-or-later
import AudioForkBytes
import AudioForkTap
import CAsterisk

/// Ends the forks of the channel: the one with this id, or all of them. The channel must not be locked; the caller
/// holds a reference to it or runs in its thread, and says which. Returns how many were ended.
package func stopForks(_ channel: OpaquePointer, id: Bytes?, from thread: CallingThread = .other) -> Int {
  var stopped = 0
  var mustBeep = false
  while let datastore = detachedDatastore(channel, id) {
    if let pointer = datastore.pointee.data {
      let fork = pointer.assumingMemoryBound(to: af_fork.self)
      let beeps = withState { state in
        if fork.pointee.beeps_at_stop != 0, fork.pointee.ended == 0 { mustBeep = true }
        // Under the same lock: a codec look that puts beeps back sees that the fork is stopped.
        closeTap(&fork.pointee.tap, now: af_now_ns())
        state.forks.mustLook(fork)
        return takeBeeps(fork)
      }
      endBeeps(channel, beeps)
    }
    // Gives up the channel's part of the fork.
    ast_datastore_free(datastore)
    stopped &+= 1
    if id != nil { break }
  }
  if mustBeep { beep(channel, from: thread) }
  return stopped
}

/// Takes one fork's hook and datastore off the channel, under one lock.
private func detachedDatastore(_ channel: OpaquePointer, _ id: Bytes?) -> UnsafeMutablePointer<ast_datastore>? {
  af_channel_lock(channel)
  defer { af_channel_unlock(channel) }
  let found =
    if let id {
      withCString(id) { ast_channel_datastore_find(channel, af_datastore_type(), $0) }
    } else {
      ast_channel_datastore_find(channel, af_datastore_type(), nil)
    }
  guard let found, let pointer = found.pointee.data else { return nil }
  let fork = pointer.assumingMemoryBound(to: af_fork.self)
  if fork.pointee.hook_off == 0 { ast_audiohook_remove(channel, &fork.pointee.hook) }
  ast_channel_datastore_remove(channel, found)
  return found
}
