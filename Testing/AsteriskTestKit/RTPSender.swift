// SPDX-License-Identifier: Apache-2.0
internal import AudioForkTestKit
import Foundation
import Synchronization

/// What a phone can say over RTP with a payload type of its own (RFC 3551). Twenty milliseconds are 160 bytes, but 20
/// of G.729. The clock of each counts 8000 a second; that of G.722 too, by an old mistake of the standard.
package enum RTPCodec: UInt8, Sendable {
  case muLaw = 0
  case aLaw = 8
  case g722 = 9
  case g729 = 18

  /// Bytes of 20 ms.
  var packetBytes: Int { self == .g729 ? 20 : 160 }
}

/// What becomes of one packet on its way.
package enum RTPFate: Sendable {
  /// It uses up its number and its time, and never comes.
  case lost
  /// It comes when the packet `packet` of the same batch does, `order` places behind it, or before it where negative.
  case with(packet: Int, order: Int)
}

/// The RTP side of a phone: two UDP ports of the loopback, a thread that sends on a schedule of its own, and one that
/// takes what comes.
///
/// Its timestamps follow the clock: what is said after a silence is as much later in media time as on the clock, in
/// whole packets.
package final class RTPSender: Sendable {
  /// A packet as it came.
  package struct Received: Sendable {
    package let payloadType: UInt8
    package let sequence: UInt16
    package let timestamp: UInt32
    package let payload: [UInt8]
  }

  private struct Packet {
    /// Nanoseconds of the monotonic clock.
    var due: Int64
    var bytes: [UInt8]
    /// Bytes of audio in it.
    var audio = 0
  }

  private struct State {
    var received: [Received] = []
    var destination: sockaddr_in?
    /// The moment of media time 0; nil before the first packet.
    var origin: Int64?
    /// Media time in packets of 20 ms: the next one's.
    var next: Int64 = 0
    var sequence: UInt16 = 4711
    var audioSent = 0
    var isOver = false
  }

  /// Where the phone takes RTP; RTCP comes one port above.
  package let port: Int
  private let socket: Int32
  private let control: Int32
  private let state = Mutex(State())

  private static let packetNanoseconds: Int64 = 20_000_000
  private static let firstTimestamp: UInt32 = 0xFFFF_8000 // it goes over the end within four seconds
  private static let eventPayload: UInt8 = 101

  package init() throws {
    for _ in 0..<200 {
      let even = Int.random(in: 17_000..<19_900) * 2
      guard let first = try? boundUDPSocket(even) else { continue }
      guard let second = try? boundUDPSocket(even + 1) else {
        close(first)
        continue
      }
      socket = first
      control = second
      port = even
      listen()
      return
    }
    throw TestKitError("no two free UDP ports")
  }

  deinit {
    state.withLock { $0.isOver = true }
    close(control)
  }

  private func listen() {
    let socket = self.socket
    Thread { [weak self] in
      var patience = timeval(tv_sec: 0, tv_usec: 50_000)
      setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
      var buffer = [UInt8](repeating: 0, count: 2048)
      while let self, !self.state.withLock({ $0.isOver }) {
        let count = recv(socket, &buffer, buffer.count, 0)
        guard count > 12, buffer[0] == 0x80 else { continue }
        let packet = Received(
          payloadType: buffer[1] & 0x7F, sequence: UInt16(buffer[2]) << 8 | UInt16(buffer[3]),
          timestamp: buffer[4..<8].reduce(0) { $0 << 8 | UInt32($1) }, payload: Array(buffer[12..<count]))
        self.state.withLock { $0.received.append(packet) }
      }
      close(socket)
    }.start()
  }

  /// What has come so far, in the order of its coming.
  package var received: [Received] { state.withLock { $0.received } }

  /// The payload of that type that has come so far.
  package func receivedPayload(_ codec: RTPCodec) -> [UInt8] {
    received.filter { $0.payloadType == codec.rawValue }.flatMap(\.payload)
  }

  /// Bytes of audio that have been sent; with each of the codecs but G.729 one lasts 1/8000 s.
  package var audioSent: Int { state.withLock { $0.audioSent } }

  /// From now on packets go to this port.
  package func connect(to port: Int) { state.withLock { $0.destination = loopback(port) } }

  /// Sends `payload`, one packet per 20 ms. Returns the number of silent packet times before it.
  @discardableResult
  package func send(_ payload: [UInt8], _ codec: RTPCodec, fates: [Int: RTPFate] = [:]) async -> Int {
    let length = codec.packetBytes
    let packets = stride(from: 0, to: payload.count, by: length).map {
      Array(payload[$0..<min($0 + length, payload.count)])
    }
    let (silence, schedule) = state.withLock { state in
      let silence = Self.catchUp(&state)
      var schedule: [Packet] = []
      for (index, payload) in packets.enumerated() {
        let place = state.next + Int64(index)
        var due = Self.due(state, place)
        var isLost = false
        switch fates[index] {
        case .lost: isLost = true
        // A tenth of a millisecond apart: one after the other, and still a burst.
        case .with(let packet, let order):
          due = Self.due(state, state.next + Int64(packet)) + Int64(order) * 100_000
        case nil: break
        }
        let isFirst = index == 0 && (silence > 0 || place == 0)
        let bytes = Self.bytes(&state, type: codec.rawValue, place: place, marker: isFirst, payload)
        if !isLost { schedule.append(Packet(due: due, bytes: bytes, audio: payload.count)) }
      }
      state.next += Int64(packets.count)
      return (silence, schedule)
    }
    await send(schedule)
    return silence
  }

  /// Presses a digit for that many packets of 20 ms, as RFC 4733 has it: events instead of audio, all with the
  /// timestamp of their beginning, the last three times. Returns the silence before it, as `say`.
  @discardableResult
  package func press(_ event: UInt8, packets: Int) async -> Int {
    let (silence, schedule) = state.withLock { state in
      let silence = Self.catchUp(&state)
      let begin = state.next
      var schedule: [Packet] = []
      for index in 0..<packets {
        let length = UInt16((index + 1) * 160)
        let isLast = index == packets - 1
        for copy in 0..<(isLast ? 3 : 1) {
          let payload: [UInt8] = [event, (isLast ? 0x80 : 0) | 10, UInt8(length >> 8), UInt8(length & 255)]
          let bytes = Self.bytes(&state, type: Self.eventPayload, place: begin, marker: index == 0, payload)
          schedule.append(Packet(due: Self.due(state, begin + Int64(index)) + Int64(copy) * 100_000, bytes: bytes))
        }
      }
      state.next += Int64(packets)
      return (silence, schedule)
    }
    await send(schedule)
    return silence
  }

  /// Moves media time on to now, where nothing was sent for a while.
  private static func catchUp(_ state: inout State) -> Int {
    let now = monotonicNow()
    guard let origin = state.origin else {
      state.origin = now + packetNanoseconds
      return 0
    }
    // A call right behind another goes on without a pause.
    let place = (now - origin + packetNanoseconds - 1) / packetNanoseconds
    guard place > state.next + 2 else { return 0 }
    defer { state.next = place }
    return Int(place - state.next)
  }

  private static func due(_ state: State, _ place: Int64) -> Int64 { (state.origin ?? 0) + place * packetNanoseconds }

  private static func bytes(
    _ state: inout State, type: UInt8, place: Int64, marker: Bool, _ payload: [UInt8]
  ) -> [UInt8] {
    let timestamp = firstTimestamp &+ UInt32(truncatingIfNeeded: place * 160)
    defer { state.sequence &+= 1 }
    let head: [UInt8] = [0x80, (marker ? 0x80 : 0) | type, UInt8(state.sequence >> 8), UInt8(state.sequence & 255)]
    let time = (0..<4).map { UInt8(truncatingIfNeeded: timestamp >> (24 - 8 * $0)) }
    return head + time + [0xAF, 0x0F, 0x0B, 0x0D] + payload
  }

  /// Sends each at its time, on a thread of its own.
  private func send(_ packets: [Packet]) async {
    let schedule = packets.sorted { $0.due < $1.due }
    await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
      Thread {
        for packet in schedule {
          sleepUntil(packet.due)
          let destination = self.state.withLock { state in
            state.audioSent += packet.audio
            return state.destination
          }
          guard var destination else { continue }
          withUnsafePointer(to: &destination) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
              _ = sendto(
                self.socket, packet.bytes, packet.bytes.count, 0, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
          }
        }
        continuation.resume()
      }.start()
    }
  }
}

private func monotonicNow() -> Int64 {
  var now = timespec()
  clock_gettime(CLOCK_MONOTONIC, &now)
  return Int64(now.tv_sec) * 1_000_000_000 + Int64(now.tv_nsec)
}

private func sleepUntil(_ moment: Int64) {
  var until = timespec(tv_sec: Int(moment / 1_000_000_000), tv_nsec: Int(moment % 1_000_000_000))
  while clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nil) == EINTR {}
}
