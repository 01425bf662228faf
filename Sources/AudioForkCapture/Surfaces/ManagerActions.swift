// SPDX-License-Identifier: GPL-2.0-or-later
import AudioForkBytes
import AudioForkSurface
import CAsterisk

/// Runs `body` with the channel that the request names; answers with an error where there is none.
private func withChannel(_ request: ManagerRequest, _ body: (OpaquePointer) -> Void) {
  let name = request.header("Channel")
  guard !name.isEmpty else { return request.fail("No channel specified") }
  guard let channel = withCString(name, { ast_channel_get_by_name($0) }) else { return request.fail("No such channel") }
  body(channel)
  af_channel_unref(channel)
}

extension ManagerRequest {
  /// The fork that the request names; nil for all of the channel's.
  fileprivate var forkID: Bytes? {
    let id = header("AudioForkID")
    return id.isEmpty ? nil : id
  }

  /// Says that the channel has no fork, or none with the id that was asked for.
  fileprivate func failWithoutFork(_ what: StaticString) {
    if let forkID {
      fail(.literal(what), ": the channel has no fork with the id ", .bytes(forkID))
    } else {
      fail(.literal(what), ": the channel has no fork")
    }
  }
}

/// The AMI actions.
enum ManagerActions {
  static func start(_ request: ManagerRequest) {
    withChannel(request) { channel in
      let arguments = ForkArguments(
        url: request.header("WsServer"), options: request.header("Options"), command: request.header("Command"))
      guard !arguments.url.isEmpty else {
        return request.fail("No WsServer specified. Must be a ws:// or wss:// URL, or a profile of audiofork.conf")
      }
      do throws(CommandError) {
        let id = try startFork(channel, arguments, from: .manager)
        request.succeed(("AudioForkID", id))
      } catch {
        request.fail("Could not start monitoring channel: ", .bytes(error.message))
      }
    }
  }

  static func stop(_ request: ManagerRequest) {
    withChannel(request) { channel in
      if stopForks(channel, id: request.forkID) == 0 {
        request.failWithoutFork("Could not stop monitoring channel")
      } else {
        request.succeed()
      }
    }
  }

  static func mute(_ request: ManagerRequest) {
    let direction = request.header("Direction")
    guard !direction.isEmpty else { return request.fail("No direction specified. Must be read, write or both") }
    guard let directions = MuteDirections(direction) else {
      return request.fail("Invalid direction specified. Must be read, write or both")
    }
    guard !request.header("Channel").isEmpty else { return request.fail("No channel specified") }
    let state = request.header("State")
    guard !state.isEmpty else { return request.fail("No state specified. Must be on or off") }
    guard let isOn = onOrOff(state) else { return request.fail("Invalid state specified. Must be on or off") }
    withChannel(request) { channel in
      if muteForks(channel, id: request.forkID, directions, isOn: isOn).isEmpty {
        request.failWithoutFork("Cannot set mute flag")
      } else {
        request.succeed()
      }
    }
  }

  static func sendText(_ request: ManagerRequest) {
    guard let id = request.forkID else { return request.fail("No AudioForkID specified") }
    let text = request.header("Text")
    guard !text.isEmpty else { return request.fail("No text specified") }
    let channelName = request.header("Channel")
    if !channelName.isEmpty {
      guard let channel = withCString(channelName, { ast_channel_get_by_name($0) }) else {
        return request.fail("No such channel")
      }
      defer { af_channel_unref(channel) }
      guard !forkIDs(on: channel, id: id).isEmpty else { return request.failWithoutFork("Could not send text") }
    }
    switch deliver(id, text) {
    case .accepted: request.succeed()
    case .noSuchFork: request.fail("Could not send text: there is no fork with the id ", .bytes(id))
    case .notConnected: request.fail("Could not send text: the fork has no connection at the moment")
    case .tooLong: request.fail("Could not send text: it is longer than ", .number(textBytesMax), " bytes")
    case .busy: request.fail("Could not send text: too much is waiting to be sent; try again later")
    }
  }

  static func list(_ request: ManagerRequest) {
    let name = request.header("Channel")
    guard !name.isEmpty else { return request.list(forkRows()) }
    let rows = forkRows().filter { $0.channel == name }
    if rows.isEmpty {
      // A channel without forks is an empty list, a name that nobody has is a mistake.
      guard let channel = withCString(name, { ast_channel_get_by_name($0) }) else {
        return request.fail("No such channel")
      }
      af_channel_unref(channel)
    }
    request.list(rows)
  }
}

/// The module's `sendText`, whose name the action has too.
private func deliver(_ id: Bytes, _ text: Bytes) -> SentText { sendText(id, text) }

/// Whether the word means on; nil where it means neither on nor off.
func onOrOff(_ word: Bytes) -> Bool? {
  if equal(word, ignoringCase: "on") || equal(word, ignoringCase: "1") || equal(word, ignoringCase: "true")
    || equal(word, ignoringCase: "yes")
  {
    return true
  }
  if equal(word, ignoringCase: "off") || equal(word, ignoringCase: "0") || equal(word, ignoringCase: "false")
    || equal(word, ignoringCase: "no")
  {
    return false
  }
  return nil
}

extension Privilege {
  /// Asterisk's bit.
  var flag: CInt {
    switch self {
    case .system: EVENT_FLAG_SYSTEM
    case .call: EVENT_FLAG_CALL
    case .reporting: EVENT_FLAG_REPORTING
    }
  }
}
