// SPDX-License-Identifier: Apache-2.0

/// What networks and servers do to a connection.
package enum Fault: Equatable, Sendable {
  /// Nothing: bytes go through as they come.
  case none
  /// Each piece arrives so much later, and up to `jitter` more; the order is kept. Both ways.
  case latency(milliseconds: Int, jitter: Int)
  /// So many bytes go through in a second, each way.
  case rate(bytesPerSecond: Int)
  /// Nothing is read from the client any more: its kernel's buffers fill up.
  case stall
  /// Once so many bytes of the client have gone through, nothing goes through for so long, either way: a server that
  /// loads a model at its first audio. Then everything continues.
  case pause(afterBytes: Int, milliseconds: Int)
  /// Neither side is read or told anything any more.
  case freeze
  /// What the client sends is read and thrown away, and nothing comes back: a connection that is only half open.
  case blackhole
  /// The connection is reset.
  case reset
  /// The client is told that no more will come, as by a server that closed without a word.
  case halfClose
  /// Reset, or closed, once so many bytes of the client have gone through, wherever in a frame that is.
  case cut(afterBytes: Int, resets: Bool)
  /// Nobody listens.
  case refuse
  /// Closed as soon as it is accepted.
  case closeAtOnce
  /// This answer to the request instead of the server's.
  case answer(String)
  /// The server's answer to the upgrade arrives byte by byte.
  case slowHandshake(millisecondsPerByte: Int)
  /// Bytes that are no protocol's, instead of any answer.
  case garbage(bytes: Int)
  /// A Close frame without a code, between two frames of the server, as a plain `close()` of many libraries sends.
  case emptyClose

  /// An answer that is a status and no upgrade.
  package static func status(_ code: Int, retryAfter: Int? = nil) -> Fault {
    let wait = retryAfter.map { "Retry-After: \($0)\r\n" } ?? ""
    return .answer("HTTP/1.1 \(code) Fault\r\n\(wait)Content-Length: 0\r\nConnection: close\r\n\r\n")
  }

  /// Sends the client elsewhere.
  package static func redirect(to location: String) -> Fault {
    .answer("HTTP/1.1 302 Found\r\nLocation: \(location)\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
  }

  /// An upgrade that proves nothing: the accept key is another request's.
  package static let wrongAcceptKey = Fault.answer(
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
      + "Sec-WebSocket-Accept: dGhpcyBpcyBub3QgdGhlIGtleQ==\r\n\r\n")
}
