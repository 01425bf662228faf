// SPDX-License-Identifier: GPL-2.0-or-later
import AudioForkBytes
import AudioForkSurface
import CAsterisk

/// Evaluates expressions on a channel, and counts those it refuses. The channel must not be locked.
struct AskedChannel {
  private let channel: OpaquePointer
  /// Functions allowed besides the built-in ones.
  private let functions: [Bytes]
  private var refused = 0
  private var firstRefused = Bytes()
  /// What all values in the request may still take, percent-encoded: servers refuse one whose head is longer than 8 KB.
  private var room = AskedChannel.valuesMax
  private var isCut = false
  private var isTextFull = false

  private static let valuesMax = 4096

  init(_ channel: OpaquePointer, _ functions: [Bytes]) {
    self.channel = channel
    self.functions = functions
  }

  /// The value of a variable or function, as far as the request has room for it; empty where there is none, or where it
  /// is refused.
  mutating func answer(_ call: ChannelCall) -> Bytes { fitting(value(of: call)) }

  /// A text for the server with its values in place. It has a limit of its own, ServerText's, and takes no room from
  /// the request.
  mutating func serverText(_ written: Bytes) -> Bytes {
    let channel = self
    let result = ServerText.text(
      written, substitute: { channel.substitute($0) }, evaluate: { value(of: $0) })
    if result.count > ServerText.lengthMax &- AskedChannel.escapedMax { isTextFull = true }
    return result
  }

  /// Bytes of an escaped character in JSON at most: where one is cut, fewer are left.
  private static let escapedMax = 6

  private mutating func value(of call: ChannelCall) -> Bytes {
    guard call.isAllowed(functions) else {
      if refused == 0 { firstRefused = call.source }
      refused &+= 1
      return []
    }
    var expression = call.name
    if let arguments = call.arguments { expression += Bytes(text: "(") + arguments + Bytes(text: ")") }
    guard let result = withCString(expression, { af_read(channel, $0, call.arguments == nil ? 0 : 1) }) else {
      return []
    }
    defer { free(result) }
    return bytes(result)
  }

  /// The value's beginning for which there is room.
  private mutating func fitting(_ value: Bytes) -> Bytes {
    var end = 0
    while end < value.count {
      let size = EndpointURL.isUnreserved(value[end]) ? 1 : 3
      guard size <= room else {
        isCut = true
        break
      }
      room &-= size
      end &+= 1
    }
    return slice(value, 0, end)
  }

  /// Text of the administrator with its variables, functions and expressions evaluated as the dialplan does it.
  func substitute(_ line: Bytes) -> Bytes {
    guard let result = withCString(line, { af_evaluate(channel, $0) }) else { return line }
    defer { free(result) }
    return bytes(result)
  }

  /// Logs at most one line for refused expressions and one for each kind of cut values, because a caller may have
  /// written them.
  func logRefusals() {
    guard refused > 0 || isCut || isTextFull else { return }
    af_channel_lock(channel)
    let name = bytes(ast_channel_name(channel))
    af_channel_unlock(channel)
    if isCut {
      log(
        AF_LEVEL_WARNING, "AudioFork on ", .bytes(name),
        ": values of ^{...} in the request are cut: percent-encoded they take more than ",
        .number(AskedChannel.valuesMax), " bytes together, and servers refuse long requests")
    }
    if isTextFull {
      log(
        AF_LEVEL_WARNING, "AudioFork on ", .bytes(name),
        ": first_text or last_text has reached its limit of ", .number(ServerText.lengthMax),
        " bytes; values in it are cut there")
    }
    guard refused > 0 else { return }
    log(
      AF_LEVEL_WARNING, "AudioFork on ", .bytes(name), ": ", .number(refused),
      refused == 1 ? " expression counts as empty: '" : " expressions count as empty, the first is '",
      .bytes(shown(firstRefused)),
      "'; it is malformed, or names a function that is not allowed (functions in audiofork.conf can allow more)")
  }
}

extension SettingLine {
  /// The value with its variables and expressions evaluated. Throws for a URL with an expression outside of path and
  /// query.
  func evaluated(by asked: inout AskedChannel) throws(OptionError) -> Bytes {
    guard holdsVariable else { return value }
    let written = ArgumentTemplate(setting: value)
    switch key.kind {
    case .url:
      let template = written.mapText { asked.substitute($0) }
      return try EndpointURL.text(template.mapText(EndpointURL.text(encoding:))) { asked.answer($0) }
    case .header:
      let literal = slice(value, 0, firstIndex(of: UInt8(ascii: ":"), in: value) ?? value.count)
      if RequestField.isToken(trimmed(literal)) {
        // Evaluated behind the name, so that no value can choose it.
        let rest = ArgumentTemplate(setting: slice(value, literal.count &+ 1, value.count)).mapText {
          asked.substitute($0)
        }
        return literal + Bytes(text: ": ") + RequestField.headerValue(rest.text { asked.answer($0) })
      }
      let line = written.mapText { asked.substitute($0) }.text { asked.answer($0) }
      let colon = firstIndex(of: UInt8(ascii: ":"), in: line) ?? line.count
      return slice(line, 0, colon &+ 1) + Bytes(text: " ")
        + RequestField.headerValue(slice(line, colon &+ 1, line.count))
    case .firstText, .lastText: return asked.serverText(value)
    default: return written.mapText { asked.substitute($0) }.text { asked.answer($0) }
    }
  }
}

/// Returns the command with each `^{X}` replaced by the value of `${X}`. The dialplan has evaluated everything else. A
/// `^{…}` inside a caller's text is evaluated too, as in MixMonitor; dialplan.md warns about it.
func evaluatedCommand(_ command: Bytes, on channel: OpaquePointer) -> Bytes {
  var result = Bytes()
  var index = 0
  while index < command.count {
    guard command[index] == UInt8(ascii: "^"), index &+ 1 < command.count, command[index &+ 1] == UInt8(ascii: "{"),
      let end = closingBrace(in: command, opening: index &+ 1)
    else {
      result.append(command[index])
      index &+= 1
      continue
    }
    var expression = slice(command, index, end &+ 1)
    var at = 0
    while at &+ 1 < expression.count {
      if expression[at] == UInt8(ascii: "^"), expression[at &+ 1] == UInt8(ascii: "{") {
        expression[at] = UInt8(ascii: "$")
      }
      at &+= 1
    }
    if let value = withCString(expression, { af_evaluate_given(channel, $0) }) {
      result += bytes(value)
      free(value)
    }
    index = end &+ 1
  }
  return result
}

private func closingBrace(in text: Bytes, opening: Int) -> Int? {
  var depth = 0
  var index = opening
  while index < text.count {
    if text[index] == UInt8(ascii: "{") { depth &+= 1 }
    if text[index] == UInt8(ascii: "}") {
      depth &-= 1
      if depth == 0 { return index }
    }
    index &+= 1
  }
  return nil
}
