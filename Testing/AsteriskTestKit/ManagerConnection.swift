// SPDX-License-Identifier: Apache-2.0
internal import AudioForkTestKit
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
///
/// It sends a Ping after each second without a message. Asterisk up to 22 can lose the signal that an event is waiting:
/// `get_input` in main/manager.c announces the thread that waits, unlocks, and polls without a limit; a SIGURG that
/// comes between the two interrupts nothing. The event then stays in Asterisk until the next one, or until the client
/// sends something. Asterisk's commit 2158dff4b5 replaces the signal with a pipe.
package final class ManagerConnection: Sendable {
  private struct State {
    /// Bytes that are no whole message yet.
    var partial: [UInt8] = []
    var greetingIsOver = false
    var isLoggedIn = false
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
        var waiting = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        let isReady = poll(&waiting, 1, 1000)
        if isReady == 0 { ping() }
        guard isReady > 0 else { continue }
        let count = Foundation.read(descriptor, &buffer, buffer.count)
        guard count > 0 else { break }
        state.withLock { Self.append(buffer[0..<count], to: &$0) }
      }
      state.withLock { state in
        state.isOver = true
        close(descriptor)
      }
    }

    /// Makes Asterisk look for events that it has kept.
    private func ping() {
      state.withLock { state in
        guard state.isLoggedIn else { return }
        let bytes = Array("Action: Ping\r\nActionID: kit-ping\r\n\r\n".utf8)
        // No wait with the lock held: an Asterisk that has stopped reading may be waiting for us to read.
        _ = Foundation.send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
      }
    }

    private static func append(_ bytes: ArraySlice<UInt8>, to state: inout State) {
      state.partial += bytes
      if !state.greetingIsOver {
        guard let end = state.partial.firstIndex(of: UInt8(ascii: "\n")) else { return }
        state.partial.removeSubrange(...end)
        state.greetingIsOver = true
      }
      while let end = state.partial.firstRange(of: Array("\r\n\r\n".utf8)) {
        // Bytes, and not text that is taken apart: a read may end inside of a character.
        let message = ManagerMessage(String(decoding: state.partial[..<end.lowerBound], as: UTF8.self))
        state.partial.removeSubrange(..<end.upperBound)
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

  /// Connects to the sandbox's manager interface and logs in: with all privileges, or with an account of manager.conf.
  package init(
    _ sandbox: Sandbox, hearsEvents: Bool = true, account: (name: String, secret: String)? = nil
  ) async throws {
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
    let reply = try await send(
      "Login",
      [
        ("Username", account?.name ?? "audiofork"), ("Secret", account?.secret ?? secret),
        ("Events", hearsEvents ? "on" : "off"),
      ])
    guard reply["Response"] == "Success" else { throw TestKitError("the manager interface refuses us: \(reply)") }
    inbox.state.withLock { $0.isLoggedIn = true }
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

  /// Sends actions at once and waits for all their replies, which it then forgets.
  package func send(
    _ actions: [(String, [(String, String)])], within seconds: Double = 10
  ) async throws -> [ManagerMessage] {
    let identifiers = try actions.map { try post($0.0, $0.1) }
    let replies = await eventually(within: seconds) { () -> [ManagerMessage]? in
      self.inbox.state.withLock { state in
        let replies = identifiers.compactMap { state.replies[$0] }
        guard replies.count == identifiers.count else { return nil }
        for identifier in identifiers { state.replies[identifier] = nil }
        return replies
      }
    }
    guard let replies else { throw TestKitError("not all of \(actions.count) actions were answered") }
    return replies
  }

  /// Sends an action that is answered by a list: its reply, and its items up to the one that ends it.
  package func list(
    _ action: String, _ headers: [(String, String)] = [], within seconds: Double = 10
  ) async throws -> (reply: [String: String], items: [[String: String]], end: [String: String]) {
    let answer = try await answer(to: post(action, headers), within: seconds)
    return (
      answer[0].fields, answer.dropFirst().dropLast().map(\.fields),
      answer.count > 1 ? answer[answer.count - 1].fields : [:]
    )
  }

  /// Sends an action as it is written, "Name: value" lines, and returns what answers it: the reply, and behind it the
  /// events of a list. An ActionID in it is used; else one is made.
  package func exchange(_ lines: String, within seconds: Double = 10) async throws -> [ManagerMessage] {
    let lines = lines.split(separator: "\n").map(String.init)
    let given = lines.first { $0.hasPrefix("ActionID: ") }.map { String($0.dropFirst(10)) }
    return try await answer(to: post(lines, given), within: seconds)
  }

  /// Runs a CLI command and returns what it prints.
  package func cli(_ command: String) async throws -> String {
    try await send("Command", [("Command", command)])["Output"] ?? ""
  }

  /// The reply, and the events that belong to it where it begins a list.
  private func answer(to identifier: String, within seconds: Double) async throws -> [ManagerMessage] {
    let answer = await eventually(within: seconds) { () -> [ManagerMessage]? in
      self.inbox.state.withLock { state in
        guard let reply = state.replies[identifier] else { return nil }
        // Without a list there is nothing to wait for.
        guard reply["EventList"] != nil else { return [reply] }
        let items = state.items[identifier] ?? []
        let isComplete =
          items.last.map { $0["EventList"] == "Complete" || $0["Event"]?.hasSuffix("Complete") == true } ?? false
        return isComplete ? [reply] + items : nil
      }
    }
    guard let answer else { throw TestKitError("no answer to \(identifier), or no end of it") }
    return answer
  }

  private func post(_ action: String, _ headers: [(String, String)]) throws -> String {
    try post(([("Action", action)] + headers).map { "\($0.0): \($0.1)" }, nil)
  }

  /// Sends the lines, an ActionID among them or not, and returns the id under which the answer comes.
  private func post(_ lines: [String], _ given: String?) throws -> String {
    try inbox.state.withLock { state in
      guard !state.isOver else { throw TestKitError("the manager connection is over; nothing was sent of \(lines)") }
      state.lastAction += 1
      let identifier = given ?? "kit-\(state.lastAction)"
      // An id that is used again: what answered it before answers nothing now.
      state.replies[identifier] = nil
      state.items[identifier] = nil
      let all = given == nil ? lines + ["ActionID: \(identifier)"] : lines
      let bytes = Array((all.joined(separator: "\r\n") + "\r\n\r\n").utf8)
      var sent = 0
      while sent < bytes.count {
        let count = bytes[sent...].withUnsafeBytes {
          Foundation.send(inbox.descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
        }
        guard count > 0 else { throw TestKitError("the manager connection: \(String(cString: strerror(errno)))") }
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
