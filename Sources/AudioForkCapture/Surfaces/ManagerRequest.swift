// SPDX-License-Identifier: GPL-2.0-or-later
import AudioForkBytes
import AudioForkSurface
import CAsterisk

/// One request of an AMI client: its headers, and the way back. Each action answers exactly once.
struct ManagerRequest {
  private let session: OpaquePointer?
  private let message: UnsafePointer<CAsterisk.message>?

  init(_ session: OpaquePointer?, _ message: UnsafePointer<CAsterisk.message>?) {
    self.session = session
    self.message = message
  }

  /// A header's value; empty where the client sent none.
  func header(_ name: StaticString) -> Bytes {
    bytes(astman_get_header(message, UnsafeMutablePointer(mutating: name.utf8Pointer)))
  }

  func fail(_ pieces: TextPiece...) {
    // Quoted from the request, which may have come by HTTP with line ends in it.
    withCString(escaped(joined(pieces))) { astman_send_error(session, message, UnsafeMutablePointer(mutating: $0)) }
  }

  /// `Response: Success`, ActionID, and more lines where there are some.
  func succeed(_ lines: (name: StaticString, value: Bytes)...) {
    var reply = Bytes(text: "Response: Success\r\n")
    appendActionID(to: &reply)
    for line in lines { append(line.name, line.value, to: &reply) }
    reply.append("\r\n")
    withCString(reply) { af_manager_append(session, $0) }
  }

  /// A list of events: its beginning, one for each row, and its end.
  func list(_ rows: [ForkRow]) {
    withCString(Bytes(text: "Audio forks will follow")) { text in
      withCString(Bytes(text: "start")) {
        astman_send_listack(session, message, UnsafeMutablePointer(mutating: text), UnsafeMutablePointer(mutating: $0))
      }
    }
    for row in rows {
      var event = Bytes()
      append("Event", Bytes(text: ActionDefinition.listEvent), to: &event)
      appendActionID(to: &event)
      for fact in ForkFact.all { append(fact.name, row.text(fact.value), to: &event) }
      event.append("\r\n")
      withCString(event) { af_manager_append(session, $0) }
    }
    astman_send_list_complete_start(
      session, message, ActionDefinition.listEndEvent.utf8Pointer, CInt(truncatingIfNeeded: rows.count))
    astman_send_list_complete_end(session)
  }

  private func appendActionID(to reply: inout Bytes) {
    let id = header("ActionID")
    if !id.isEmpty { append("ActionID", escaped(id), to: &reply) }
  }

  private func append(_ name: StaticString, _ value: Bytes, to reply: inout Bytes) {
    reply.append(name)
    reply.append(": ")
    reply += value
    reply.append("\r\n")
  }
}
