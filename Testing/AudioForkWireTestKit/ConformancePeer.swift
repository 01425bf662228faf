// SPDX-License-Identifier: Apache-2.0
import AudioForkTestKit
import CAudioForkABI
import Glibc

/// A server of bytes: a socket, and what a test says. Serves one connection; used by one task.
package final class ConformancePeer {
  package struct Failure: Error {
    package let what: String

    package init(what: String) { self.what = what }
  }

  package let port: UInt16
  private let listener: CInt
  private var socket: CInt = -1
  private var head: [UInt8] = []
  package private(set) var reader = StrictReader()
  /// The client closed its side, or reset the connection.
  package private(set) var isEnded = false
  package private(set) var complaints: [String] = []
  /// Whether the client's pings are answered when they are seen.
  package var answersPings = false
  private var pingsAnswered = 0

  /// `receiveBufferBytes`: SO_RCVBUF of accepted connections, to make a client's writes block early.
  package init(receiveBufferBytes: CInt? = nil) throws {
    let listener = Glibc.socket(
      AF_INET, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_NONBLOCK.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
    self.listener = listener
    guard listener >= 0 else { throw Failure(what: "no socket") }
    if var bytes = receiveBufferBytes {
      setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &bytes, socklen_t(MemoryLayout<CInt>.size))
    }
    // A sockaddr_in by hand: which module the C type's members belong to depends on who imported it first.
    var address: [UInt8] = [UInt8(AF_INET), 0, 0, 0, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]
    var size = socklen_t(address.count)
    let failure = address.withUnsafeMutableBytes { bytes in
      let place = bytes.baseAddress?.assumingMemoryBound(to: sockaddr.self)
      return bind(listener, place, size) != 0 || listen(listener, 8) != 0 || getsockname(listener, place, &size) != 0
    }
    port = UInt16(address[2]) << 8 | UInt16(address[3])
    guard !failure else { throw Failure(what: "cannot listen") }
  }

  deinit {
    close(listener)
    closeSocket()
  }

  /// Closes the TCP connection; with a reset, what was sent and not read is lost.
  package func closeSocket(resets: Bool = false) {
    if resets {
      var atOnce = linger(l_onoff: 1, l_linger: 0)
      setsockopt(socket, SOL_SOCKET, SO_LINGER, &atOnce, socklen_t(MemoryLayout<linger>.size))
    }
    if socket >= 0 { close(socket) }
    socket = -1
  }

  /// Waits for the client and its request, and holds the request to the rules. Returns the client's key.
  package func request() async throws -> String {
    try await wait("a connection") {
      socket = accept(listener, nil, nil)
      return socket >= 0
    }
    _ = fcntl(socket, F_SETFL, O_NONBLOCK)
    _ = fcntl(socket, F_SETFD, FD_CLOEXEC)
    var on: CInt = 1
    setsockopt(socket, CInt(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<CInt>.size))
    try await wait("a request") {
      head += receive()
      return head.suffix(4) == [13, 10, 13, 10]
    }
    let lines = String(decoding: head, as: UTF8.self).split(separator: "\r\n").map(String.init)
    func values(_ name: String) -> [String] {
      lines.dropFirst().compactMap { line in
        guard let colon = line.firstIndex(of: ":"), line[..<colon].lowercased() == name else { return nil }
        return String(line[line.index(after: colon)...].drop { $0 == " " })
      }
    }
    let line = lines.first ?? ""
    if !line.hasPrefix("GET /") || !line.hasSuffix(" HTTP/1.1") { complaints.append("request line '\(line)'") }
    for (name, value) in [
      ("host", "127.0.0.1:\(port)"), ("upgrade", "websocket"), ("connection", "Upgrade"),
      ("sec-websocket-version", "13"),
    ] where values(name) != [value] { complaints.append("\(name): \(values(name))") }
    if !values("sec-websocket-extensions").isEmpty { complaints.append("offers extensions") }
    let keys = values("sec-websocket-key")
    // Sixteen bytes in base64.
    guard keys.count == 1, keys[0].utf8.count == 24, keys[0].hasSuffix("==") else {
      throw Failure(what: "sec-websocket-key: \(keys)")
    }
    return keys[0]
  }

  /// Serves one client on the calling thread: accepts audiofork.v1 and resets the connection after `nanoseconds`.
  package func upgradeAndReset(after nanoseconds: Int64) throws {
    func block(_ what: String, _ condition: () -> Bool) throws {
      let deadline = af_now_ns() + 5000 * millisecond
      while !condition() {
        guard af_now_ns() < deadline else { throw Failure(what: "\(what) does not come") }
        usleep(50)
      }
    }
    head = []
    isEnded = false
    try block("a connection") {
      socket = accept(listener, nil, nil)
      return socket >= 0
    }
    _ = fcntl(socket, F_SETFL, O_NONBLOCK)
    _ = fcntl(socket, F_SETFD, FD_CLOEXEC)
    try block("a request") {
      head += receive()
      return head.suffix(4) == [13, 10, 13, 10]
    }
    let field = "sec-websocket-key: "
    let line = String(decoding: head, as: UTF8.self).split(separator: "\r\n").first { $0.lowercased().hasPrefix(field) }
    guard let key = line?.dropFirst(field.count) else { throw Failure(what: "no key") }
    let answer =
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
      + "Sec-WebSocket-Accept: \(acceptValue(String(key)))\r\nSec-WebSocket-Protocol: audiofork.v1\r\n\r\n"
    let bytes = Array(answer.utf8)
    guard Glibc.send(socket, bytes, bytes.count, CInt(MSG_NOSIGNAL)) == bytes.count else {
      throw Failure(what: "no answer")
    }
    let end = af_now_ns() + nanoseconds
    while af_now_ns() < end {}
    closeSocket(resets: true)
  }

  /// Waits for a client and agrees to its request.
  package func upgrade() async throws {
    let key = try await request()
    let answer =
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
      + "Sec-WebSocket-Accept: \(acceptValue(key))\r\n\r\n"
    try await send(Array(answer.utf8))
  }

  /// Sends bytes, in separate writes of `pieces` bytes (nil: one write). Ignores a closed connection.
  package func send(_ bytes: [UInt8], pieces: Int? = nil) async throws {
    var done = 0
    while done < bytes.count {
      let end = min(bytes.count, done + (pieces ?? bytes.count))
      let count = bytes[done..<end].withUnsafeBytes { Glibc.send(socket, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL)) }
      if count > 0 { done += count } else if errno != EAGAIN { return }
      poll()
      if count <= 0 || pieces != nil { try await Task.sleep(nanoseconds: 50_000) }
    }
  }

  /// Waits for something that the client's bytes bring about.
  package func wait(_ what: String, milliseconds: Int64 = 5000, _ condition: () -> Bool) async throws {
    let deadline = af_now_ns() + milliseconds * millisecond
    while !condition() {
      guard af_now_ns() < deadline else { throw Failure(what: "\(what) does not come") }
      try await Task.sleep(nanoseconds: 1_000_000)
    }
  }

  /// Waits until received frames fulfill the condition.
  package func waitForFrames(
    _ what: String, milliseconds: Int64 = 5000, _ condition: (StrictReader) -> Bool
  ) async throws {
    try await wait(what, milliseconds: milliseconds) {
      poll()
      return condition(reader)
    }
    answerPings()
  }

  /// Looks on for so long.
  package func look(milliseconds: Int64) async throws {
    let end = af_now_ns() + milliseconds * millisecond
    repeat {
      poll()
      try await Task.sleep(nanoseconds: 1_000_000)
    } while af_now_ns() < end
    poll()
  }

  /// Takes what has come.
  package func poll() {
    reader.take(receive())
    answerPings()
  }

  private func answerPings() {
    guard answersPings else { return }
    for payload in reader.payloads(of: 9).dropFirst(pingsAnswered) {
      pingsAnswered += 1
      let pong = wireFrame(10, payload)
      _ = pong.withUnsafeBytes { Glibc.send(socket, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL)) }
    }
  }

  private func receive() -> [UInt8] {
    var all: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 16_384)
    while socket >= 0, !isEnded {
      let count = recv(socket, &buffer, buffer.count, 0)
      if count > 0 {
        all += buffer.prefix(count)
      } else if count == 0 {
        isEnded = true
      } else if errno == EAGAIN {
        break
      } else {
        isEnded = true
        complaints.append("the client reset the connection")
      }
    }
    return all
  }
}
