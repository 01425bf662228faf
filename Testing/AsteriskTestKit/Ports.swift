// SPDX-License-Identifier: Apache-2.0
internal import AudioForkTestKit
import Foundation

/// Ports of the loopback for this process: below the ephemeral ones, so that no connection takes one by chance.
///
/// `scripts/test` gives each process 1000 ports of its own, from AUDIOFORK_PORTS on. Asterisk's ports are in the first
/// half (scripts/asterisk-sandbox), the test's in the second.
private let ports: Range<Int> = {
  let given = ProcessInfo.processInfo.environment["AUDIOFORK_PORTS"].flatMap { Int($0) }
  let first = (given ?? 10_000 + Int.random(in: 0..<10) * 1000) + 500
  return first..<(first + 500)
}()

/// Returns a TCP port that is free, and stays free while no server listens on it.
package func lastingPort() throws -> Int { try freePort(SOCK_STREAM) }

/// Returns a UDP port of the loopback that nothing uses at the moment.
package func freeUDPPort() throws -> Int { try freePort(SOCK_DGRAM) }

private func freePort(_ type: __socket_type) throws -> Int {
  for _ in 0..<100 {
    let port = Int.random(in: ports)
    guard let descriptor = try? boundSocket(type, port) else { continue }
    close(descriptor)
    return port
  }
  throw TestKitError("no free port in \(ports)")
}

/// Returns a UDP socket at that port of the loopback; 0 takes a free one.
func boundUDPSocket(_ port: Int) throws -> Int32 { try boundSocket(SOCK_DGRAM, port) }

private func boundSocket(_ type: __socket_type, _ port: Int) throws -> Int32 {
  let descriptor = socket(AF_INET, Int32(type.rawValue | SOCK_CLOEXEC.rawValue), 0)
  guard descriptor >= 0 else { throw TestKitError("no socket: \(String(cString: strerror(errno)))") }
  var address = loopback(port)
  let bound = withUnsafePointer(to: &address) { pointer in
    pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
      bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
    }
  }
  guard bound == 0 else {
    close(descriptor)
    throw TestKitError("port \(port) is in use")
  }
  return descriptor
}

/// The address of that port of 127.0.0.1.
func loopback(_ port: Int) -> sockaddr_in {
  var address = sockaddr_in()
  address.sin_family = sa_family_t(AF_INET)
  address.sin_port = UInt16(truncatingIfNeeded: port).bigEndian
  address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
  return address
}
