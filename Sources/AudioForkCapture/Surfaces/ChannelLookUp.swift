// SPDX-License-Identifier: GPL-2.0-or-later
import AudioForkBytes
import AudioForkSurface
import CAsterisk

/// Runs `body` with the fork's channel, referenced and not locked, or with nil if there is none any more.
func withLiveChannel(of row: ForkRow, _ body: (OpaquePointer?) -> Void) {
  // A masquerade may have changed both since the row was copied.
  let (uniqueID, name) =
    withState { state in state.forks.find(row.id).map { (bytes($0.pointee.uniqueid), bytes($0.pointee.channel)) } }
    ?? (row.uniqueID, row.channel)
  let channel = liveChannel(uniqueID, called: name)
  body(channel)
  if let channel { af_channel_unref(channel) }
}

/// Returns the live channel with this unique id, referenced, or nil. Looks for `name` first, because Asterisk searches
/// all channels for a unique id.
func liveChannel(_ uniqueID: Bytes, called name: Bytes) -> OpaquePointer? {
  channel(named: name, with: uniqueID) ?? channel(named: uniqueID, with: uniqueID)
}

/// Returns the channel with this name, referenced, if it has the unique id. `name` may be a unique id itself.
private func channel(named name: Bytes, with uniqueID: Bytes) -> OpaquePointer? {
  guard !name.isEmpty, let channel = withCString(name, { ast_channel_get_by_name($0) }) else { return nil }
  af_channel_lock(channel)
  let isIt = bytes(ast_channel_uniqueid(channel)) == uniqueID
  af_channel_unlock(channel)
  if isIt { return channel }
  af_channel_unref(channel)
  return nil
}

/// Returns whether the channel carries the fork, or did until it was stopped: a server's last texts come later.
func isCarried(_ id: Bytes, by channel: OpaquePointer) -> Bool {
  af_channel_lock(channel)
  let isThere = withCString(id) { ast_channel_datastore_find(channel, af_datastore_type(), $0) } != nil
  af_channel_unlock(channel)
  if isThere { return true }
  return withState { state in
    state.forks.find(id).map { $0.pointee.closed_at_ns != 0 || isClosed($0) } ?? true
  }
}
