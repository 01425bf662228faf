// SPDX-License-Identifier: Apache-2.0
import AudioForkBytes
internal import AudioForkSurface
internal import AudioForkWebSocket
internal import NIOHTTP1

/// Whatever a dialplan or a configuration file gives: options, URLs, lines of profiles, allow patterns, headers. The
/// first byte says which; the tables' names stand for keys.
func fuzzOptions(_ bytes: [UInt8]) {
  var input = Decisions(bytes)
  let choice = Int(input.byte())
  let text = input.remainder()
  switch choice % 4 {
  case 0:
    options(text)
    evaluated(text)
  case 1: url(text)
  case 2:
    let key = ProfileKey.all[choice / 4 % ProfileKey.all.count]
    var options = ForkOptions()
    judge(text) { () throws(OptionError) in try options.apply(key, text) }
    request(options)
  default: pattern(text)
  }
}

private func judge(_ text: [UInt8], _ apply: () throws(OptionError) -> Void) {
  do {
    try apply()
  } catch {
    demand(!error.message.isEmpty && !error.message.contains { $0.isControl }, "the message is \(error.message)")
    demand(error.message.count < 1000, "a message of \(error.message.count) bytes")
  }
}

private func options(_ text: [UInt8]) {
  var options = ForkOptions()
  judge(text) { () throws(OptionError) in
    try options.apply(options: text)
    try options.check()
  }
  for warning in options.warnings { demand(!warning.contains { $0.isControl }, "the warning \(warning)") }
  demand((1...3600).contains(options.reconnectWaitSeconds), "\(options.reconnectWaitSeconds) seconds")
  demand(
    (-4...4).contains(options.gainIn) && (-4...4).contains(options.gainOut), "\(options.gainIn), \(options.gainOut)")
  demand(options.beepSeconds.map { (5...3600).contains($0) } ?? true, "\(String(describing: options.beepSeconds))")
  // Given twice they say the same, unless the second text closes a ^{ of the first; and no secret stands in what is
  // shown.
  if !contains(text, Array("^{".utf8)), let once = try? ForkOptions.parse(text),
    let twice = try? ForkOptions.parse(text + [32] + text)
  {
    demand(once.headers == twice.headers && once.parameters == twice.parameters, "given twice")
    demand(
      once.direction == twice.direction && once.format == twice.format && once.dialect == twice.dialect, "given twice")
  }
  let shown = ForkOptions.shown(options: text)
  // A value that was given a second time, where no secret stands, is none.
  for field in options.headers + options.parameters
  where field.value.count > 8 && occurrences(of: field.value, in: text) < 2 {
    demand(!contains(shown, field.value), "\(field) stands in \(shown)")
  }
  request(options)
}

/// What a stranger puts into each `^{…}`: the text itself, so that nothing in it may be taken for syntax.
private func evaluated(_ text: [UInt8]) {
  let arguments = ForkArguments(separating: text)
  _ = arguments.commandLooksLikeOptions
  let answer = { (call: ChannelCall) in call.isAllowed() ? text : [] }
  _ = ArgumentTemplate(setting: text).mapText { $0 }.text(answer)
  if let url = try? EndpointURL.text(ArgumentTemplate(arguments.url), evaluating: answer), url != arguments.url {
    demand(url.count <= max(EndpointURL.lengthMax, arguments.url.count), "a URL of \(url.count) bytes")
    // The host is the one that was written.
    if let written = try? EndpointURL.parse(arguments.url), let now = try? EndpointURL.parse(url) {
      demand(written.host == now.host && written.port == now.port, "\(written) became \(now)")
    }
  }
  var options = ForkOptions()
  guard let list = try? options.apply(options: arguments.options, evaluating: answer) else { return }
  for field in options.headers { demand(!field.value.contains { $0.isControl }, "the header \(field)") }
  // The engine makes the same of them.
  var again = ForkOptions()
  for option in list { demand(again.apply(evaluated: option), "\(option) is refused") }
  demand(again.headers == options.headers && again.parameters == options.parameters, "\(list)")
  demand(again.direction == options.direction && again.tls == options.tls, "\(list)")
  request(options)
}

