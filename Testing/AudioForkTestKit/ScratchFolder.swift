// SPDX-License-Identifier: Apache-2.0
import Glibc

/// A folder in memory that is gone with its contents when nobody holds it any more. Flat: files only.
package final class ScratchFolder: Sendable {
  package let path: String

  /// No folder could be made; the errno says why.
  package struct Failure: Error { package let errno: Int32 }

  package init() throws(Failure) {
    var template = Array("/dev/shm/audiofork-test-XXXXXX".utf8CString)
    let made = template.withUnsafeMutableBufferPointer { $0.baseAddress.flatMap { mkdtemp($0) } != nil }
    guard made else { throw Failure(errno: errno) }
    path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  deinit {
    for name in names { unlink(file(name)) }
    rmdir(path)
  }

  package var exists: Bool { access(path, F_OK) == 0 }

  /// The files' names in alphabetical order.
  package var names: [String] {
    guard let folder = opendir(path) else { return [] }
    defer { closedir(folder) }
    var names: [String] = []
    while let entry = readdir(folder) {
      let name = withUnsafeBytes(of: entry.pointee.d_name) { bytes in
        String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
      }
      if name != ".", name != ".." { names.append(name) }
    }
    return names.sorted()
  }

  package func file(_ name: String) -> String { path + "/" + name }
}
