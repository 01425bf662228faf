// SPDX-License-Identifier: GPL-2.0-or-later
import AudioForkBytes
import AudioForkLink
import AudioForkSurface
import AudioForkTap
import CAsterisk

/// Why a fork was not started, or not stopped: a sentence for the log or the CLI.
struct CommandError: Error {
  let message: Bytes
}

/// Starts a fork on the channel. The channel must not be locked; the caller holds a reference to it or runs in its
/// thread. Returns the fork's id.
func startFork(
  _ channel: OpaquePointer, _ arguments: ForkArguments, from origin: ForkOrigin
) throws(CommandError) -> Bytes {
  guard withState({ $0.forks.reserve() }) else {
    throw CommandError(message: Bytes(text: "the module is being unloaded"))
  }
  let id: Bytes
  var plan: ForkPlan
  do throws(CommandError) {
    guard let instance = Control.instance, let settings = Control.settings else {
      throw CommandError(message: Bytes(text: "the module is being unloaded"))
    }
    plan = try ForkPlan(channel, arguments, settings, from: origin)
    plan.firstEngine = Control.allowPaths(of: plan, settings)
    id = try startReserved(channel, &plan, settings, instance)
  } catch {
    withState { $0.forks.unreserve() }
    throw error
  }
  setVariable(channel, Bytes(text: "AUDIOFORK_WSSERVER"), plan.shownURL)
  if !plan.options.idVariable.isEmpty { setVariable(channel, plan.options.idVariable, id) }
  for warning in plan.options.warnings { log(AF_LEVEL_WARNING, "AudioFork ", .bytes(id), ": ", .bytes(warning)) }
  if plan.options.beepsAtStart { beep(channel, from: origin.thread) }
  return id
}

/// The part of `startFork` during which the module cannot be unloaded; the fork keeps that until it is freed.
private func startReserved(
  _ channel: OpaquePointer, _ plan: inout ForkPlan, _ settings: Settings, _ instance: Instance
) throws(CommandError) -> Bytes {
  if let problem = engineProblem(settings.engine) { throw CommandError(message: problem) }
  let id = text("af-", .bytes(instance.name), "-", .number(withState { $0.forks.nextNumber() }))
  af_channel_lock(channel)
  let name = bytes(ast_channel_name(channel))
  let uniqueID = bytes(ast_channel_uniqueid(channel))
  let linkedID = bytes(ast_channel_linkedid(channel))
  let callerNumber = bytes(af_caller_number(channel))
  let callerName = bytes(af_caller_name(channel))
  let rate = channelRate(channel)
  let formats = RawFormats(of: channel)
  af_channel_unlock(channel)
  defer { formats.release() }
  let untranslated = formats.untranslated

  let fork = try allocateFork()
  fork.pointee.rate_hz = rate
  fork.pointee.channel = duplicate(name)
  fork.pointee.uniqueid = duplicate(uniqueID)
  fork.pointee.linkedid = duplicate(linkedID)
  fork.pointee.caller_number = duplicate(callerNumber)
  fork.pointee.caller_name = duplicate(callerName)
  let path = instance.path(id, ".ring")
  do throws(CommandError) {
    try makeRing(fork, id, path, &plan, settings)
    describe(fork, id, plan)
    // Their hook, too, would make Asterisk warn of each frame where nothing can be translated.
    if let seconds = plan.options.beepSeconds, plan.options.direction.directions & ~untranslated != 0 {
      fork.pointee.beep_id = duplicate(try startBeeps(channel, every: seconds))
    }
  } catch {
    _ = withCString(path) { unlink($0) }
    destroy(fork)
    throw error
  }
  try attach(fork, id, to: channel, ring: path, formats, untranslated)
  return id
}

/// Fills in what the table knows of a fork from its beginning.
private func describe(_ fork: ForkPointer, _ id: Bytes, _ plan: ForkPlan) {
  fork.pointee.id = duplicate(id)
  fork.pointee.first_engine = plan.firstEngine
  fork.pointee.url = duplicate(plan.shownURL)
  fork.pointee.direction = duplicate(Bytes(text: plan.options.direction.word))
  fork.pointee.format = duplicate(Bytes(text: plan.options.format.name))
  fork.pointee.verification = duplicate(Bytes(text: plan.verification))
  fork.pointee.text_variable = duplicate(plan.options.textVariable)
  fork.pointee.command = duplicate(plan.command)
  fork.pointee.wants_digits = plan.options.tellsDigits ? 1 : 0
  fork.pointee.only_bridged = plan.options.onlyBridged ? 1 : 0
  fork.pointee.beeps_at_stop = plan.options.beepsAtStop ? 1 : 0
  fork.pointee.hangs_up = plan.options.hangsUpOnFailure ? 1 : 0
  fork.pointee.beep_seconds = UInt32(truncatingIfNeeded: plan.options.beepSeconds ?? 0)
  fork.pointee.buffer_seconds = UInt32(truncatingIfNeeded: plan.options.bufferSeconds)
  fork.pointee.drain_seconds = UInt32(truncatingIfNeeded: plan.options.drainSecondsMax)
}

