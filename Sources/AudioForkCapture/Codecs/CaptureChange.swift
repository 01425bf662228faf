// SPDX-License-Identifier: GPL-2.0-or-later
import AudioForkSurface
import AudioForkTap
import CAsterisk

// Asterisk hands audiohooks signed linear, and passes a codec without a translator on as it is. Then it calls no hook,
// and as long as there is a hook it logs a WARNING for each frame. So the hook of a fork that can capture nothing is
// taken off its channel, and put back when there is something to capture.

/// The formats of a channel's audio as it comes and goes, before Asterisk translates it.
struct RawFormats {
  /// One direction's format, and those of which one may take its place with the next frame; nil: none will.
  private struct Direction {
    let now: UnsafeMutableRawPointer?
    let next: UnsafeMutableRawPointer?
    /// The format that messages name: the negotiated one, even before its first frame.
    private let named: UnsafeMutableRawPointer?

    init(_ channel: OpaquePointer, _ direction: af_direction) {
      now = af_raw_format(channel, UInt32(direction.rawValue))
      next = af_next_formats(channel, now)
      named = af_negotiated_format(channel, now)
    }

    func release() {
      af_format_release(now)
      af_format_release(next)
      af_format_release(named)
    }

    /// A format that may change counts as one that can be translated if another one of its channel's can.
    var translates: Bool { af_format_translates(now) != 0 || (next != nil && af_formats_translate(next) != 0) }

    var problem: Bytes { (named ?? now).map { RawFormats.problem($0) } ?? [] }
  }

  private let into: Direction
  private let out: Direction

  /// The channel is locked. `release` follows.
  init(of channel: OpaquePointer) {
    into = Direction(channel, AF_DIRECTION_IN)
    out = Direction(channel, AF_DIRECTION_OUT)
  }

  func release() {
    into.release()
    out.release()
  }

  /// The directions that Asterisk cannot translate to signed linear: bit 0 in, bit 1 out. No channel may be locked.
  var untranslated: UInt8 { (into.translates ? 0 : 1) | (out.translates ? 0 : 2) }

  /// Which translators these directions lack, and what to load for them.
  func problem(of directions: UInt8) -> Bytes {
    let first = directions & 1 != 0 ? into.problem : []
    let second = directions & 2 != 0 ? out.problem : []
    if first.isEmpty || first == second { return second.isEmpty ? first : second }
    return second.isEmpty ? first : text(.bytes(first), "; ", .bytes(second))
  }

  private static func problem(_ format: UnsafeMutableRawPointer) -> Bytes {
    let name = bytes(af_format_name(format))
    return text(
      "no translator from ", .bytes(name), " to ", .bytes(bytes(af_format_linear_name(format))), ": load ",
      .literal(codecModules.first { equal(name, ignoringCase: $0.codec) }?.module ?? "a codec module for it"))
  }
}

/// The module that translates a codec, where it is known. Asterisk itself has none for some of them.
private let codecModules: [(codec: StaticString, module: StaticString)] = [
  ("g729", "codec_g729.so"), ("g723", "codec_g723.so"), ("opus", "codec_opus.so or codec_opus_open_source.so"),
  ("ilbc", "codec_ilbc.so"), ("silk8", "codec_silk.so"), ("silk12", "codec_silk.so"), ("silk16", "codec_silk.so"),
  ("silk24", "codec_silk.so"), ("siren7", "codec_siren7.so"), ("siren14", "codec_siren14.so"),
  ("speex", "codec_speex.so"), ("speex16", "codec_speex.so"), ("speex32", "codec_speex.so"), ("amr", "codec_amr.so"),
  ("amrwb", "codec_amr.so"), ("codec2", "codec_codec2.so"), ("gsm", "codec_gsm.so"), ("g722", "codec_g722.so"),
  ("g726", "codec_g726.so"), ("g726aal2", "codec_g726.so"), ("adpcm", "codec_adpcm.so"), ("lpc10", "codec_lpc10.so"),
  ("ulaw", "codec_ulaw.so"), ("alaw", "codec_alaw.so"),
]

/// Why a fork captures nothing, or less than it should; empty: it captures all. With the table's lock held.
func codecReason(_ fork: ForkPointer) -> Bytes {
  guard let problem = fork.pointee.codec_problem, fork.pointee.ended == 0, !isClosed(fork) else { return [] }
  return text("codec: ", .bytes(bytes(problem)))
}

/// Whether a live fork can capture nothing at the moment. With the table's lock held.
func capturesNothing(_ fork: ForkPointer) -> Bool {
  fork.pointee.hook_off != 0 && fork.pointee.ended == 0 && !isClosed(fork)
}

/// What is to be done about a change of what can be captured, once the channel is not locked.
struct CaptureChange {
  fileprivate var level = AF_LEVEL_VERBOSE
  fileprivate var line = Bytes()
  fileprivate var endedBeeps = Bytes()
  fileprivate var beepSeconds = 0

