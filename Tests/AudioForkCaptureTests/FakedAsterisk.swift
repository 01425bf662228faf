// SPDX-License-Identifier: Apache-2.0
import AudioForkCapture
import AudioForkLink
import AudioForkSurface
import CAsterisk
import Foundation

/// The faked Asterisk as tests talk to it. One at a time: a module has one state per process.
struct FakedAsterisk {
  let runDirectory: String

  /// Sets the configuration and loads the module. Returns nil where the load was declined.
  static func load(_ settings: String = "buffer=1") -> FakedAsterisk? {
    // What an earlier load spawned last and nobody took.
    FakedEngine(within: 0)?.die()
    let directory = "/dev/shm/audiofork-faked-\(UInt32.random(in: 0...UInt32.max))"
    fake_version("22.10.1~dfsg-1")
    fake_configuration("engine=/bin/true\nrun_dir=\(directory)\n\(settings)")
    guard af_load() == 0 else {
      try? FileManager.default.removeItem(atPath: directory)
      return nil
    }
    return FakedAsterisk(runDirectory: directory)
  }

  func unload() -> Bool {
    // The last fork's end is told before its thread is out of the module: a moment later unloading is possible.
    guard soon({ af_unload() == 0 }) else { return false }
    try? FileManager.default.removeItem(atPath: runDirectory)
    return true
  }

  /// Files of forks in the instance's directory.
  var forkFiles: [String] {
    (FileManager.default.enumerator(atPath: runDirectory)?.allObjects as? [String] ?? []).filter { $0.contains(".") }
  }

  static var log: String {
    guard let text = fake_log() else { return "" }
    defer { free(text) }
    return String(cString: text)
  }

  static func variable(_ channel: OpaquePointer?, _ name: String) -> String? {
    guard let text = fake_variable(channel, name) else { return nil }
    defer { free(text) }
    return String(cString: text)
  }
}

/// The test in the engine's place: the other end of the link.
final class FakedEngine {
  private let link: CInt
  private var parser = LinkParser()
  /// How often the module has sent the engine-wide settings.
  private(set) var settingsCount = 0

  /// Waits for the module to spawn one.
  init?(within milliseconds: CInt = 2000) {
    link = fake_engine(milliseconds)
    guard link >= 0 else { return nil }
  }

  /// The next message but for settings, waited for at most two seconds: its type, id and state.
  func next(within milliseconds: CInt = 2000) -> (type: UInt16, id: String, state: String)? {
    while true {
      if let message = try? parser.next() {
        guard message.type != LinkMessageKind.settings.rawValue else {
          settingsCount += 1
          continue
        }
        func text(_ field: LinkField) -> String {
          message.fields.text(field) ?? ""
        }
        return (message.type, text(.id), text(.state))
      }
      var waiting = pollfd(fd: link, events: Int16(POLLIN), revents: 0)
      guard poll(&waiting, 1, milliseconds) == 1 else { return nil }
      var buffer = [UInt8](repeating: 0, count: 4096)
      let count = recv(link, &buffer, buffer.count, 0)
      guard count > 0 else { return nil }
      buffer.withUnsafeBytes { parser.append(UnsafeRawBufferPointer(rebasing: $0[0..<count])) }
    }
  }

  /// Whether the module has closed the link.
  func isClosed(within milliseconds: CInt = 3000) -> Bool {
    var waiting = pollfd(fd: link, events: Int16(POLLIN), revents: 0)
    guard poll(&waiting, 1, milliseconds) == 1 else { return false }
    var byte: UInt8 = 0
    return recv(link, &byte, 1, 0) <= 0
  }

  func send(_ bytes: [UInt8]) { _ = bytes.withUnsafeBytes { CAsterisk.send(link, $0.baseAddress, $0.count, 0x4000) } }

  /// `knows`: the highest type of message, as a release that has RESTART says it.
  func sayReady(process: Int32 = 1, knows: LinkMessageKind? = nil, confinement: String = "confined") {
    var message = FieldWriter(.ready)
    message.append(.version, Array("0.1".utf8))
    message.append(.processID, number: UInt64(process))
    message.append(.loops, number: 2)
    if let knows { message.append(.knows, number: UInt64(knows.rawValue)) }
    if !confinement.isEmpty { message.append(.confinement, Array(confinement.utf8)) }
    send(message.message)
  }

  func sayState(_ id: String, _ state: String, reason: String = "", position: UInt64 = 0) {
    var message = FieldWriter(.state)
    message.append(.id, Array(id.utf8))
    message.append(.state, Array(state.utf8))
    message.append(.reason, Array(reason.utf8))
    message.append(.position, position)
    send(message.message)
  }

  func sayEnded(_ id: String) {
    var message = FieldWriter(.ended)
    message.append(.id, Array(id.utf8))
    message.append(.reason, Array("done".utf8))
    send(message.message)
  }

  /// Dies.
  func die() { close(link) }
}

/// Whether the condition comes true within two seconds.
func soon(within seconds: Int = 2, _ condition: () -> Bool) -> Bool {
  for _ in 0..<(seconds * 200) {
    if condition() { return true }
    usleep(5000)
  }
  return condition()
}
