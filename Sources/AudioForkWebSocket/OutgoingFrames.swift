// SPDX-License-Identifier: Apache-2.0
internal import NIOCore

/// The frames that a session has written since its last flush. Their storage is used again and again.
struct OutgoingFrames {
  /// The storage that is kept between flushes, bytes: more than a tick's frames of live audio need.
  private static let bytesKept = 4096

  private var writer = WebSocketFrameWriter(SystemRandomBlock())
  /// Frames that wait for a flush.
  var bytes = ByteBuffer()
  /// Bytes of all frames written so far, headers included.
  private(set) var bytesWritten: UInt64 = 0

  var isEmpty: Bool { bytes.readableBytes == 0 }

  /// Appends a frame.
  mutating func write(_ append: (inout WebSocketFrameWriter<SystemRandomBlock>, inout ByteBuffer) -> Void) {
    let before = bytes.readableBytes
    append(&writer, &bytes)
    bytesWritten &+= UInt64(bytes.readableBytes - before)
  }

  /// Returns the frames that wait, and keeps none.
  mutating func take() -> ByteBuffer {
    var taken = ByteBuffer()
    swap(&taken, &bytes)
    return taken
  }

  /// Takes storage back that `take` gave away, if nothing was written meanwhile.
  mutating func giveBack(_ storage: inout ByteBuffer) {
    guard bytes.capacity == 0 else { return }
    swap(&storage, &bytes)
    reuse()
  }

  /// Empties the storage. What a replay needed is not kept: there may be thousands of connections.
  mutating func reuse() {
    if bytes.capacity > OutgoingFrames.bytesKept { bytes = ByteBuffer() } else { bytes.clear() }
  }
}
