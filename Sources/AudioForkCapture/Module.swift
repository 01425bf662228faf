// SPDX-License-Identifier: GPL-2.0-or-later
import AudioForkBytes
import AudioForkSurface
import CAsterisk

/// Loads the module: everything or nothing. Returns 0 for success.
@c(af_load)
func load() -> CInt {
  if Control.instance != nil {
    // `module unload -h` took the module off Asterisk's list while its forks, and so everything of it, lived on.
    af_module_hand_over_pin()
    log(AF_LEVEL_NOTICE, "app_audiofork goes on: its forks outlived the forced unload")
    return 0
  }
  guard isBuiltForThisAsterisk() else { return -1 }
  guard let settings = Settings.load() else {
    log(AF_LEVEL_ERROR, "app_audiofork is not loaded: mend audiofork.conf first")
    return -1
  }
  guard let instance = Instance.make(in: settings.runDirectory) else { return -1 }
  instance.tellIfRemovedBySystemd()
  guard Control.start(settings, instance) else {
    instance.remove()
    return -1
  }
  guard Registration.register() else {
    Control.stop()
    instance.remove()
    log(AF_LEVEL_ERROR, "app_audiofork is not loaded: Asterisk refused to register its commands")
    return -1
  }
  return 0
}

/// Unloads the module; refuses, with everything still in place, while forks live.
@c(af_unload)
func unload() -> CInt {
  let (live, owned, commands) = withState { state in
    state.forks.isClosing = state.forks.owned == 0
    return (state.forks.count, state.forks.owned &- state.forks.commands, state.forks.commands)
  }
  guard commands == 0 || owned > 0 else {
    log(
      AF_LEVEL_WARNING, "app_audiofork is not unloaded: ", .number(commands),
      commands == 1 ? " command of a fork that has ended still runs" : " commands of forks that have ended still run",
      "; try again when they are done")
    // As below: the thread that waits for them comes back to this code.
    af_module_pin()
    return -1
  }
  guard owned == 0 else {
    log(
      AF_LEVEL_WARNING, "app_audiofork is not unloaded: ", .number(owned), owned == 1 ? " fork is" : " forks are",
      live > 0
        ? " still live; end them with 'audiofork stop <channel>' and try again"
        : " over, but a channel that had one still lives; try again after it has hung up")
    // What Asterisk calls dangerous is forbidden to be: hooks of live channels point into this code.
    af_module_pin()
    return -1
  }
  let instance = Control.instance
  Registration.unregister()
  Control.stop()
  instance?.remove()
  af_module_unpin()
  return 0
}

/// `module reload app_audiofork.so`: a good file applies to new forks, a bad one changes nothing.
@c(af_reload)
func reload() -> CInt {
  let settings = Settings.load()
  let problem = settings.flatMap { $0.engine == Control.settings?.engine ? nil : engineProblem($0.engine) }
  if let problem { log(AF_LEVEL_ERROR, "audiofork.conf, [general]: ", .bytes(problem)) }
  guard let settings, problem == nil else {
    log(AF_LEVEL_ERROR, "audiofork.conf was not reloaded: the settings from before stay in force")
    return -1
  }
  if settings.runDirectory.path != Control.settings?.runDirectory.path {
    log(AF_LEVEL_NOTICE, "audiofork.conf: run_dir takes effect when app_audiofork is loaded the next time")
  }
  if settings.engine != Control.settings?.engine {
    log(AF_LEVEL_NOTICE, "audiofork.conf: the running engine goes on; engine takes effect when the next one is started")
  }
  Control.apply(settings)
  return 0
}

/// The loader checks build options, not the release: a module of another one loads and corrupts memory.
private func isBuiltForThisAsterisk() -> Bool {
  let running = release(of: bytes(ast_get_version()))
  let built = release(of: bytes(af_built_for()))
  if running == built { return true }
  log(
    AF_LEVEL_ERROR, "app_audiofork is not loaded: it was built for Asterisk ", .bytes(built), " and this is ",
    .bytes(running), "; build it again with this Asterisk's headers (make ASTERISK_INCLUDE=DIR)")
  return false
}

/// `22.10.1` of `22.10.1~dfsg-1`; a version that does not begin with a number is taken as it is.
private func release(of version: Bytes) -> Bytes {
  var end = 0
  while end < version.count, version[end].isDigit || version[end] == UInt8(ascii: ".") { end &+= 1 }
  return end == 0 ? version : slice(version, 0, end)
}
