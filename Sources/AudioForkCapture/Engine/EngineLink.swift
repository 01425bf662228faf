// SPDX-License-Identifier: GPL-2.0-or-later
import AudioForkBytes
import AudioForkLink
import AudioForkSurface
import CAsterisk

/// Our end of the control link: the socket, what waits to be sent, and the received beginning of an incomplete message.
/// Only the control thread uses it. Never waits.
struct EngineLink {
  /// -1 while there is no engine.
  private(set) var descriptor: CInt = -1
  private var parser = LinkParser()
  private var output = Bytes()

  /// Rows and texts wait in their queues while more than this waits for the socket, bytes.
  static let outputMax = 65_536

  var isOpen: Bool { descriptor >= 0 }
  var hasOutput: Bool { !output.isEmpty }
  /// Bytes that may be appended before rows and texts have to wait.
  var room: Int { EngineLink.outputMax &- output.count }

  /// Takes over a connected socket.
  mutating func open(_ socket: CInt) {
    descriptor = socket
    parser = LinkParser()
    output = []
  }

  mutating func close() {
    if isOpen { CAsterisk.close(descriptor) }
    descriptor = -1
    output = []
  }

  mutating func append(_ message: MessageFromModule<Bytes>) { output += message.encoded }

  /// Appends encoded messages.
  mutating func append(_ messages: Bytes) { output += messages }

  /// Sends as much as the socket takes.
  mutating func flush() {
    while !output.isEmpty {
      let sent = output.withUnsafeBytes {
        CAsterisk.send(descriptor, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL | MSG_DONTWAIT))
      }
      guard sent > 0 else { break } // full, or broken: the latter shows as end-of-file
      output.removeFirst(min(sent, output.count))
    }
  }

  /// What `receive` found.
  enum Reception {
    /// Bytes came; `next` takes the messages.
    case received
    /// Nothing more at the moment.
    case nothing
    /// The engine has closed its end, or died.
    case closed
  }

  mutating func receive() -> Reception {
    withUnsafeTemporaryAllocation(byteCount: 16_384, alignment: 8) { buffer in
      let count = recv(descriptor, buffer.baseAddress, buffer.count, CInt(MSG_DONTWAIT))
      if count > 0 {
        parser.append(UnsafeRawBufferPointer(start: buffer.baseAddress, count: min(count, buffer.count)))
        return .received
      }
      guard count < 0 else { return .closed }
      let failure = af_errno()
      return failure == EAGAIN || failure == EINTR ? .nothing : .closed
    }
  }

  /// The next message; nil while there is none. Throws for a stream that cannot be followed.
  mutating func next() throws(LinkError) -> MessageFromEngine<Bytes>? {
    guard let message = try parser.next() else { return nil }
    return MessageFromEngine(message)
  }

  /// Tells the engine that nothing follows, and waits until it has closed its end or `deadline` (CLOCK_MONOTONIC) is
  /// over.
  mutating func finish(deadline: Int64) {
    shutdown(descriptor, CInt(SHUT_WR))
    var isClosed = false
    while !isClosed, af_now_ns() < deadline {
      var waiting = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
      _ = poll(&waiting, 1, 100)
      if case .closed = receive() { isClosed = true }
      // Its last words are not read. They must not fill Asterisk's memory either.
      parser = LinkParser()
    }
  }
}
