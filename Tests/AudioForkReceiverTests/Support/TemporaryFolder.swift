// SPDX-License-Identifier: Apache-2.0
import Glibc

struct SystemCallFailed: Error { let what: String }

/// A folder that is gone, with all in it, when this value is.
final class TemporaryFolder {
  let path: String

  init() throws {
    var template = Array("/tmp/audiofork-receiver-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw SystemCallFailed(what: "mkdtemp") }
    path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  deinit { TemporaryFolder.remove(path) }

  /// Names of what is in it, sorted.
  var names: [String] { TemporaryFolder.names(path) }

  /// Absolute paths of what is in it, sorted by name.
  var files: [String] { names.map { "\(path)/\($0)" } }

  /// Names of what is in any folder, sorted.
  static func names(_ path: String) -> [String] {
    guard let folder = opendir(path) else { return [] }
    defer { closedir(folder) }
    var names: [String] = []
    while let entry = readdir(folder) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name != ".", name != ".." { names.append(name) }
    }
    return names.sorted()
  }

  private static func remove(_ path: String) {
    for name in names(path) where unlink("\(path)/\(name)") != 0 { remove("\(path)/\(name)") }
    rmdir(path)
  }
}

/// A file's bytes; empty if it cannot be read.
func contents(_ path: String) -> [UInt8] {
  let descriptor = open(path, O_RDONLY)
  guard descriptor >= 0 else { return [] }
  defer { close(descriptor) }
  var all: [UInt8] = []
  var block = [UInt8](repeating: 0, count: 65536)
  while case let count = read(descriptor, &block, block.count), count > 0 { all += block.prefix(count) }
  return all
}

/// Writes a new file.
func write(_ bytes: [UInt8], to path: String) throws {
  let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL, 0o600)
  guard descriptor >= 0 else { throw SystemCallFailed(what: "open \(path)") }
  defer { close(descriptor) }
  guard write(descriptor, bytes, bytes.count) == bytes.count else { throw SystemCallFailed(what: "write \(path)") }
}
