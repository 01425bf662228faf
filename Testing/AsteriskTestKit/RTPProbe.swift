// SPDX-License-Identifier: Apache-2.0
internal import AudioForkTestKit
import Foundation

/// The RTP peers of many calls at once, two for each: sockets 2k and 2k+1 are the two ends of call k. Every peer says
/// a numbered packet of µ-law each 20 ms, and what comes to the other end is noted with the time at which the kernel
/// had it.
///
/// One thread says everything, so that no two packets of ours leave at the same moment; another one takes from the
/// sockets what came, ten times a second, because its own time does not matter.
package final class RTPProbe: Sendable {
  /// What became of the packets. A flow is what one peer says; packet p of flow f is at place f × `packets` + p.
  package struct Passage: Sendable {
    /// Of each flow.
    package let packets: Int
    package let flows: Int
    /// Nanoseconds of CLOCK_REALTIME just before the packet was sent.
    package let sent: [Int64]
    /// The same when the kernel had it at the other end; 0: it never came.
    package let arrived: [Int64]
    /// Packets that are none of the flow, or had come before.
    package let strangers: Int

    package init(packets: Int, flows: Int, sent: [Int64], arrived: [Int64], strangers: Int) {
      self.packets = packets
      self.flows = flows
      self.sent = sent
      self.arrived = arrived
      self.strangers = strangers
    }
  }

  private struct Heard: Sendable {
    var arrived: [Int64]
    var strangers = 0
    var isTimed = true
  }

  package static let packetsPerSecond = 50
  package static let packetNanoseconds: Int64 = 20_000_000
  /// A header and 20 ms of µ-law.
  private static let packetBytes = 12 + 160
  /// SO_TIMESTAMPNS, and the type of the control message that comes of it (asm-generic/socket.h).
  private static let timestampOption: Int32 = 35

  /// The peers' UDP ports on the loopback.
  package let ports: [Int]
  private let sockets: [Int32]

  package init(calls: Int) throws {
    var found: [(port: Int, socket: Int32)] = []
    for _ in 0..<(calls * 200) where found.count < calls * 2 {
      let port = Int.random(in: 33_000..<39_900)
      guard let socket = try? boundUDPSocket(port) else { continue }
      var isOn: Int32 = 1
      setsockopt(socket, SOL_SOCKET, Self.timestampOption, &isOn, socklen_t(MemoryLayout<Int32>.size))
      found.append((port, socket))
    }
    ports = found.map { $0.port }
    sockets = found.map { $0.socket }
    guard found.count == calls * 2 else { throw TestKitError("no \(calls * 2) free UDP ports") }
  }

  deinit { for socket in sockets { close(socket) } }

  /// Lets each peer say so many packets to a port of its own, and returns a second after the last of them.
  package func talk(packets: Int, to destinations: [Int]) async throws -> Passage {
    for (socket, port) in zip(sockets, destinations) {
      var address = loopback(port)
      let connected = withUnsafePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
        }
      }
      guard connected == 0 else { throw TestKitError("UDP port \(port) cannot be reached") }
    }
    let start = now(CLOCK_MONOTONIC) + 50_000_000
    let end = start + Int64(packets) * Self.packetNanoseconds + 1_000_000_000
    async let sending = onThread { self.sendPackets(packets, from: start) }
    async let receiving = onThread { self.receivePackets(packets, until: end) }
    let sent = await sending
    let heard = await receiving
    guard heard.isTimed else { throw TestKitError("the kernel does not tell when a packet came") }
    return Passage(
      packets: packets, flows: sockets.count, sent: sent, arrived: heard.arrived, strangers: heard.strangers)
  }

  /// Sends every packet at its time; the flows are spread evenly over the 20 ms. Returns when each was sent.
  private func sendPackets(_ packets: Int, from start: Int64) -> [Int64] {
    runFirst()
    var sent = [Int64](repeating: 0, count: sockets.count * packets)
    var bytes = [UInt8](repeating: 0, count: Self.packetBytes)
    bytes[0] = 0x80
    bytes[8] = 0xAF
    for index in 12..<bytes.count { bytes[index] = 0x80 | UInt8(truncatingIfNeeded: index & 0x3F) }
    for packet in 0..<packets {
      let moment = start + Int64(packet) * Self.packetNanoseconds
      let timestamp = UInt32(truncatingIfNeeded: packet * 160)
      bytes[2] = UInt8(truncatingIfNeeded: packet >> 8)
      bytes[3] = UInt8(truncatingIfNeeded: packet)
      for place in 0..<4 { bytes[4 + place] = UInt8(truncatingIfNeeded: timestamp >> (24 - 8 * place)) }
      for (flow, socket) in sockets.enumerated() {
        bytes[10] = UInt8(truncatingIfNeeded: flow >> 8)
        bytes[11] = UInt8(truncatingIfNeeded: flow)
        // Flow and number in digits of six bits, as loud codes that µ-law and linear samples turn into one another.
        let number = flow << 24 | packet
        for place in 0..<6 {
          bytes[12 + place] = 0x80 | UInt8(truncatingIfNeeded: (number >> (30 - 6 * place)) & 0x3F)
        }
        sleepUntil(moment + Int64(flow) * Self.packetNanoseconds / Int64(sockets.count))
        sent[flow * packets + packet] = now(CLOCK_REALTIME)
        _ = send(socket, bytes, bytes.count, 0)
      }
    }
    return sent
  }

  /// Takes what comes until that moment of the monotonic clock.
  private func receivePackets(_ packets: Int, until end: Int64) -> Heard {
    let room = UnsafeMutableRawBufferPointer.allocate(byteCount: 2048, alignment: 16)
    let control = UnsafeMutableRawBufferPointer.allocate(byteCount: 256, alignment: 16)
    defer {
      room.deallocate()
      control.deallocate()
    }
    var heard = Heard(arrived: [Int64](repeating: 0, count: sockets.count * packets))
    while true {
      let isLast = now(CLOCK_MONOTONIC) >= end
      for (peer, socket) in sockets.enumerated() {
        let flow = peer ^ 1
        while let (count, moment) = Self.take(socket, room, control) {
          if moment == 0 { heard.isTimed = false }
          guard count == Self.packetBytes, let number = Self.number(room), number >> 24 == flow,
            number & 0xFF_FFFF < packets
          else {
            heard.strangers += 1
            continue
          }
          let place = flow * packets + (number & 0xFF_FFFF)
          if heard.arrived[place] == 0 { heard.arrived[place] = moment } else { heard.strangers += 1 }
        }
      }
      if isLast { return heard }
      sleepUntil(now(CLOCK_MONOTONIC) + 100_000_000)
    }
  }

  /// Flow and number of a packet of ours.
  private static func number(_ packet: UnsafeMutableRawBufferPointer) -> Int? {
    guard packet[0] == 0x80, packet[1] & 0x7F == RTPCodec.muLaw.rawValue else { return nil }
    var number = 0
    for byte in packet[12..<18] {
      guard byte & 0xC0 == 0x80 else { return nil }
      number = number << 6 | Int(byte & 0x3F)
    }
    return number
  }

  /// The length of the packet that came next and the moment at which the kernel had it, 0 where it does not tell; nil
  /// where none has come.
  private static func take(
    _ socket: Int32, _ room: UnsafeMutableRawBufferPointer, _ control: UnsafeMutableRawBufferPointer
  ) -> (count: Int, moment: Int64)? {
    var piece = iovec(iov_base: room.baseAddress, iov_len: room.count)
    return withUnsafeMutablePointer(to: &piece) { (pointer) -> (count: Int, moment: Int64)? in
      var message = msghdr()
      message.msg_iov = pointer
      message.msg_iovlen = 1
      message.msg_control = control.baseAddress
      message.msg_controllen = control.count
      let count = recvmsg(socket, &message, Int32(MSG_DONTWAIT))
      guard count >= 0 else { return nil }
      // A struct cmsghdr (length, level, type) and a struct timespec behind it.
      guard message.msg_controllen >= 32, control.load(fromByteOffset: 8, as: Int32.self) == SOL_SOCKET,
        control.load(fromByteOffset: 12, as: Int32.self) == timestampOption
      else { return (count: count, moment: 0) }
      let seconds = control.load(fromByteOffset: 16, as: Int64.self)
      let rest = control.load(fromByteOffset: 24, as: Int64.self)
      return (count: count, moment: seconds * 1_000_000_000 + rest)
    }
  }
}

/// Runs it on a thread of its own.
func onThread<Value: Sendable>(_ work: @escaping @Sendable () -> Value) async -> Value {
  await withCheckedContinuation { (continuation: CheckedContinuation<Value, Never>) in
    Thread { continuation.resume(returning: work()) }.start()
  }
}

/// Lets this thread run before all others, where we may: a packet is to leave on time whatever Asterisk does.
private func runFirst() {
  var parameters = sched_param()
  parameters.sched_priority = 1
  pthread_setschedparam(pthread_self(), SCHED_FIFO, &parameters)
}

private func now(_ clock: clockid_t) -> Int64 {
  var time = timespec()
  clock_gettime(clock, &time)
  return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
}

private func sleepUntil(_ moment: Int64) {
  var until = timespec(tv_sec: Int(moment / 1_000_000_000), tv_nsec: Int(moment % 1_000_000_000))
  while clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nil) == EINTR {}
}