/// What a fresh engine needs to know about the fork.
private func facts(_ fork: ForkPointer, _ id: Bytes, _ plan: ForkPlan) -> Bytes {
  var facts = FieldWriter()
  facts.append(.id, id)
  plan.write(to: &facts)
  facts.append(.channel, bytes(fork.pointee.channel))
  facts.append(.uniqueID, bytes(fork.pointee.uniqueid))
  facts.append(.linkedID, bytes(fork.pointee.linkedid))
  facts.append(.rate, number: UInt64(fork.pointee.rate_hz))
  facts.append(.drain, number: UInt64(plan.options.drainSecondsMax))
  facts.append(.align, number: UInt64(plan.options.alignMilliseconds))
  return facts.bytes
}

/// Creates the fork's ring. An evaluated size of the buffer for which there is no room is left out of the plan.
private func makeRing(
  _ fork: ForkPointer, _ id: Bytes, _ path: Bytes, _ plan: inout ForkPlan, _ settings: Settings
) throws(CommandError) {
  while true {
    do throws(CommandError) {
      return try makeRing(fork, path, facts(fork, id, plan), plan.options, settings)
    } catch {
      guard plan.leaveOutEvaluatedBuffer(because: error.message) else { throw error }
    }
  }
}

/// Creates the fork's ring, within `buffer_total`. After an error the fork has none.
private func makeRing(
  _ fork: ForkPointer, _ path: Bytes, _ facts: Bytes, _ options: ForkOptions, _ settings: Settings
) throws(CommandError) {
  let size = RingSize(seconds: UInt32(truncatingIfNeeded: options.bufferSeconds), rate: fork.pointee.rate_hz)
  let bytesNeeded = RingMemory.bytes(of: size)
  guard RingMemory.add(bytesNeeded, settings) else {
    throw CommandError(message: RingMemory.refusal(bytesNeeded, settings))
  }
  fork.pointee.ring_bytes = bytesNeeded
  var failure: CInt = 0
  for mayRestore in [true, false] {
    failure = createRing(
      &fork.pointee.tap, path: cString(path), size: size, facts: facts,
      directions: UInt64(options.direction.directions), now: af_now_ns(), wall: af_wall_ns())
    // The directory was removed, and the control thread has not noticed yet.
    guard isMissingFolder(failure), mayRestore, Control.instance?.restore() == true else { break }
  }
  guard failure == 0 else {
    unmap(fork)
    throw CommandError(message: ringProblem(path, failure, seconds: options.bufferSeconds))
  }
  fork.pointee.tap.rates_changed = af_rates_changed()
  RingMemory.mapped(&fork.pointee.tap)
}

private func isMissingFolder(_ failure: CInt) -> Bool { failure == ENOENT || failure == ENOTDIR }

/// Why a ring could not be made, and what to do.
func ringProblem(_ path: Bytes, _ failure: CInt, seconds: Int) -> Bytes {
  if isMissingFolder(failure) {
    return text(
      "the run directory was removed and cannot be made again: no folder for ", .bytes(path),
      ". An earlier line in the log says why")
  }
  return text(
    "cannot allocate the ring ", .bytes(path), " for ", .number(seconds), " seconds of audio: ",
    .bytes(reason(failure)), "; make room in run_dir or lower buffer in audiofork.conf")
}

