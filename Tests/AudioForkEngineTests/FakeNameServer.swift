// SPDX-License-Identifier: Apache-2.0
import Glibc
import NIOConcurrencyHelpers
import Testing

/// A name server on port 53 of a loopback address that knows one name, at 127.0.0.1 (RFC 1035).
final class FakeNameServer: Sendable {
  private let socket: CInt
  private let count = NIOLockedValueBox(0)

  /// Questions for its name so far.
  var questions: Int { count.withLockedValue { $0 } }

  init(_ address: String, answering name: String) throws {
    let socket = Glibc.socket(AF_INET, CInt(SOCK_DGRAM.rawValue), 0)
    var place = sockaddr_in()
    place.sin_family = sa_family_t(AF_INET)
    place.sin_port = in_port_t(53).bigEndian
    try #require(inet_pton(AF_INET, address, &place.sin_addr) == 1)
    let bound = withUnsafePointer(to: place) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    try #require(bound == 0)
    self.socket = socket
    let labels = name.split(separator: ".").map { label in [UInt8(label.utf8.count)] + Array(label.utf8) }
    let wanted: [UInt8] = Array(labels.joined()) + [0]
    let box = Unmanaged.passRetained(Work(socket: socket, name: wanted, count: count))
    var thread = pthread_t()
    pthread_create(
      &thread, nil,
      { argument in
        guard let argument else { return nil }
        Unmanaged<Work>.fromOpaque(argument).takeRetainedValue().serve()
        return nil
      }, box.toOpaque())
    pthread_detach(thread)
  }

  deinit {
    shutdown(socket, CInt(SHUT_RDWR))
    close(socket)
  }

  private final class Work: Sendable {
    let socket: CInt
    let name: [UInt8]
    let count: NIOLockedValueBox<Int>

    init(socket: CInt, name: [UInt8], count: NIOLockedValueBox<Int>) {
      self.socket = socket
      self.name = name
      self.count = count
    }

    /// Answers until the socket is shut down.
    func serve() {
      while true {
        var question = [UInt8](repeating: 0, count: 512)
        var from = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let received = withUnsafeMutablePointer(to: &from) {
          $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            recvfrom(socket, &question, question.count, 0, $0, &length)
          }
        }
        guard received > 0 else { return }
        let answer = answer(to: Array(question.prefix(received)))
        _ = withUnsafePointer(to: from) {
          $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            sendto(socket, answer, answer.count, 0, $0, length)
          }
        }
      }
    }

    private func answer(to question: [UInt8]) -> [UInt8] {
      let end = 12 + name.count + 4
      let isKnown = question.count >= end && Array(question[12..<(12 + name.count)]) == name
      // Type A; there is no AAAA.
      let hasAddress = isKnown && question[12 + name.count + 1] == 1
      if isKnown { count.withLockedValue { $0 += 1 } }
      var answer = Array(question.prefix(isKnown ? end : 12))
      answer.replaceSubrange(
        2..<12, with: [0x81, isKnown ? 0x80 : 0x83, 0, isKnown ? 1 : 0, 0, hasAddress ? 1 : 0, 0, 0, 0, 0])
      if hasAddress { answer += [0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 127, 0, 0, 1] }
      return answer
    }
  }
}
