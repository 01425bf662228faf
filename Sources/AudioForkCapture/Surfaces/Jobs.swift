// SPDX-License-Identifier: GPL-2.0-or-later
import AudioForkBytes
import AudioForkLink
import AudioForkSurface
import CAsterisk

/// The module's second thread: events and variables, so that neither the control thread nor a caller waits for AMI or
/// for a channel's lock. It hands commands to the commands thread.
///
/// Texts of servers are done when nothing else waits, so that servers that talk much delay no stop, hang-up or command.
/// A fork's own texts are done before its end.
enum Jobs: WorkerThread {
  nonisolated(unsafe) static var wakeDescriptor: CInt = -1

  static func launch() -> CInt { af_jobs_start() }
  static func join() { af_jobs_join() }
  static func setStopping(_ isStopping: Bool) { withState { $0.jobs.isStopping = isStopping } }

  /// Takes the next jobs. Nil if the thread is to end.
  fileprivate static func take() -> [Job]? {
    let (jobs, lost) = withState { state in
      let lost = state.jobs.takeLostCount()
      return (state.jobs.take(), lost)
    }
    if lost > 0 {
      log(
        AF_LEVEL_WARNING, "AudioFork: ", .number(lost),
        " texts of servers were dropped: Asterisk takes their variables and events more slowly than they come")
    }
    return jobs
  }

  /// Waits for a job, or for the next look at the codecs.
  fileprivate static func wait() {
    var waiting = pollfd(fd: wakeDescriptor, events: Int16(POLLIN), revents: 0)
    guard poll(&waiting, 1, CodecLooks.millisecondsLeft(af_now_ns()) ?? -1) > 0 else { return }
    takeWakeUps()
  }
}

@c(af_jobs_thread)
func jobsThread(_ unused: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
  af_name_thread("audiofork-jobs")
  while let jobs = Jobs.take() {
    for job in jobs { perform(job) }
    CodecLooks.lookIfDue(af_now_ns())
    if jobs.isEmpty { Jobs.wait() }
  }
  Snapshots.forgetAll()
  withState { $0.endedForks.removeAll() }
  return nil
}

private func perform(_ job: Job) {
  switch job {
  case .raise(var event): withLiveChannel(of: event.row) { event.raise($0) }
  case .hangUp(let row, let reason):
    withLiveChannel(of: row) { channel in
      guard let channel else { return }
      log(
        AF_LEVEL_WARNING, "AudioFork ", .bytes(row.id), " to ", .bytes(row.url), " on ", .bytes(row.channel),
        ": the call is hung up (on_failure = hangup): ", .bytes(reason))
      ast_channel_softhangup_withcause_locked(channel, CInt(AST_CAUSE_NETWORK_OUT_OF_ORDER))
    }
  case .leave(let row):
    withLiveChannel(of: row) { if let channel = $0 { takeOffEnded(row.id, channel) } }
    withState { $0.forks.find(row.id)?.pointee.leave_asked = 0 }
  case .response(var event, let variable):
    withLiveChannel(of: event.row) { channel in
      if let channel, isCarried(event.row.id, by: channel) {
        let value = variableValue(event.response)
        setVariable(channel, Bytes(text: "AUDIOFORK_RESPONSE"), value)
        if !variable.isEmpty { setVariable(channel, variable, value) }
      }
      event.raise(channel)
    }
  case .transcript(var event):
    withLiveChannel(of: event.row) { channel in
      if let channel, let transcript = event.transcript, transcript.isFinal, isCarried(event.row.id, by: channel) {
        let value = variableValue(transcript.text)
        setVariable(channel, Bytes(text: "AUDIOFORK_TRANSCRIPT"), value)
        if let name = speakerVariable(transcript.speaker) { setVariable(channel, Bytes(text: name), value) }
      }
      event.raise(channel)
    }
  case .end(var event, let command, let beeps):
    withLiveChannel(of: event.row) { channel in
      if let channel { endBeeps(channel, beeps) }
      event.raise(channel)
    }
    Snapshots.forget(event.row.id)
    if !command.line.isEmpty { run(command, of: event.row) }
  }
}

/// The variable that has one speaker's words alone; nil: they may be anybody's.
private func speakerVariable(_ speaker: Speaker) -> StaticString? {
  switch speaker {
  case .in: "AUDIOFORK_TRANSCRIPT_IN"
  case .out: "AUDIOFORK_TRANSCRIPT_OUT"
  case .both, .server: nil
  }
}

/// A server's text as a variable's value: cut, and without line ends and other controls, which AMI and
/// `core show channel` would print as they are.
func variableValue(_ text: Bytes) -> Bytes {
  printable(cut(text, to: responseVariableMax), mark: UInt8(ascii: " "))
}
