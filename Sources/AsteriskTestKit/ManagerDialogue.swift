// SPDX-License-Identifier: Apache-2.0
import Glibc

/// One AMI connection on which a test speaks and listens in turn.
package final class ManagerDialogue {
  /// One block of headers, in their order; a name may come several times.
  package struct Block: Sendable, CustomStringConvertible {
    package let headers: [(name: String, value: String)]
    /// The first header of this name.
    package subscript(_ name: String) -> String? { headers.first { $0.name == name }?.value }
    package var description: String { headers.map { "\($0.name): \($0.value)" }.joined(separator: "\n") }
    /// What a CLI command printed.
    package var output: String { headers.filter { $0.name == "Output" }.map(\.value).joined(separator: "\n") }
  }

  private let socket: Int32
  private var received: [UInt8] = []
  private var requests = 0
  /// Events that came between the answers, the oldest first.
  package private(set) var events: [Block] = []

  /// Connects and logs in. Without events only answers come.
  package init(_ sandbox: Sandbox, events: Bool = false) throws {
    socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = UInt16(sandbox.facts["ami_port"] ?? "")?.bigEndian ?? 0
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    var patience = timeval(tv_sec: 10, tv_usec: 0)
    setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
    let connected = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    guard connected == 0 else { throw TestKitError("no AMI on port \(sandbox.facts["ami_port"] ?? "?")") }
    _ = try line()  // Asterisk's greeting
    let login = try request(
      "Action: Login\nUsername: audiofork\nSecret: \(sandbox.facts["ami_secret"] ?? "")\nEvents: \(events ? "on" : "off")")
    guard login.first?["Response"] == "Success" else { throw TestKitError("AMI refuses the login: \(login)") }
  }

  deinit { close(socket) }

  /// Sends an action, "Name: value" lines, and returns its answer: one block, or all those of an event list. An
  /// ActionID in it is used, else one is made.
  package func request(_ lines: String) throws -> [Block] {
    requests += 1
    var text = lines.split(separator: "\n").joined(separator: "\r\n")
    var id = "test-\(requests)"
    if let given = lines.split(separator: "\n").first(where: { $0.hasPrefix("ActionID: ") }) {
      id = String(given.dropFirst(10))
    } else {
      text += "\r\nActionID: \(id)"
    }
    try write(text + "\r\n\r\n")
    var answer: [Block] = []
    while true {
      let block = try block()
      guard block["ActionID"] == id, block["Response"] != nil || !answer.isEmpty else {
        events.append(block)
        continue
      }
      answer.append(block)
      if answer.count == 1, block["EventList"] != "start" { return answer }
      if block["EventList"] == "Complete" { return answer }
    }
  }

  /// Runs a CLI command and returns what it prints.
  package func cli(_ command: String) throws -> String {
    let answer = try request("Action: Command\nCommand: \(command)")
    return answer.first?.output ?? ""
  }

  /// The first event that fulfils the condition, of those that came and those that come within ten seconds each.
  package func event(where matches: (Block) -> Bool) throws -> Block {
    while true {
      if let found = events.firstIndex(where: matches) { return events.remove(at: found) }
      events.append(try block())
    }
  }

  private func write(_ text: String) throws {
    var bytes = Array(text.utf8)
    while !bytes.isEmpty {
      let count = send(socket, bytes, bytes.count, Int32(MSG_NOSIGNAL))
      guard count > 0 else { throw TestKitError("AMI closed the connection") }
      bytes.removeFirst(count)
    }
  }

  private func block() throws -> Block {
    var headers: [(name: String, value: String)] = []
    while true {
      let line = try line()
      if line.isEmpty {
        if headers.isEmpty { continue }
        return Block(headers: headers)
      }
      let parts = line.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
      headers.append((parts[0], parts.count > 1 ? String(parts[1].drop { $0 == " " }) : ""))
    }
  }

  /// The next line without its end.
  private func line() throws -> String {
    while true {
      if let end = received.firstIndex(of: 10) {
        var line = Array(received[..<end])
        received.removeFirst(end + 1)
        if line.last == 13 { line.removeLast() }
        return String(decoding: line, as: UTF8.self)
      }
      var buffer = [UInt8](repeating: 0, count: 65_536)
      let count = recv(socket, &buffer, buffer.count, 0)
      guard count > 0 else { throw TestKitError("nothing more comes from AMI; so far: \(String(decoding: received, as: UTF8.self))") }
      received += buffer[..<count]
    }
  }
}
