// SPDX-License-Identifier: Apache-2.0
internal import Glibc
internal import NIOCore

/// The socket below a channel, for bytes that nobody has to encrypt: one system call, and nothing of the channel's own
/// queue of writes. What the kernel does not take at once goes through the channel, and so does the finding that the
/// connection is gone. Used on the channel's event loop only, and only while the channel has nothing queued.
struct DirectSocket {
  private let channel: any Channel
  private let descriptor: CInt
  private static let flags = CInt(MSG_DONTWAIT) | CInt(MSG_NOSIGNAL)

  /// nil where there is no socket below: an embedded channel.
  init?(_ channel: any Channel) {
    let found = try? channel.pipeline.syncOperations.withUnsafeTransportIfAvailable(of: NIOBSDSocket.Handle.self) { $0 }
    guard let found else { return nil }
    self.channel = channel
    descriptor = found
  }

  /// Takes off the front what the kernel has taken.
  func send(_ bytes: inout ByteBuffer) {
    // NIO closes the socket and turns inactive with nothing of ours in between (BaseSocketChannel.close0), so that an
    // active channel's descriptor is still its own.
    guard channel.isActive else { return }
    let descriptor = descriptor
    let count = unsafe bytes.withUnsafeReadableBytes { readable in
      unsafe Glibc.send(descriptor, readable.baseAddress, readable.count, DirectSocket.flags)
    }
    if count > 0 { bytes.moveReaderIndex(forwardBy: count) }
  }
}
