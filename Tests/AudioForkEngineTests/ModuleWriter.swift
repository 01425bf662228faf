// SPDX-License-Identifier: Apache-2.0
import AudioForkEngine
import AudioForkLink

/// Messages as the module writes them.
enum ModuleWriter {
  static func hello(_ version: UInt64 = LinkProtocol.version) -> [UInt8] {
    ModuleMessage.hello(version: "22.1.0", protocolVersion: version).encoded
  }

  static func fork(_ id: String, isClosed: Bool = false) -> [UInt8] {
    ModuleMessage.fork(id: id, isClosed: isClosed).encoded
  }

  static func tableEnd() -> [UInt8] { ModuleMessage.tableEnd.encoded }

  static func sendText(_ id: String, _ text: String) -> [UInt8] {
    ModuleMessage.sendText(id: id, text: Array(text.utf8)).encoded
  }

  static func restart() -> [UInt8] { ModuleMessage.restart.encoded }
  static func stopping() -> [UInt8] { ModuleMessage.stopping.encoded }

  static func forget(_ id: String) -> [UInt8] { ModuleMessage.forget(id: id).encoded }
}
