// SPDX-License-Identifier: Apache-2.0
internal import AsteriskTestKit
internal import AudioForkLink
internal import AudioForkTestKit
internal import CAudioForkABI
internal import Foundation

/// An engine as the module starts it, and the module's end of its link: says which forks there are, and reads what the
/// engine says, so that it can.
final class LinkedEngine {
  let process: ChildProcess
  private let descriptor: Int32

  /// `heard`: is called with each message of the engine, on a thread of the link's.
  init(in folder: ScratchFolder, heard: (@Sendable (LinkMessage) -> Void)? = nil) throws {
    // As the module does it: the link is descriptor 3.
    var ends: [Int32] = [-1, -1]
    guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0 else { throw BenchError("no socket pair") }
    descriptor = ends[0]
    defer { close(ends[1]) }
    do {
      process = try ChildProcess(
        Checkout.engine, ["engine", "--link", "3", "--directory", folder.path], descriptors: [3: ends[1]])
    } catch {
      close(ends[0])
      throw error
    }
    let descriptor = descriptor
    // Until `end`, or the engine's.
    Thread {
      var buffer = [UInt8](repeating: 0, count: 65_536)
      var parser = LinkParser()
      while true {
        let count = read(descriptor, &buffer, buffer.count)
        guard count > 0 else { return }
        guard let heard else { continue }
        parser.append(buffer.prefix(count))
        while let message = try? parser.next() { heard(message) }
      }
    }.start()
  }

  deinit {
    // It ends the thread, which may still have the number.
    shutdown(descriptor, Int32(SHUT_RDWR))
    close(descriptor)
  }

  /// Greets it and tells it the forks that there are.
  func begin(_ identifiers: [String]) {
    sendMessage(.hello(version: "bench", protocolVersion: LinkProtocol.version))
    for identifier in identifiers { fork(identifier) }
    sendMessage(.tableEnd)
  }

  /// Tells it of a fork.
  func fork(_ identifier: String) {
    sendMessage(.fork(id: identifier, isClosed: false))
  }

  private func sendMessage(_ message: MessageFromModule<String>) {
    let bytes = message.encoded
    var done = 0
    while done < bytes.count {
      let count = bytes[done...].withUnsafeBytes { send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
      guard count > 0 else { return }
      done += count
    }
  }

  func end() async {
    await process.end()
    shutdown(descriptor, Int32(SHUT_RDWR))
  }
}
