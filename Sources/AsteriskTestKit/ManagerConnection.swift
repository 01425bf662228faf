// SPDX-License-Identifier: Apache-2.0
import Foundation
import Synchronization

/// One reply or event of Asterisk's manager interface.
package struct ManagerMessage: Sendable {
  /// As it came, with its line ends, without the empty line behind it.
  package let text: String
  /// The headers in their order. A name may come more than once.
  package let headers: [(name: String, value: String)]

  init(_ text: String) {
    self.text = text
    headers = text.components(separatedBy: "\r\n").compactMap { line in
      guard let colon = line.firstIndex(of: ":") else { return nil }
      let value = line[line.index(after: colon)...]
      return (String(line[..<colon]), String(value.hasPrefix(" ") ? value.dropFirst() : value))
    }
  }

  /// The headers by name. What comes more than once (a command's `Output`) is joined with newlines.
  package var fields: [String: String] {
    Dictionary(headers.map { ($0.name, $0.value) }, uniquingKeysWith: { $0 + "\n" + $1 })
  }

  /// The first value under the name.
  package subscript(name: String) -> String? { headers.first { $0.name == name }?.value }
}

/// A client of Asterisk's manager interface, logged in: actions and their replies, and the events since the login.
package final class ManagerConnection: Sendable {
  private struct State {
    /// Bytes that are no whole message yet.
    var partial: [UInt8] = []
    var greetingIsOver = false
    var isOver = false
    var replies: [String: ManagerMessage] = [:]
    /// Events that belong to an action's reply, by its id.
    var items: [String: [ManagerMessage]] = [:]
    var events: [ManagerMessage] = []
    var lastAction = 0
  }

  /// What the reading thread shares with us. It holds no reference to the connection, whose end must end the thread.
  private final class Inbox: Sendable {
    let descriptor: Int32
    let state = Mutex(State())
    init(_ descriptor: Int32) { self.descriptor = descriptor }

    func read() {
      var buffer = [UInt8](repeating: 0, count: 65_536)
      while true {
        let count = Foundation.read(descriptor, &buffer, buffer.count)
        guard count > 0 else { break }
        state.withLock { Self.append(buffer[0..<count], to: &$0) }
      }
      state.withLock { state in
        state.isOver = true
        close(descriptor)
      }
    }

    private static func append(_ bytes: ArraySlice<UInt8>, to state: inout State) {
      state.partial += bytes
      if !state.greetingIsOver {
        guard let end = state.partial.firstIndex(of: UInt8(ascii: "\n")) else { return }
        state.partial.removeSubrange(...end)
        state.greetingIsOver = true
      }
      let text = String(decoding: state.partial, as: UTF8.self)
      var blocks = text.components(separatedBy: "\r\n\r\n")
      guard blocks.count > 1 else { return }
      state.partial = Array(blocks.removeLast().utf8)
      for message in blocks.map(ManagerMessage.init) {
        let action = message["ActionID"]
        // OriginateResponse is an event with a header of this name.
        if message["Response"] != nil, message["Event"] == nil {
          state.replies[action ?? ""] = message
        } else {
          if let action { state.items[action, default: []].append(message) }
          state.events.append(message)
        }
      }
    }
  }

  private let inbox: Inbox

  /// Connects to the sandbox's manager interface and logs in with all privileges.
  package init(_ sandbox: Sandbox) async throws {
    guard let port = UInt16(sandbox.facts["ami_port"] ?? ""), let secret = sandbox.facts["ami_secret"] else {
      throw TestKitError("the sandbox has no manager interface")
    }
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    let connected = withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    guard connected == 0, fcntl(descriptor, F_SETFD, FD_CLOEXEC) == 0 else {
      let reason = String(cString: strerror(errno))
      close(descriptor)
      throw TestKitError("the manager interface at port \(port): \(reason)")
    }
    let inbox = Inbox(descriptor)
    self.inbox = inbox
    Thread { inbox.read() }.start()
    let reply = try await send("Login", [("Username", "audiofork"), ("Secret", secret)])
    guard reply["Response"] == "Success" else { throw TestKitError("the manager interface refuses us: \(reply)") }
  }

  deinit { end() }

  /// Ends the connection.
  package func end() {
    inbox.state.withLock { state in
      if !state.isOver { _ = shutdown(inbox.descriptor, Int32(SHUT_RDWR)) }
    }
  }

  /// Sends an action and waits for its reply.
  @discardableResult
  package func send(
    _ action: String, _ headers: [(String, String)] = [], within seconds: Double = 10
  ) async throws -> [String: String] {
    try await reply(to: action, headers, within: seconds).fields
  }

  /// The same, with the reply as it came.
  package func reply(
    to action: String, _ headers: [(String, String)] = [], within seconds: Double = 10
  ) async throws -> ManagerMessage {
    let identifier = try post(action, headers)
    guard let reply = await eventually(within: seconds, { self.inbox.state.withLock { $0.replies[identifier] } }) else {
      throw TestKitError("no reply to \(action)")
    }
    return reply
  }

  /// Sends an action that is answered by a list: its reply, and its items up to the one that ends it.
  package func list(
    _ action: String, _ headers: [(String, String)] = [], within seconds: Double = 10
  ) async throws -> (reply: [String: String], items: [[String: String]], end: [String: String]) {
    let identifier = try post(action, headers)
    var items: [ManagerMessage] = []
    let isComplete = await becomesTrue(within: seconds) {
      self.inbox.state.withLock { state in
        items = state.items[identifier] ?? []
        // Without a list there is nothing to wait for.
        if let reply = state.replies[identifier], reply["EventList"] == nil { return true }
        return items.last.map { $0["EventList"] == "Complete" || $0["Event"]?.hasSuffix("Complete") == true } ?? false
      }
    }
    guard isComplete, let reply = inbox.state.withLock({ $0.replies[identifier] }) else {
      throw TestKitError("no end of the list that \(action) gives")
    }
    return (reply.fields, items.dropLast().map(\.fields), items.last?.fields ?? [:])
  }

  private func post(_ action: String, _ headers: [(String, String)]) throws -> String {
    try inbox.state.withLock { state in
      guard !state.isOver else { throw TestKitError("the manager connection is over; \(action) was not sent") }
      state.lastAction += 1
      let identifier = "kit-\(state.lastAction)"
      let lines = [("Action", action), ("ActionID", identifier)] + headers
      let bytes = Array((lines.map { "\($0.0): \($0.1)" }.joined(separator: "\r\n") + "\r\n\r\n").utf8)
      var sent = 0
      while sent < bytes.count {
        let count = bytes[sent...].withUnsafeBytes {
          Foundation.send(inbox.descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
        }
        guard count > 0 else { throw TestKitError("\(action): \(String(cString: strerror(errno)))") }
        sent += count
      }
      return identifier
    }
  }

  /// How many events have come so far: a place from which `event` and `events` can look.
  package var eventCount: Int { inbox.state.withLock { $0.events.count } }

  /// The events of that name so far, from a place on.
  package func events(named name: String, from place: Int = 0) -> [[String: String]] {
    inbox.state.withLock { $0.events[min(place, $0.events.count)...].filter { $0["Event"] == name } }.map(\.fields)
  }

  /// Everything that came as an event, as it came, from a place on.
  package func messages(from place: Int = 0) -> [ManagerMessage] {
    inbox.state.withLock { Array($0.events[min(place, $0.events.count)...]) }
  }

  /// The first event of that name, from a place on, that fulfils the condition; awaited for at most `seconds`.
  package func event(
    named name: String, from place: Int = 0, within seconds: Double = 5,
    where matches: @Sendable ([String: String]) -> Bool = { _ in true }
  ) async -> [String: String]? {
    await eventually(within: seconds) { self.events(named: name, from: place).first(where: matches) }
  }
}
