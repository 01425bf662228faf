// SPDX-License-Identifier: Apache-2.0
internal import Glibc
package import NIOCore

/// Writes to a channel's socket with one `send(2)`, bypassing the channel's write queue. If the kernel does not take
/// everything, the rest goes through the channel, and later writes follow it until the queue is empty. Call only on the
/// channel's event loop, from the one handler that writes.
package struct DirectSocket {
  private let channel: any Channel
  private let descriptor: CInt
  /// The channel may have bytes queued: what follows has to queue behind them.
  private var mayBeQueued = true
  private static let flags = CInt(MSG_DONTWAIT) | CInt(MSG_NOSIGNAL)

  /// nil where there is no socket below: an embedded channel.
  package init?(_ channel: any Channel) {
    let found = try? channel.pipeline.syncOperations.withUnsafeTransportIfAvailable(of: NIOBSDSocket.Handle.self) { $0 }
    guard let found else { return nil }
    self.channel = channel
    descriptor = found
  }

  /// Takes off the front what the kernel has taken. The caller hands what is left to the channel, and nothing of it to
  /// `send` again. Returns false where the kernel refuses all bytes from now on: the connection is gone.
  package mutating func send(_ bytes: inout ByteBuffer) -> Bool {
    guard isFree else { return true }
    let descriptor = descriptor
    let (count, error) = unsafe bytes.withUnsafeReadableBytes { readable in
      let count = unsafe Glibc.send(descriptor, readable.baseAddress, readable.count, DirectSocket.flags)
      return (count, count < 0 ? errno : 0)
    }
    if count > 0 { bytes.moveReaderIndex(forwardBy: count) }
    if bytes.readableBytes > 0 { mayBeQueued = true }
    return error == 0 || error == EAGAIN || error == EINTR
  }

  /// Something went to the channel without `send`.
  package mutating func hasQueued() { mayBeQueued = true }

  private var isFree: Bool {
    mutating get {
      // NIO closes the socket and turns inactive with nothing of ours in between (BaseSocketChannel.close0), so that an
      // active channel's descriptor is still its own.
      guard channel.isActive else { return false }
      if mayBeQueued { mayBeQueued = (try? channel.syncOptions?.getOption(.bufferedWritableBytes)) != 0 }
      return !mayBeQueued
    }
  }
}
