// SPDX-License-Identifier: Apache-2.0
import Foundation
import Synchronization

/// One RTP packet (RFC 3550, 5.1) without contributors and extension.
package struct RTPPacket: Sendable {
  package var payloadType: UInt8
  package var isMarked = false
  package var sequence: UInt16
  package var timestamp: UInt32
  package var payload: [UInt8]

  package init(payloadType: UInt8, isMarked: Bool = false, sequence: UInt16, timestamp: UInt32, payload: [UInt8]) {
    self.payloadType = payloadType
    self.isMarked = isMarked
    self.sequence = sequence
    self.timestamp = timestamp
    self.payload = payload
  }

  /// Nil for what is no such packet.
  init?(_ bytes: ArraySlice<UInt8>) {
    guard bytes.count >= 12, bytes[bytes.startIndex] == 0x80 else { return nil }
    let header = Array(bytes.prefix(12))
    payloadType = header[1] & 0x7F
    isMarked = header[1] & 0x80 != 0
    sequence = UInt16(header[2]) << 8 | UInt16(header[3])
    timestamp = header[4..<8].reduce(0) { $0 << 8 | UInt32($1) }
    payload = Array(bytes.dropFirst(12))
  }

  fileprivate func bytes(_ source: UInt32) -> [UInt8] {
    func big(_ value: UInt32, _ count: Int) -> [UInt8] {
      (0..<count).reversed().map { UInt8(truncatingIfNeeded: value >> (8 * UInt32($0))) }
    }
    return [0x80, payloadType | (isMarked ? 0x80 : 0)] + big(UInt32(sequence), 2) + big(timestamp, 4) + big(source, 4) + payload
  }
}

/// What a telephone says, packet by packet: the numbers that RTP counts, and when each packet leaves.
package struct RTPSpeech: Sendable {
  /// The packets, each with milliseconds since the beginning of the speech.
  package private(set) var packets: [(at: Double, packet: RTPPacket)] = []
  private var sequence: UInt16
  private var timestamp: UInt32
  private var time = 0.0

  /// Its timestamps soon go past their end. Its sequence numbers do not: Asterisk 22 loses the packet with number 0.
  package init() {
    sequence = 1000
    timestamp = 4_294_960_000
  }

  /// Speech that comes after other speech, `elapsed` after that began.
  package init(after before: RTPSpeech, silentFor elapsed: Duration) {
    let milliseconds = Double(elapsed.components.seconds) * 1000 + Double(elapsed.components.attoseconds) / 1e15
    sequence = before.sequence
    timestamp = before.timestamp &+ UInt32(max(0, milliseconds - before.time)) * 8
  }

  /// Says the payload in packets of 20 ms: 160 bytes each, as in G.711 and G.722, whose clocks run at 8 kHz.
  package mutating func say(_ payload: [UInt8], type: UInt8) {
    for start in stride(from: 0, to: payload.count, by: 160) {
      let part = Array(payload[start..<min(start + 160, payload.count)])
      packets.append(
        (time, RTPPacket(payloadType: type, isMarked: start == 0, sequence: sequence, timestamp: timestamp, payload: part)))
      sequence &+= 1
      pass(milliseconds: 20)
    }
  }

  /// Says nothing for so long. In RTP's time it passes as well.
  package mutating func pass(milliseconds: Int) {
    time += Double(milliseconds)
    timestamp &+= UInt32(milliseconds) * 8
  }

  /// Presses a key for so long (RFC 4733, 2.3): one packet every 20 ms, the last one three times.
  package mutating func press(_ event: UInt8, type: UInt8, milliseconds: Int) {
    let began = timestamp
    let count = milliseconds / 20
    for number in 1...(count + 2) {
      let duration = UInt16(min(number, count) * 160)
      let isEnd = number >= count
      let payload: [UInt8] = [event, (isEnd ? 0x80 : 0) | 10, UInt8(duration >> 8), UInt8(duration & 0xFF)]
      packets.append(
        (time, RTPPacket(payloadType: type, isMarked: number == 1, sequence: sequence, timestamp: began, payload: payload)))
      sequence &+= 1
      if number <= count { pass(milliseconds: 20) }
    }
  }

  /// The network loses these packets.
  package mutating func lose(_ numbers: Set<Int>) {
    packets = packets.enumerated().filter { !numbers.contains($0.offset) }.map(\.element)
  }

  /// The network holds these packets back, and delivers them all with the last one of them.
  package mutating func holdBack(_ numbers: Range<Int>) {
    for number in numbers { packets[number].at = packets[numbers.upperBound - 1].at }
  }
}

/// A telephone's RTP: a port of the loopback, what arrives there, and speech that leaves from there in its own time.
package final class RTPPeer: Sendable {
  package let port: Int
  private let descriptor: Int32
  private let received = Mutex<[RTPPacket]>([])
  private static let source: UInt32 = 0x5EED_0001

  package init() throws {
    descriptor = socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let descriptor = descriptor
    let result = withUnsafeMutablePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, length) + getsockname(descriptor, $0, &length) }
    }
    port = Int(UInt16(bigEndian: address.sin_port))
    guard result == 0, fcntl(descriptor, F_SETFD, FD_CLOEXEC) == 0 else { throw TestKitError("no UDP port") }
    Thread { [weak self] in
      var buffer = [UInt8](repeating: 0, count: 2048)
      while true {
        let count = recv(descriptor, &buffer, buffer.count, 0)
        guard count > 0, let peer = self else { break }
        if let packet = RTPPacket(buffer[..<count]) { peer.received.withLock { $0.append(packet) } }
      }
      close(descriptor)
    }.start()
  }

  deinit { end() }

  /// Ends the reading.
  package func end() { _ = shutdown(descriptor, Int32(SHUT_RDWR)) }

  /// What has arrived.
  package var arrived: [RTPPacket] { received.withLock { $0 } }

  /// Sends the speech to a port of the loopback; returns when the last packet has left.
  package func send(_ speech: RTPSpeech, to port: Int) async {
    let descriptor = descriptor
    // By the times and not by the numbers: what is held back comes with what is on time.
    let packets = speech.packets.enumerated().sorted { ($0.element.at, $0.offset) < ($1.element.at, $1.offset) }.map(\.element)
    await withCheckedContinuation { continuation in
      // A thread of its own: 20 ms are not left to a pool that tests share.
      Thread {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = UInt16(port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var began = timespec()
        clock_gettime(CLOCK_MONOTONIC, &began)
        for (at, packet) in packets {
          var due = began
          due.tv_nsec += Int(at * 1_000_000)
          due.tv_sec += due.tv_nsec / 1_000_000_000
          due.tv_nsec %= 1_000_000_000
          while clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, nil) == EINTR {}
          let bytes = packet.bytes(RTPPeer.source)
          _ = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
              sendto(descriptor, bytes, bytes.count, 0, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
          }
        }
        continuation.resume()
      }.start()
    }
  }
}