private func url(_ text: [UInt8]) {
  _ = EndpointURL.redacted(text)
  judge(text) { () throws(OptionError) in
    let url = try EndpointURL.parse(text)
    demand((1...65_535).contains(url.port) && !url.host.isEmpty && url.target.first == 47, "\(url)")
    demand(!url.shown.contains { $0.isControl } && !url.hostHeader.contains { $0.isControl }, "\(url)")
    // What is shown names the same server.
    if let shown = try? EndpointURL.parse(url.shown) {
      demand(
        shown.host == url.host && shown.port == url.port && shown.isSecure == url.isSecure, "\(url), shown \(shown)")
      demand(shown.userInformation.isEmpty, "\(url.shown) has a user")
    } else {
      demand(false, "\(url.shown) is shown and no URL")
    }
    var request = UpgradeRequest(host: url.hostHeader, target: url.target)
    request.userInformation = url.userInformation
    check(request)
    // A pattern that is the URL's own host and port allows it, whatever its path.
    var exact =
      Array((url.isSecure ? "wss://" : "ws://").utf8) + (url.isIPv6Literal ? [91] + url.host + [93] : url.host)
    exact += Array(":\(url.port)".utf8)
    if exact.count <= AllowPattern.lengthMax {
      demand(AllowPattern(exact)?.allows(url) == true, "\(exact) does not allow \(url)")
    }
    var elsewhere = Array("ws*://x".utf8) + url.host.map { $0 == 42 || $0 == 63 ? 120 : $0 }
    elsewhere += Array(":*".utf8)
    demand(url.isIPv6Literal || AllowPattern(elsewhere)?.allows(url) != true, "\(elsewhere) allows \(url)")
  }
}

private let places = ["ws://example.org/a/b?c=d", "wss://u:p@[::1]:8443/", "ws://10.0.0.1:9/../x"].compactMap {
  try? EndpointURL.parse(Array($0.utf8))
}

private func pattern(_ text: [UInt8]) {
  guard let pattern = AllowPattern(text) else { return }
  demand(pattern == AllowPattern(text), "the same text is another pattern")
  for place in places {
    // What climbs out of a path only a pattern without a path lets through.
    if pattern.allows(place), place.target.starts(with: Array("/..".utf8)) {
      let scheme = text.indices.first { text[$0...].starts(with: Array("://".utf8)) } ?? 0
      demand(!text.dropFirst(scheme + 3).contains(47), "\(text) allows \(place)")
    }
  }
}

/// Fields as they go into the request that opens the connection: they remain fields.
private func request(_ options: ForkOptions) {
  var request = UpgradeRequest(host: Array("x".utf8), target: Array("/".utf8))
  request.givenHeaders = options.headers.map {
    RequestHeader(name: String(decoding: $0.name, as: UTF8.self), value: $0.value)
  }
  request.headers = options.parameters.map { RequestHeader(name: "AudioFork-X", value: $0.value) }
  check(request)
}

private func check(_ request: UpgradeRequest) {
  let head = request.head(key: Conversation.key)
  demand(!head.uri.utf8.contains { $0 <= 32 || $0 == 127 }, "the target \(head.uri)")
  for (name, value) in head.headers {
    demand(!name.isEmpty && !name.utf8.contains { $0 <= 32 || $0 == 127 || $0 == 58 }, "the header \(name)")
    demand(!value.utf8.contains { $0 < 32 || $0 == 127 }, "\(name): \(value)")
  }
}

private func contains(_ text: [UInt8], _ part: [UInt8]) -> Bool { occurrences(of: part, in: text) > 0 }

private func occurrences(of part: [UInt8], in text: [UInt8]) -> Int {
  text.indices.count { text[$0...].starts(with: part) }
}