  /// The channel is referenced and not locked.
  func carryOut(on channel: OpaquePointer, _ id: Bytes) {
    log(level, .bytes(line))
    endBeeps(channel, endedBeeps)
    guard beepSeconds > 0 else { return }
    do throws(CommandError) {
      let beeps = try startBeeps(channel, every: beepSeconds)
      let isLate = withState { state in
        guard let fork = state.forks.find(id), fork.pointee.ended == 0, !isClosed(fork) else { return true }
        fork.pointee.beep_id = duplicate(beeps)
        return false
      }
      if isLate { endBeeps(channel, beeps) }
    } catch {
      log(AF_LEVEL_WARNING, "AudioFork ", .bytes(id), ": ", .bytes(error.message))
    }
  }
}

/// How many changes of what can be captured a fork tells an administrator. The peer chooses codecs, so that it could
/// fill the log; events and `audiofork show fork` tell each change.
private let codecLinesMax: UInt8 = 8

/// Takes the fork's hook off where nothing that it wants can be captured, puts it back where something can, and tells
/// about a change. `untranslated` is that of `formats`. Returns nil where nothing changes.
///
/// The channel is locked and carries the fork. Only the thread that starts the fork and, once the fork is in the table,
/// the jobs thread may call it.
func settle(
  _ fork: ForkPointer, on channel: OpaquePointer, _ formats: RawFormats, _ untranslated: UInt8
) -> CaptureChange? {
  let wanted = UInt8(truncatingIfNeeded: fork.pointee.tap.directions & 3)
  let isNothing = wanted & ~untranslated == 0
  let wasNothing = fork.pointee.hook_off != 0
  if isNothing, !wasNothing { takeOff(fork, channel) }
  if !isNothing, wasNothing, !putBack(fork, channel) { return nil }

  let missing = wanted & untranslated
  let problem = formats.problem(of: missing)
  var change = CaptureChange()
  let isOther = withState { state in
    let before = bytes(fork.pointee.codec_problem)
    let isOther = isNothing != wasNothing || before != problem || fork.pointee.untranslated != untranslated
    fork.pointee.untranslated = untranslated
    if problem.isEmpty {
      free(fork.pointee.codec_problem)
      fork.pointee.codec_problem = nil
    } else {
      replace(&fork.pointee.codec_problem, with: problem)
    }
    guard isOther, fork.pointee.ended == 0 else { return false }
    if isNothing != wasNothing || before != problem {
      state.jobs.add(.raise(ManagerEvent(.state, ForkRow(fork, now: af_now_ns()))))
      // The jobs thread calls this too. Without the wake it would sleep until the next look before it takes this job.
      Jobs.wake()
    }
    if isNothing {
      change.endedBeeps = takeBeeps(fork)
      state.hangUpIfWanted(fork, reason: codecReason(fork))
    } else if fork.pointee.beep_id == nil {
      change.beepSeconds = Int(fork.pointee.beep_seconds)
    }
    if fork.pointee.codec_lines < codecLinesMax {
      fork.pointee.codec_lines &+= 1
      change.level = untranslated == 0 ? AF_LEVEL_NOTICE : AF_LEVEL_WARNING
    }
    return true
  }
  guard isOther else { return nil }
  change.line = text(
    "AudioFork ", .bytes(bytes(fork.pointee.id)), " to ", .bytes(bytes(fork.pointee.url)), " on ",
    .bytes(bytes(ast_channel_name(channel))),
    .bytes(finding(isNothing: isNothing, missing, untranslated, formats.problem(of: untranslated))))
  return change
}

private func finding(isNothing: Bool, _ missing: UInt8, _ untranslated: UInt8, _ problem: Bytes) -> Bytes {
  if untranslated == 0 {
    return Bytes(text: " captures audio again: the channel has a codec that can be translated")
  }
  if isNothing {
    return text(
      " captures nothing: ", .bytes(problem),
      ". Capture begins once that is loaded or the channel uses another codec")
  }
  return text(
    missing == 0
      ? " captures what it should, but Asterisk cannot translate direction " : " does not capture direction ",
    untranslated & 1 != 0 ? "in" : "out", ": ", .bytes(problem),
    ". Asterisk logs a warning for each frame of that direction")
}

/// Takes the hook out of the channel's list. The channel is locked.
private func takeOff(_ fork: ForkPointer, _ channel: OpaquePointer) {
  // No callback runs now, and none comes any more.
  ast_audiohook_remove(channel, &fork.pointee.hook)
  withState { _ in
    fork.pointee.hook_off = 1
    fork.pointee.looks_missed = 0
  }
}

