// SPDX-License-Identifier: Apache-2.0
import Glibc

/// The whole text of a file of /proc; empty where it cannot be read.
///
/// Foundation reads such a file, whose size is 0, up to the first read that is not full: the first page of a long one.
package func processFile(_ path: String) -> String {
  let descriptor = open(path, O_RDONLY | O_CLOEXEC)
  guard descriptor >= 0 else { return "" }
  defer { close(descriptor) }
  var text: [UInt8] = []
  var buffer = [UInt8](repeating: 0, count: 65_536)
  while true {
    let count = read(descriptor, &buffer, buffer.count)
    guard count > 0 else { return String(decoding: text, as: UTF8.self) }
    text += buffer.prefix(count)
  }
}
