// SPDX-License-Identifier: Apache-2.0
import Glibc

/// A WebSocket client on a plain blocking socket, which can also break every rule. A read waits five seconds at most.
final class TestClient {
  struct Frame: Equatable {
    let opcode: UInt8
    let payload: [UInt8]
    /// Code of a Close frame.
    var code: Int? { payload.count >= 2 ? Int(payload[0]) << 8 | Int(payload[1]) : nil }
  }

  private let socket: CInt
  private var received: [UInt8] = []
  /// The head of the server's answer.
  private(set) var answer = ""

  /// Connects, and asks for an upgrade.
  init(
    port: Int, path: String = "/", headers: [String] = [], upgrade: String = "websocket", ipv6: Bool = false
  ) throws {
    socket = Glibc.socket(ipv6 ? AF_INET6 : AF_INET, CInt(SOCK_STREAM.rawValue), 0)
    var wait = timeval(tv_sec: 5, tv_usec: 0)
    setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &wait, socklen_t(MemoryLayout<timeval>.size))
    guard TestClient.connect(socket, port: port, ipv6: ipv6) == 0 else { throw SystemCallFailed(what: "connect") }
    var request = "GET \(path) HTTP/1.1\r\nHost: localhost:\(port)\r\nConnection: Upgrade\r\nUpgrade: \(upgrade)\r\n"
    request += "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    for header in headers { request += header + "\r\n" }
    send(raw: Array((request + "\r\n").utf8))
    while !answer.hasSuffix("\r\n\r\n") {
      guard let byte = bytes(1) else { throw SystemCallFailed(what: "handshake, got \(answer)") }
      answer += String(decoding: byte, as: UTF8.self)
    }
  }

  deinit { disconnect() }

  private var isOpen = true

  /// Ends the connection without a Close.
  func disconnect() {
    if isOpen { Glibc.close(socket) }
    isOpen = false
  }

  /// Sends a frame; `first` replaces the whole first byte (FIN, reserved bits, opcode).
  func send(_ opcode: UInt8, _ payload: [UInt8], fin: Bool = true, masked: Bool = true, first: UInt8? = nil) {
    var frame: [UInt8] = [first ?? ((fin ? 0x80 : 0) | opcode)]
    let maskBit: UInt8 = masked ? 0x80 : 0
    switch payload.count {
    case ..<126: frame.append(maskBit | UInt8(payload.count))
    case ..<65536: frame += [maskBit | 126, UInt8(payload.count >> 8), UInt8(payload.count & 255)]
    default: frame += [maskBit | 127] + (0..<8).reversed().map { UInt8(truncatingIfNeeded: payload.count >> ($0 * 8)) }
    }
    let key: [UInt8] = [0x12, 0x34, 0x56, 0x78]
    frame += masked ? key + payload.enumerated().map { $1 ^ key[$0 % 4] } : payload
    send(raw: frame)
  }

  func send(raw: [UInt8]) {
    var rest = raw[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { Glibc.send(socket, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL)) }
      guard count > 0 else { return }
      rest = rest.dropFirst(count)
    }
  }

  /// Sends the same bytes again and again for so many seconds, as far as the server takes them. Reads nothing.
  /// - Returns: how many bytes went.
  func flood(_ bytes: [UInt8], seconds: Int) -> Int {
    var sent = 0
    let end = time(nil) + seconds
    while time(nil) < end {
      let from = sent % bytes.count
      let count = bytes.withUnsafeBytes {
        let flags = CInt(MSG_NOSIGNAL) | CInt(MSG_DONTWAIT)
        return Glibc.send(socket, $0.baseAddress.map { $0 + from }, bytes.count - from, flags)
      }
      if count > 0 { sent += count } else if errno == EAGAIN { usleep(10_000) } else { break }
    }
    return sent
  }

  /// The server's next frame; nil when the connection has ended or nothing came in time.
  func frame() -> Frame? {
    guard let head = bytes(2) else { return nil }
    var length = Int(head[1] & 0x7F)
    if length == 126 {
      guard let long = bytes(2) else { return nil }
      length = Int(long[0]) << 8 | Int(long[1])
    }
    guard head[0] & 0x80 != 0, head[1] & 0x80 == 0, let payload = bytes(length) else { return nil }
    return Frame(opcode: head[0] & 0x0F, payload: payload)
  }

  /// The server's next frame, where it begins to come within so many seconds.
  func frame(within seconds: Double) -> Frame? {
    var wanted = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
    guard !received.isEmpty || poll(&wanted, 1, CInt(seconds * 1000)) > 0 else { return nil }
    return frame()
  }

  /// Sends a Close and returns the one that comes back.
  func close(_ code: Int = 1000) -> Frame? {
    send(8, [UInt8(code >> 8), UInt8(code & 255)])
    return frame()
  }

  private func bytes(_ count: Int) -> [UInt8]? {
    var block = [UInt8](repeating: 0, count: 4096)
    while received.count < count {
      let got = recv(socket, &block, block.count, 0)
      guard got > 0 else { return nil }
      received += block.prefix(got)
    }
    defer { received.removeFirst(count) }
    return Array(received.prefix(count))
  }

  private static func connect(_ socket: CInt, port: Int, ipv6: Bool) -> CInt {
    if ipv6 {
      var address = sockaddr_in6()
      address.sin6_family = sa_family_t(AF_INET6)
      address.sin6_port = in_port_t(UInt16(truncatingIfNeeded: port).bigEndian)
      address.sin6_addr = in6addr_loopback
      return withUnsafeBytes(of: &address) {
        Glibc.connect(socket, $0.assumingMemoryBound(to: sockaddr.self).baseAddress, socklen_t($0.count))
      }
    }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = in_port_t(UInt16(truncatingIfNeeded: port).bigEndian)
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    return withUnsafeBytes(of: &address) {
      Glibc.connect(socket, $0.assumingMemoryBound(to: sockaddr.self).baseAddress, socklen_t($0.count))
    }
  }
}