/// Puts the hook back at the end of the channel's list. Returns false where the fork or the call is over. The channel
/// is locked.
private func putBack(_ fork: ForkPointer, _ channel: OpaquePointer) -> Bool {
  let mayReturn = withState { _ in
    // The control thread closes the tap of a fork that has ended while its hook is off: then nothing may be captured.
    guard fork.pointee.ended == 0, !isClosed(fork) else { return false }
    fork.pointee.hook_off = 0
    // A hook that was removed is done, and Asterisk changes nothing about one that is.
    fork.pointee.hook.status = AST_AUDIOHOOK_STATUS_NEW
    return true
  }
  guard mayReturn else { return false }
  forgetTiming(&fork.pointee.tap)
  guard ast_audiohook_attach(channel, &fork.pointee.hook) == 0 else {
    withState { _ in fork.pointee.hook_off = 1 }
    return false
  }
  withState { _ in
    // The fork has ended meanwhile: attaching the hook has made it run all the same.
    if fork.pointee.hook_ending != 0 {
      ast_audiohook_update_status(&fork.pointee.hook, AST_AUDIOHOOK_STATUS_SHUTDOWN)
    }
  }
  return true
}

// MARK: - Looks

/// Looks, off the audio path, at the codecs of forks to which nothing comes. Belongs to the jobs thread.
enum CodecLooks {
  /// A codec without a translator makes Asterisk warn of each frame until the next look.
  private static let interval: Int64 = 500_000_000
  private nonisolated(unsafe) static var last: Int64 = 0

  /// Milliseconds until the next look is due; nil while there is no fork.
  static func millisecondsLeft(_ now: Int64) -> CInt? {
    guard withState({ $0.forks.count }) > 0 else { return nil }
    return CInt(truncatingIfNeeded: max(0, (last &+ interval &- now) / 1_000_000 &+ 1))
  }

  /// Looks where the time has come. No channel and no table may be locked.
  static func lookIfDue(_ now: Int64) {
    guard now &- last >= interval else { return }
    last = now
    for fork in candidates() { look(at: fork) }
  }

  private struct Candidate {
    let id: Bytes
    let uniqueID: Bytes
    let channel: Bytes
    let isOff: Bool
    let untranslated: UInt8
  }

  /// Live forks that captured nothing of a direction that they want since the last look.
  private static func candidates() -> [Candidate] {
    var found = [Candidate]()
    withState { state in
      var row = state.forks.head
      while let fork = row {
        row = fork.pointee.next
        guard fork.pointee.ended == 0, !isClosed(fork), let ring = fork.pointee.tap.ring else { continue }
        let into = af_word_load_relaxed(af_ring_captured(ring, 0))
        let out = af_word_load_relaxed(af_ring_captured(ring, 1))
        var still: UInt64 = into == fork.pointee.looked_at.0 ? 1 : 0
        if out == fork.pointee.looked_at.1 { still |= 2 }
        fork.pointee.looked_at = (into, out)
        guard still & fork.pointee.tap.directions != 0 || fork.pointee.untranslated != 0 else { continue }
        found.append(
          Candidate(
            id: bytes(fork.pointee.id), uniqueID: bytes(fork.pointee.uniqueid), channel: bytes(fork.pointee.channel),
            isOff: fork.pointee.hook_off != 0, untranslated: fork.pointee.untranslated))
      }
    }
    return found
  }

  private static func look(at candidate: Candidate) {
    guard let channel = liveChannel(candidate.uniqueID, called: candidate.channel) else {
      if candidate.isOff { channelIsGone(candidate) }
      return
    }
    defer { af_channel_unref(channel) }
    af_channel_lock(channel)
    let formats = RawFormats(of: channel)
    af_channel_unlock(channel)
    defer { formats.release() }
    let untranslated = formats.untranslated
    guard untranslated != 0 || candidate.untranslated != 0 else { return }
    af_channel_lock(channel)
    // As long as the channel is locked, a fork that it carries lives.
    let datastore = withCString(candidate.id) { ast_channel_datastore_find(channel, af_datastore_type(), $0) }
    let change = datastore.flatMap { $0.pointee.data }.flatMap {
      settle($0.assumingMemoryBound(to: af_fork.self), on: channel, formats, untranslated)
    }
    af_channel_unlock(channel)
    change?.carryOut(on: channel, candidate.id)
  }

  /// A hook that is off is not told of a hangup: the end of capture is marked here. For a moment of a masquerade there
  /// is no channel with a fork's names, so that it takes two looks.
  private static func channelIsGone(_ candidate: Candidate) {
    let isOver = withState { state in
      guard let fork = state.forks.find(candidate.id), fork.pointee.hook_off != 0,
        bytes(fork.pointee.uniqueid) == candidate.uniqueID
      else { return false }
      fork.pointee.looks_missed &+= 1
      guard fork.pointee.looks_missed > 1 else { return false }
      closeTap(&fork.pointee.tap, now: af_now_ns())
      return true
    }
    if isOver { Control.wake() }
  }
}
