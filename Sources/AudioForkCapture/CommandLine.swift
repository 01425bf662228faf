// SPDX-License-Identifier: GPL-2.0-or-later
import CAsterisk

#if canImport(AudioForkOptions)
import AudioForkOptions
#endif

/// `audiofork start|stop|list` at Asterisk's CLI.
@c(af_cli)
func commandLine(
  _ entry: UnsafeMutablePointer<ast_cli_entry>?, _ command: CInt, _ arguments: UnsafeMutablePointer<ast_cli_args>?
) -> UnsafeMutablePointer<CChar>? {
  if command == CInt(CLI_INIT.rawValue) {
    af_cli_describe(entry)
    return nil
  }
  guard let arguments else { return af_cli_failure() }
  if command == CInt(CLI_GENERATE.rawValue) {
    guard arguments.pointee.pos == 2 else { return nil }
    return ast_complete_channels(
      arguments.pointee.line, arguments.pointee.word, arguments.pointee.pos, arguments.pointee.n, 2)
  }
  var words = [Bytes]()
  var index = 0
  while index < Int(arguments.pointee.argc), let word = arguments.pointee.argv[index] {
    words.append(bytes(word))
    index &+= 1
  }
  guard words.count >= 2 else { return af_cli_show_usage() }
  let descriptor = arguments.pointee.fd
  if equal(words[1], ignoringCase: "list"), words.count <= 3 {
    list(descriptor, channel: words.count == 3 ? words[2] : nil)
    return af_cli_success()
  }
  let isStart = equal(words[1], ignoringCase: "start") && words.count == 4
  let isStop = equal(words[1], ignoringCase: "stop") && (words.count == 3 || words.count == 4)
  guard isStart || isStop else { return af_cli_show_usage() }
  guard let channel = withCString(words[2], { ast_channel_get_by_name($0) }) else {
    printLine(descriptor, text("No channel is called ", .bytes(words[2]), "; 'core show channels' lists them."))
    return af_cli_success()
  }
  defer { af_channel_unref(channel) }
  if isStart {
    start(descriptor, channel, arguments.pointee.argv[3])
  } else {
    let id: Bytes? = words.count == 4 ? words[3] : nil
    let stopped = stopForks(channel, id: id)
    printLine(
      descriptor,
      stopped == 0
        ? text("Channel ", .bytes(words[2]), " has no such fork; 'audiofork list ", .bytes(words[2]), "' shows them.")
        : text("Ended ", .number(stopped), stopped == 1 ? " fork of " : " forks of ", .bytes(words[2]), "."))
  }
  return af_cli_success()
}

private func start(_ descriptor: CInt, _ channel: OpaquePointer, _ arguments: UnsafePointer<CChar>?) {
  do {
    let id = try startFork(channel, ForkArguments(arguments))
    printLine(descriptor, text("Started fork ", .bytes(id), " on ", .bytes(bytes(ast_channel_name(channel))), "."))
  } catch {
    printLine(descriptor, text("Not started: ", .bytes(error.message)))
  }
}

private func list(_ descriptor: CInt, channel: Bytes?) {
  var lines = [Bytes]()
  withTable {
    var row = forkTable.head
    while let fork = row {
      let name = bytes(fork.pointee.channel)
      if channel == nil || name == channel {
        lines.append(
          text(
            .bytes(padded(bytes(fork.pointee.id), 24)), " ", .bytes(padded(name, 32)), " ",
            .bytes(padded(bytes(fork.pointee.direction), 9)), " ", .bytes(padded(bytes(fork.pointee.state), 11)), " ",
            .bytes(bytes(fork.pointee.url))))
      }
      row = fork.pointee.next
    }
  }
  printLine(
    descriptor,
    text(
      .bytes(padded(Bytes(text: "Id"), 24)), " ", .bytes(padded(Bytes(text: "Channel"), 32)), " ",
      .bytes(padded(Bytes(text: "Direction"), 9)), " ", .bytes(padded(Bytes(text: "State"), 11)), " URL"))
  for line in lines { printLine(descriptor, line) }
  printLine(descriptor, text(.number(lines.count), lines.count == 1 ? " fork" : " forks"))
}

private func padded(_ text: Bytes, _ width: Int) -> Bytes {
  var padded = text
  while padded.count < width { padded.append(32) }
  return padded
}
