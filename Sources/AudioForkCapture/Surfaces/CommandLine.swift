// SPDX-License-Identifier: GPL-2.0-or-later
import AudioForkBytes
import AudioForkSurface
import CAsterisk

/// The words of one line at Asterisk's CLI, and where answers go.
private struct CommandRequest {
  let descriptor: CInt
  /// All of them, the command's own included.
  let words: [Bytes]

  init(_ arguments: ast_cli_args) {
    descriptor = arguments.fd
    var words = [Bytes]()
    var index = 0
    while index < Int(arguments.argc), let word = arguments.argv[index] {
      words.append(bytes(word))
      index &+= 1
    }
    self.words = words
  }

  /// The word at this place; nil where the line is shorter.
  func word(_ index: Int) -> Bytes? { index < words.count ? words[index] : nil }

  func say(_ pieces: TextPiece...) { printLine(descriptor, joined(pieces)) }
}

/// Runs one of `CommandDefinition.all`, by its number. Returns whether the line has the form that the usage says.
@c(af_cli_run)
func runCommand(_ number: CInt, _ arguments: UnsafePointer<ast_cli_args>?) -> CInt {
  guard let arguments else { return 0 }
  let request = CommandRequest(arguments.pointee)
  let isWellFormed =
    switch number {
    case 0: start(request)
    case 1: stop(request)
    case 2: list(request)
    case 3: mute(request)
    case 4: showForks(request)
    case 5: showFork(request)
    case 6: showEngine(request)
    case 7: restartEngine(request)
    default: false
    }
  return isWellFormed ? 1 : 0
}

/// The n-th word that may stand where the cursor is; NULL where there is no more. Asterisk frees it.
@c(af_cli_complete)
func completeCommand(_ number: CInt, _ arguments: UnsafePointer<ast_cli_args>?) -> UnsafeMutablePointer<CChar>? {
  guard let arguments else { return nil }
  let place = arguments.pointee.pos
  switch (number, place) {
  case (0...3, 2):
    return ast_complete_channels(arguments.pointee.line, arguments.pointee.word, place, arguments.pointee.n, 2)
  case (1, 3), (3, 5): return candidate(ids(on: word(2, of: arguments.pointee.line)), arguments.pointee)
  case (3, 3): return candidate([Bytes(text: "read"), Bytes(text: "write"), Bytes(text: "both")], arguments.pointee)
  case (3, 4): return candidate([Bytes(text: "on"), Bytes(text: "off")], arguments.pointee)
  case (5, 3): return candidate(forkRows().map { $0.id }, arguments.pointee)
  default: return nil
  }
}

/// Ids of the forks whose channel has this name.
private func ids(on channel: Bytes) -> [Bytes] { forkRows().filter { $0.channel == channel }.map { $0.id } }

/// The word at this place of a line that is being typed.
private func word(_ index: Int, of line: UnsafePointer<CChar>?) -> Bytes {
  let words = parts(of: bytes(line), separatedBy: 32).filter { !$0.isEmpty }
  return index < words.count ? words[index] : []
}

/// The n-th of the words that begin with what has been typed.
private func candidate(_ words: [Bytes], _ arguments: ast_cli_args) -> UnsafeMutablePointer<CChar>? {
  let typed = bytes(arguments.word)
  let matching = words.filter { slice($0, 0, typed.count) == typed }
  let index = Int(arguments.n)
  guard index >= 0, index < matching.count else { return nil }
  return withCString(matching[index]) { af_cli_word($0) }
}

/// Runs `body` with the channel of this name, or says that there is none.
private func withChannel(_ request: CommandRequest, _ name: Bytes, _ body: (OpaquePointer) -> Void) {
  guard let channel = withCString(name, { ast_channel_get_by_name($0) }) else {
    return request.say("No channel is called ", .bytes(escaped(name)), "; 'core show channels' lists them.")
  }
  body(channel)
  af_channel_unref(channel)
}

/// audiofork start <channel> <url>[,options[,command]]
private func start(_ request: CommandRequest) -> Bool {
  guard let name = request.word(2), request.words.count >= 4 else { return false }
  var rest = Bytes()
  var index = 3
  while let word = request.word(index) {
    if index > 3 { rest.append(UInt8(ascii: " ")) }
    rest += word
    index &+= 1
  }
  withChannel(request, name) { channel in
    do throws(CommandError) {
      let id = try startFork(channel, ForkArguments(separating: rest), from: .cli)
      request.say("Started fork ", .bytes(id), " on ", .bytes(escaped(name)), ".")
    } catch {
      request.say("Not started: ", .bytes(escaped(error.message)))
    }
  }
  return true
}

/// audiofork stop <channel> [id]
private func stop(_ request: CommandRequest) -> Bool {
  guard let name = request.word(2), request.words.count <= 4 else { return false }
  withChannel(request, name) { channel in
    let stopped = stopForks(channel, id: request.word(3))
    if stopped == 0 { return sayNoFork(request, name) }
    request.say("Ended ", .number(stopped), stopped == 1 ? " fork of " : " forks of ", .bytes(escaped(name)), ".")
  }
  return true
}

private func sayNoFork(_ request: CommandRequest, _ name: Bytes) {
  request.say(
    "Channel ", .bytes(escaped(name)), " has no such fork; 'audiofork list ", .bytes(escaped(name)), "' shows them.")
}

