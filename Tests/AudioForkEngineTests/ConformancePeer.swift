// SPDX-License-Identifier: Apache-2.0
import AudioForkEngineTestKit
import AudioForkTestKit
import CAudioForkABI
import Glibc
import Testing

/// Frames as a strict server reads them from a client, by RFC 6455 alone. What is wrong is written down.
struct StrictReader {
  struct Frame: Equatable {
    var opcode: UInt8
    var payload: [UInt8]
  }

  private(set) var frames: [Frame] = []
  private(set) var complaints: [String] = []
  private var bytes: [UInt8] = []
  private var lastKey: [UInt8]?

  /// The payload of the client's Close frame.
  var close: [UInt8]? { frames.first { $0.opcode == 8 }?.payload }
  func payloads(of opcode: UInt8) -> [[UInt8]] { frames.filter { $0.opcode == opcode }.map(\.payload) }
  /// Whether the client stopped in the middle of a frame.
  var isInsideFrame: Bool { !bytes.isEmpty }

  mutating func take(_ more: some Sequence<UInt8>) {
    bytes += more
    while let count = frame() { bytes.removeFirst(count) }
  }

  /// Reads the first frame; its length with header, nil where it is not whole.
  private mutating func frame() -> Int? {
    guard bytes.count >= 2 else { return nil }
    let short = Int(bytes[1] & 0x7F)
    let extended = short == 126 ? 2 : short == 127 ? 8 : 0
    let isMasked = bytes[1] & 0x80 != 0
    let header = 2 + extended + (isMasked ? 4 : 0)
    guard bytes.count >= header else { return nil }
    let length = extended == 0 ? short : bytes[2..<(2 + extended)].reduce(0) { $0 << 8 | Int($1) }
    guard bytes.count >= header + length else { return nil }
    let opcode = bytes[0] & 0x0F
    if frames.contains(where: { $0.opcode == 8 }) { complaints.append("a frame behind its Close: opcode \(opcode)") }
    if bytes[0] & 0x70 != 0 { complaints.append("reserved bits") }
    if bytes[0] & 0x80 == 0 { complaints.append("no FIN: this client never makes fragments") }
    if ![1, 2, 8, 9, 10].contains(opcode) { complaints.append("opcode \(opcode)") }
    if !isMasked { complaints.append("no mask") }
    if extended == 2 && length < 126 || extended == 8 && length < 65_536 {
      complaints.append("a length not minimal: \(length)")
    }
    if opcode >= 8 && length > 125 { complaints.append("a control frame of \(length) bytes") }
    let key = isMasked ? Array(bytes[(header - 4)..<header]) : [0, 0, 0, 0]
    if key == lastKey { complaints.append("the masking key of the frame before") }
    lastKey = key
    let payload = (0..<length).map { bytes[header + $0] ^ key[$0 % 4] }
    judge(opcode, payload)
    frames.append(Frame(opcode: opcode, payload: payload))
    return header + length
  }

  private mutating func judge(_ opcode: UInt8, _ payload: [UInt8]) {
    if opcode == 1, String(validating: payload, as: UTF8.self) == nil { complaints.append("a text that is not UTF-8") }
    guard opcode == 8, !payload.isEmpty else { return }
    guard payload.count >= 2 else { return complaints.append("a Close of one byte") }
    let code = Int(payload[0]) << 8 | Int(payload[1])
    if !(1000...1003).contains(code) && !(1007...1014).contains(code) && !(3000...4999).contains(code) {
      complaints.append("a Close with code \(code)")
    }
    if String(validating: payload.dropFirst(2), as: UTF8.self) == nil {
      complaints.append("a close reason that is not UTF-8")
    }
  }
}

/// A server of bytes: a socket, and what a test says. Serves one connection; used by one task.
final class ConformancePeer {
  struct Failure: Error { let what: String }

  let port: UInt16
  private let listener: CInt
  private var socket: CInt = -1
  private var head: [UInt8] = []
  private(set) var reader = StrictReader()
  /// The client closed its side, or reset the connection.
  private(set) var isEnded = false
  private(set) var complaints: [String] = []
  /// Whether the client's pings are answered when they are seen.
  var answersPings = false
  private var pingsAnswered = 0

