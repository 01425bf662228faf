// SPDX-License-Identifier: Apache-2.0
package import NIOCore

/// What `StreamHandler` does next for one connection, as `StreamStateMachine` decides.
package enum StreamAction: Equatable, Sendable {
  /// Open the fork's file, then call `opened(at:)` or `openFailed(_:)`.
  case open(ForkStart)
  /// Append these bytes to the file, then call `written()` or `writeFailed(_:)`. `position`: the sample frame at which
  /// they begin; missing frames before it become silence. Nil: directly behind the last ones.
  case write(ByteBuffer, position: UInt64? = nil)
  /// Force the file to the disk, then call `synced()` or `writeFailed(_:)`.
  case sync
  /// Send a text message.
  case sendText(String)
  /// Finalize the file, then call `finished()`.
  case finish
  case sendPong(ByteBuffer)
  /// Send a ping: nothing has come for a while.
  case sendPing
  /// Send a Close; an empty one if there is no code.
  case sendClose(code: UInt16?, reason: String)
  /// Call `flushDue()` after `FileWriter.flushDelay`.
  case scheduleFlush
  /// Call `syncDue()` after `FileWriter.syncDelay`.
  case scheduleSync
  /// Call `closeDue()` after `CloseHandshake.closeDelay`.
  case scheduleClose
  case pauseReading
  case resumeReading
  /// Close the connection after what was sent has left.
  case closeAfterWrites
  /// Close the connection at once.
  case abort
  /// A text message arrived.
  case text(String)
  /// A message of `audiofork.v1` other than `start` arrived.
  case message(ForkMessage)
  /// The file is complete and the stream over.
  case ended(StreamEnding)
}
