// SPDX-License-Identifier: Apache-2.0
import AudioForkBytes
import AudioForkCapture
import AudioForkLink
import AudioForkSurface
import AudioForkRing
import AudioForkTap
import CAsterisk
import Foundation
import Testing

extension FakedEngine {
  enum Field {
    case text(LinkField, String)
    case bytes(LinkField, [UInt8])
    case number(LinkField, UInt64)
    case counter(Counter, UInt64)
  }

  /// Sends a message about a fork.
  func send(_ kind: LinkMessageKind, _ id: String, _ fields: Field...) {
    var message = FieldWriter(kind)
    message.append(.id, Array(id.utf8))
    for field in fields {
      switch field {
      case .text(let key, let value): message.append(key, Array(value.utf8))
      case .bytes(let key, let value): message.append(key, value)
      case .number(let key, let value): message.append(key, number: value)
      case .counter(let counter, let value): message.append(counter, value)
      }
    }
    send(message.message)
  }
}

/// The events that the faked Asterisk was told of, their lines ending as a test's do.
var events: String {
  guard let text = fake_events() else { return "" }
  defer { free(text) }
  return String(decoding: String(cString: text).utf8.filter { $0 != 13 }, as: UTF8.self)
}

/// A loaded module with its engine greeted, and what a test needs of it.
struct LoadedModule {
  let asterisk: FakedAsterisk
  let engine: FakedEngine

  init(_ settings: String = "buffer=1") throws {
    fake_forget_events()
    asterisk = try #require(FakedAsterisk.load(settings))
    engine = try #require(FakedEngine())
    engine.sayReady()
  }

  /// Starts a fork from the dialplan. Returns its id, nil where it failed.
  func start(_ channel: OpaquePointer?, _ arguments: String) -> String? {
    _ = af_exec_start(channel, arguments)
    guard FakedAsterisk.variable(channel, "AUDIOFORKSTATUS") == "SUCCESS" else { return nil }
    return forkFile.map { String($0.dropLast(5)) }
  }

  /// The ring that was made last.
  var forkFile: String? {
    asterisk.forkFiles.filter { $0.hasSuffix(".ring") }
      .max {
        (Int($0.split(separator: "-").last?.dropLast(5) ?? "") ?? 0)
          < (Int($1.split(separator: "-").last?.dropLast(5) ?? "") ?? 0)
      }
      .map { String($0.split(separator: "/").last ?? "") }
  }

  func ring(_ id: String) throws -> RingReader {
    let file = try #require(asterisk.forkFiles.first { $0.hasSuffix("\(id).ring") })
    return try RingReader(path: asterisk.runDirectory + "/" + file)
  }

  /// Ends what is left of the forks and the module.
  func end(_ channels: [OpaquePointer?], _ ids: [String]) {
    for channel in channels { fake_hangup(channel) }
    for id in ids { engine.sayEnded(id) }
    #expect(soon { fake_module_references() == 0 })
    engine.die()
    #expect(asterisk.unload())
  }
}