  /// `receiveBufferBytes`: of its connections, which then hold little that nobody has read.
  init(receiveBufferBytes: CInt? = nil) throws {
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
  func closeSocket(resets: Bool = false) {
    if resets {
      var atOnce = linger(l_onoff: 1, l_linger: 0)
      setsockopt(socket, SOL_SOCKET, SO_LINGER, &atOnce, socklen_t(MemoryLayout<linger>.size))
    }
    if socket >= 0 { close(socket) }
    socket = -1
  }

  /// Waits for the client and its request, and holds the request to the rules. Returns the client's key.
  func request() async throws -> String {
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

  /// Serves one client on the calling thread, which it blocks: agrees to audiofork.v1 and resets the connection so long
  /// behind that.
  func upgradeAndReset(after nanoseconds: Int64) throws {
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
    guard Glibc.send(socket, bytes, bytes.count, CInt(MSG_NOSIGNAL)) == bytes.count else { throw Failure(what: "no answer") }
    let end = af_now_ns() + nanoseconds
    while af_now_ns() < end {}
    closeSocket(resets: true)
  }

  /// Waits for a client and agrees to its request.
  func upgrade() async throws {
    let key = try await request()
    let answer =
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
      + "Sec-WebSocket-Accept: \(acceptValue(key))\r\n\r\n"
    try await send(Array(answer.utf8))
  }

  /// Sends in pieces of so many bytes, each for itself; nil: all at once. A client that has gone is no failure here.
  func send(_ bytes: [UInt8], pieces: Int? = nil) async throws {
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
  func wait(_ what: String, milliseconds: Int64 = 5000, _ condition: () -> Bool) async throws {
    let deadline = af_now_ns() + milliseconds * millisecond
    while !condition() {
      guard af_now_ns() < deadline else { throw Failure(what: "\(what) does not come") }
      try await Task.sleep(nanoseconds: 1_000_000)
    }
  }

  /// The same of frames.
  func waitForFrames(_ what: String, milliseconds: Int64 = 5000, _ condition: (StrictReader) -> Bool) async throws {
    try await wait(what, milliseconds: milliseconds) {
      poll()
      return condition(reader)
    }
    answerPings()
  }

  /// Looks on for so long.
  func look(milliseconds: Int64) async throws {
    let end = af_now_ns() + milliseconds * millisecond
    repeat {
      poll()
      try await Task.sleep(nanoseconds: 1_000_000)
    } while af_now_ns() < end
    poll()
  }

  /// Takes what has come.
  func poll() {
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

/// A frame's bytes, right or wrong as asked. `length` instead of the payload's own; `lengthBytes` instead of as few as
/// do.
func wireFrame(
  _ opcode: UInt8, _ payload: [UInt8] = [], fin: Bool = true, reserved: UInt8 = 0, key: [UInt8]? = nil,
  length: UInt64? = nil,
  lengthBytes: Int? = nil
) -> [UInt8] {
  let length = length ?? UInt64(payload.count)
  let wide = lengthBytes ?? (length < 126 ? 0 : length < 65_536 ? 2 : 8)
  let mask: UInt8 = key == nil ? 0 : 0x80
  var bytes = [(fin ? 0x80 : 0) | reserved << 4 | opcode]
  bytes.append(mask | (wide == 0 ? UInt8(length) : wide == 2 ? 126 : 127))
  for shift in (0..<wide).reversed() { bytes.append(UInt8(truncatingIfNeeded: length >> UInt64(8 * shift))) }
  guard let key else { return bytes + payload }
  return bytes + key + payload.indices.map { payload[$0] ^ key[$0 % 4] }
}

/// What a server answers to a key: base64 of SHA-1 of the key and a fixed text (RFC 6455 section 4.2.2).
func acceptValue(_ key: String) -> String {
  var words = sha1(Array((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").utf8)) + [0]
  let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
  var text: [UInt8] = []
  while !words.isEmpty {
    let number = words.prefix(3).reduce(0) { $0 << 8 | Int($1) }
    text += [18, 12, 6, 0].map { alphabet[number >> $0 & 63] }
    words.removeFirst(3)
  }
  // Twenty bytes leave one place empty.
  return String(decoding: text.dropLast() + [UInt8(ascii: "=")], as: UTF8.self)
}

/// FIPS 180-4. Written again so that the peer shares nothing with what it judges.
private func sha1(_ message: [UInt8]) -> [UInt8] {
  func rotated(_ word: UInt32, _ count: UInt32) -> UInt32 { word << count | word >> (32 - count) }
  var padded = message + [0x80]
  while padded.count % 64 != 56 { padded.append(0) }
  for shift in (0..<8).reversed() { padded.append(UInt8(truncatingIfNeeded: (message.count * 8) >> (8 * shift))) }
  var state: [UInt32] = [0x6745_2301, 0xEFCD_AB89, 0x98BA_DCFE, 0x1032_5476, 0xC3D2_E1F0]
  for block in stride(from: 0, to: padded.count, by: 64) {
    var words = stride(from: block, to: block + 64, by: 4).map { at in
      padded[at..<(at + 4)].reduce(0) { $0 << 8 | UInt32($1) }
    }
    for index in 16..<80 {
      words.append(rotated(words[index - 3] ^ words[index - 8] ^ words[index - 14] ^ words[index - 16], 1))
    }
    var (a, b, c, d, e) = (state[0], state[1], state[2], state[3], state[4])
    for index in 0..<80 {
      let (f, constant): (UInt32, UInt32) =
        switch index {
        case 0..<20: (b & c | ~b & d, 0x5A82_7999)
        case 20..<40: (b ^ c ^ d, 0x6ED9_EBA1)
        case 40..<60: (b & c | b & d | c & d, 0x8F1B_BCDC)
        default: (b ^ c ^ d, 0xCA62_C1D6)
        }
      (a, b, c, d, e) = (rotated(a, 5) &+ f &+ e &+ constant &+ words[index], a, rotated(b, 30), c, d)
    }
    for (index, word) in [a, b, c, d, e].enumerated() { state[index] &+= word }
  }
  return state.flatMap { word in [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: word >> UInt32($0)) } }
}