/// audiofork list [channel]
private func list(_ request: CommandRequest) -> Bool {
  guard request.words.count <= 3 else { return false }
  let channel = request.word(2)
  let rows = forkRows().filter { channel == nil || $0.channel == channel }
  request.say(
    .bytes(padded(Bytes(text: "Id"), 24)), " ", .bytes(padded(Bytes(text: "Channel"), 32)), " ",
    .bytes(padded(Bytes(text: "Direction"), 9)), " ", .bytes(padded(Bytes(text: "State"), 11)), " URL")
  for row in rows {
    request.say(
      .bytes(padded(row.id, 24)), " ", .bytes(padded(escaped(row.channel), 32)), " ", .bytes(padded(row.direction, 9)),
      " ", .bytes(padded(escaped(row.state), 11)), " ", .bytes(escaped(row.url)))
  }
  sayCount(request, rows.count)
  return true
}

private func sayCount(_ request: CommandRequest, _ count: Int) {
  request.say(.number(count), count == 1 ? " fork" : " forks")
}

/// audiofork mute <channel> read|write|both on|off [id]
private func mute(_ request: CommandRequest) -> Bool {
  guard let name = request.word(2), let direction = request.word(3), let state = request.word(4),
    request.words.count <= 6
  else { return false }
  guard let directions = MuteDirections(direction) else {
    request.say("'", .bytes(escaped(direction)), "' is no direction; it is read, write or both.")
    return true
  }
  guard let isOn = onOrOff(state) else {
    request.say("'", .bytes(escaped(state)), "' is neither on nor off.")
    return true
  }
  withChannel(request, name) { channel in
    let count = muteForks(channel, id: request.word(5), directions, isOn: isOn).count
    if count == 0 { return sayNoFork(request, name) }
    request.say(
      isOn ? "Muted " : "Unmuted ", .number(count), count == 1 ? " fork of " : " forks of ", .bytes(escaped(name)), ".")
  }
  return true
}

/// audiofork show forks
private func showForks(_ request: CommandRequest) -> Bool {
  guard request.words.count == 3 else { return false }
  let rows = forkRows()
  let columns: [ForkFact.Value] = [
    .id, .channel, .url, .state, .duration, .counter(.lag), .counter(.reconnects), .counter(.lost),
  ]
  var lines: [[Bytes]] = [
    [
      Bytes(text: "Id"), Bytes(text: "Channel"), Bytes(text: "URL"), Bytes(text: "State"), Bytes(text: "Duration"),
      Bytes(text: "Lag"), Bytes(text: "Reconnects"), Bytes(text: "Lost"),
    ]
  ]
  for row in rows { lines.append(columns.map { row.text($0) }) }
  // As wide as the longest: nothing is cut.
  var widths = columns.map { _ in 0 }
  for line in lines {
    for (column, word) in line.enumerated() { widths[column] = max(widths[column], word.count) }
  }
  for line in lines {
    var whole = Bytes()
    for (column, word) in line.enumerated() {
      whole += column == line.count &- 1 ? word : padded(word, widths[column] &+ 2)
    }
    request.say(.bytes(whole))
  }
  sayCount(request, rows.count)
  return true
}

/// audiofork show fork <id>
private func showFork(_ request: CommandRequest) -> Bool {
  guard let id = request.word(3), request.words.count == 4 else { return false }
  guard let row = forkRows(where: { bytes($0.pointee.id) == id }).first ?? forkRow(called: id) else {
    request.say("There is no fork with the id ", .bytes(escaped(id)), "; 'audiofork list' shows those that there are.")
    return true
  }
  for fact in ForkFact.all { request.say(.literal(fact.name), ": ", .bytes(row.text(fact.value))) }
  return true
}

/// audiofork show engine
private func showEngine(_ request: CommandRequest) -> Bool {
  guard request.words.count == 3 else { return false }
  for line in engineLines() { printLine(request.descriptor, line) }
  return true
}

/// audiofork engine restart
private func restartEngine(_ request: CommandRequest) -> Bool {
  guard request.words.count == 3 else { return false }
  // The command waits in this code: the module stays meanwhile.
  guard withState({ $0.forks.reserve() }) else {
    request.say("app_audiofork is being unloaded.")
    return true
  }
  af_module_hold()
  let number = Control.restartEngine()
  request.say("The engine is asked to hand over to a new one; 'audiofork show engine' shows it.")
  let outcome = Control.outcomeOfRestart(number, within: restartMilliseconds)
  if let outcome, outcome.isEmpty {
    request.say("A new engine serves: process ", .number(withState { $0.engine.process }), ".")
  } else if let outcome {
    request.say("There is no new engine: ", .bytes(escaped(outcome)), ".")
  } else {
    request.say(
      "There is no new engine: none was ready within ", .number(restartMilliseconds / 1000), " seconds; see the log.")
  }
  af_module_release()
  withState { $0.forks.unreserve() }
  return true
}

/// How long `audiofork engine restart` waits for a new engine: the old one may take three seconds to leave.
private let restartMilliseconds = 8000

private func padded(_ text: Bytes, _ width: Int) -> Bytes {
  var padded = text
  while padded.count < width { padded.append(32) }
  return padded
}
