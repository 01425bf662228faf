// SPDX-License-Identifier: Apache-2.0
import Foundation

/// Runs a CLI command over Asterisk's control socket, and returns what it prints, without the last line's end; nil
/// where no Asterisk listens there.
///
/// It says what `asterisk -rx` says (main/asterisk.c, `ast_remotecontrol`), which takes a process with all of
/// Asterisk's libraries for each command. Fails after a minute of silence, as that does.
func controlCommand(_ command: String, at path: String) async -> String? {
  await onThread {
    guard let descriptor = connectedSocket(path) else { return nil }
    defer { close(descriptor) }
    let request = Array("cli quit after \(command)\0".utf8)
    // A line with host, process and version comes first; what is asked before it is not lost.
    guard send(descriptor, request, request.count, Int32(MSG_NOSIGNAL)) == request.count else { return nil }
    var answer: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65_536)
    while true {
      let count = recv(descriptor, &buffer, buffer.count, 0)
      guard count > 0 else { break }
      answer += buffer[0..<count]
    }
    return printed(answer)
  }
}

/// What of the answer is the command's: no greeting, and no verbose messages, whose lines begin with a byte above 127.
private func printed(_ answer: [UInt8]) -> String {
  var lines = answer.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).dropFirst()
  if lines.last?.isEmpty == true { lines.removeLast() }
  return lines.filter { ($0.first ?? 0) < 128 }.map { String(decoding: $0, as: UTF8.self) }.joined(separator: "\n")
}

private func connectedSocket(_ path: String) -> Int32? {
  let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
  guard descriptor >= 0 else { return nil }
  var address = sockaddr_un()
  address.sun_family = sa_family_t(AF_UNIX)
  let bytes = Array(path.utf8CString)
  let fits = withUnsafeMutableBytes(of: &address.sun_path) { room in
    guard bytes.count <= room.count else { return false }
    bytes.withUnsafeBytes { room.copyMemory(from: $0) }
    return true
  }
  let connected =
    fits
    && withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) == 0
      }
    }
  var patience = timeval(tv_sec: 60, tv_usec: 0)
  setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
  if connected { return descriptor }
  close(descriptor)
  return nil
}