/// Hangs the fork on the channel and puts it in the table; undoes everything where that fails.
private func attach(
  _ fork: ForkPointer, _ id: Bytes, to channel: OpaquePointer, ring: Bytes, _ formats: RawFormats,
  _ untranslated: UInt8
) throws(CommandError) {
  ast_audiohook_init(
    &fork.pointee.hook, AST_AUDIOHOOK_TYPE_MANIPULATE, hookSource.utf8Pointer, AST_AUDIOHOOK_MANIPULATE_ALL_RATES)
  fork.pointee.hook.manipulate_callback = hook
  // Digits may be secrets: only where the server is told of them, and not with digits = no.
  if fork.pointee.wants_digits != 0 { fork.pointee.hook.flags |= UInt32(AST_AUDIOHOOK_WANTS_DTMF.rawValue) }
  fork.pointee.hook_alive = 1
  fork.pointee.owners = 2
  // One reference for each owner.
  af_module_hold()
  af_module_hold()
  guard let datastore = withCString(id, { af_datastore_new($0) }) else {
    discard(fork, ring, channel)
    throw CommandError(message: Bytes(text: "out of memory"))
  }
  datastore.pointee.data = UnsafeMutableRawPointer(fork)

  af_channel_lock(channel)
  // Not ast_check_hangup(): a redirect that is on its way would count, and the call goes on.
  var attached =
    ast_channel_softhangup_internal_flag(channel) & ~CInt(truncatingIfNeeded: AST_SOFTHANGUP_ASYNCGOTO) == 0
  if attached {
    ast_channel_datastore_add(channel, datastore)
    attached = ast_audiohook_attach(channel, &fork.pointee.hook) == 0
    if !attached { ast_channel_datastore_remove(channel, datastore) }
  }
  var change: CaptureChange?
  if attached {
    // A masquerade since the facts were read had no datastore to tell.
    datastoreMoved(UnsafeMutableRawPointer(fork), nil, channel)
    // With the channel's lock: from here on it may be stopped, and the start has to be told before that.
    withState { state in
      state.forks.insert(fork)
      state.jobs.add(.raise(ManagerEvent(.start, ForkRow(fork, now: af_now_ns()))))
    }
    // Under the same lock: where nothing can be captured, no frame meets the hook.
    if untranslated != 0 { change = settle(fork, on: channel, formats, untranslated) }
  }
  af_channel_unlock(channel)
  guard attached else {
    datastore.pointee.data = nil
    ast_datastore_free(datastore)
    discard(fork, ring, channel)
    throw CommandError(message: Bytes(text: "the channel is hanging up"))
  }
  Control.wake()
  Jobs.wake()
  change?.carryOut(on: channel, id)
}

/// Frees a fork that never reached a channel or the table.
private func discard(_ fork: ForkPointer, _ ring: Bytes, _ channel: OpaquePointer) {
  endBeeps(channel, withState { _ in takeBeeps(fork) })
  ast_audiohook_destroy(&fork.pointee.hook)
  _ = withCString(ring) { unlink($0) }
  destroy(fork)
  af_module_release()
  af_module_release()
}

private func allocateFork() throws(CommandError) -> ForkPointer {
  guard let memory = calloc(1, MemoryLayout<af_fork>.size) else {
    throw CommandError(message: Bytes(text: "out of memory"))
  }
  return memory.assumingMemoryBound(to: af_fork.self)
}

/// Why the engine cannot be run; nil where it can. Whether it is up at this moment does not matter, the ring waits
/// for it.
func engineProblem(_ path: Bytes) -> Bytes? {
  let failure = withCString(path) { af_is_program($0) }
  guard failure != 0 else { return nil }
  return text(
    "the engine ", .bytes(path), " cannot be run: ", .bytes(reason(failure)),
    "; install it or set engine in audiofork.conf")
}

/// The higher rate of the channel's two raw formats, Hz. The channel is locked.
private func channelRate(_ channel: OpaquePointer) -> UInt32 {
  var rate: UInt32 = 8000
  if let format = ast_channel_rawreadformat(channel) { rate = max(rate, ast_format_get_sample_rate(format)) }
  if let format = ast_channel_rawwriteformat(channel) { rate = max(rate, ast_format_get_sample_rate(format)) }
  return rate
}

/// Sets a channel variable. The channel must not be locked.
func setVariable(_ channel: OpaquePointer, _ name: Bytes, _ value: Bytes) {
  withCString(name) { name in _ = withCString(value) { pbx_builtin_setvar_helper(channel, name, $0) } }
}

/// Asterisk keeps the pointer for the hook's life.
private let hookSource: StaticString = "AudioFork"

extension StaticString {
  /// The literal as a C string; lives as long as the module.
  var utf8Pointer: UnsafePointer<CChar> { UnsafeRawPointer(utf8Start).assumingMemoryBound(to: CChar.self) }
}
