// SPDX-License-Identifier: Apache-2.0
import Glibc
import Testing

/// The text of a page, by its path from the project's root.
package func documentPage(_ path: String) throws -> String {
  let root = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
  let descriptor = open("/\(root)/\(path)", O_RDONLY)
  try #require(descriptor >= 0, "\(path)")
  defer { close(descriptor) }
  var bytes = [UInt8](repeating: 0, count: 65_536)
  let count = read(descriptor, &bytes, bytes.count)
  return String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
}
