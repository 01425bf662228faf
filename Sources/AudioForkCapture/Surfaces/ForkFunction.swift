// SPDX-License-Identifier: GPL-2.0-or-later
import AudioForkBytes
import AudioForkSurface
import CAsterisk

/// `${AUDIOFORK(id,key)}` into a buffer of `length` bytes. Returns 0, or -1 where there is no such fork or key.
@c(af_function_read)
func functionRead(
  _ channel: OpaquePointer?, _ name: UnsafePointer<CChar>?, _ arguments: UnsafeMutablePointer<CChar>?,
  _ buffer: UnsafeMutablePointer<CChar>?, _ length: Int
) -> CInt {
  guard let buffer, length > 0 else { return -1 }
  let value = functionValue(channel, arguments)
  var index = 0
  for byte in value ?? [] {
    guard index < length &- 1, byte != 0 else { break }
    buffer[index] = CChar(bitPattern: byte)
    index &+= 1
  }
  buffer[index] = 0
  return value == nil ? -1 : 0
}

/// The same into a string that grows; `length` as Asterisk has it: above 0 its limit, 0 none, below 0 what it has.
@c(af_function_read2)
func functionReadLong(
  _ channel: OpaquePointer?, _ name: UnsafePointer<CChar>?, _ arguments: UnsafeMutablePointer<CChar>?,
  _ string: UnsafeMutablePointer<UnsafeMutablePointer<ast_str>?>?, _ length: Int
) -> CInt {
  let value = functionValue(channel, arguments)
  withCString(value ?? []) { af_string_set(string, length, $0) }
  return value == nil ? -1 : 0
}

/// The value that the arguments ask for; nil, after a line in the log, where there is none.
private func functionValue(_ channel: OpaquePointer?, _ arguments: UnsafePointer<CChar>?) -> Bytes? {
  let given = bytes(arguments)
  let comma = firstIndex(of: UInt8(ascii: ","), in: given) ?? given.count
  let id = trimmed(slice(given, 0, comma))
  let word = trimmed(slice(given, comma &+ 1, given.count))
  guard let key = FunctionKey.named(word) else {
    log(
      AF_LEVEL_WARNING, "AUDIOFORK(", .bytes(shown(given)), "): '", .bytes(shown(word)), "' is no key; ",
      .bytes(knownKeys()))
    return nil
  }
  guard let row = forkRow(called: id) ?? finishedFork(channel, id) else {
    log(
      AF_LEVEL_WARNING, "AUDIOFORK(", .bytes(shown(given)), "): there is no fork with the id '", .bytes(shown(id)),
      "'; 'audiofork list' shows those that there are")
    return nil
  }
  return row.text(key)
}

/// A fork that is over and whose row is gone; its channel still has it.
private func finishedFork(_ channel: OpaquePointer?, _ id: Bytes) -> ForkRow? {
  guard let channel, !id.isEmpty else { return nil }
  af_channel_lock(channel)
  defer { af_channel_unlock(channel) }
  guard let found = withCString(id, { ast_channel_datastore_find(channel, af_datastore_type(), $0) }),
    let pointer = found.pointee.data
  else { return nil }
  let now = af_now_ns()
  return withState { ForkRow(pointer.assumingMemoryBound(to: af_fork.self), now: now, engine: $0.engine) }
}

private func knownKeys() -> Bytes {
  var text = Bytes(text: "keys are")
  var isFirst = true
  for key in FunctionKey.all {
    text.append(isFirst ? " " : ", ")
    text.append(key.name)
    isFirst = false
  }
  return text
}
