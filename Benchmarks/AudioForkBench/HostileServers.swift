// SPDX-License-Identifier: Apache-2.0
internal import AsteriskTestKit
internal import AudioForkTestKit
internal import Foundation

/// A process of Benchmarks/wire/hostile.c for each kind.
struct HostileServers {
  struct Port {
    let port: Int
    let connections: Int
  }

  private let kinds: [HostileBench.Kind]
  private let processes: [ChildProcess]
  let ports: [Port]

  init(_ kinds: [HostileBench.Kind], connections: Int) async throws {
    var processes: [ChildProcess] = []
    var ports: [Port] = []
    for (index, kind) in kinds.enumerated() {
      let process = try ChildProcess(Checkout.hostile, [kind.rawValue])
      guard let port = await process.listeningPort() else {
        throw BenchError("bench-hostile does not listen: \(process.lines)")
      }
      processes.append(process)
      ports.append(Port(port: port, connections: (connections + kinds.count - 1 - index) / kinds.count))
    }
    self.kinds = kinds
    self.processes = processes
    self.ports = ports
  }

  /// One for each connection, the kinds taking turns.
  var forks: [SyntheticCalls.Fork] {
    let most = ports.map(\.connections).max() ?? 0
    return (0..<most).flatMap { number in
      zip(kinds, ports).filter { number < $1.connections }.map { kind, port in
        SyntheticCalls.Fork(url: "ws://127.0.0.1:\(port.port)/\(number)", options: kind.options)
      }
    }
  }

  func loads() async throws -> [HostileBench.Load] {
    var loads: [HostileBench.Load] = []
    for (index, process) in processes.enumerated() {
      guard let value = await process.answer(to: SIGUSR2, number: 1, beginning: "accepted ") else {
        throw BenchError("bench-hostile \(kinds[index].rawValue) does not answer: \(process.lines.suffix(3))")
      }
      var load = HostileBench.Load(kinds[index], wanted: ports[index].connections)
      (load.opened, load.open, load.bytes) = (value("opened"), value("open"), value("bytes"))
      loads.append(load)
    }
    return loads
  }

  func end() async {
    for process in processes { await process.end() }
  }
}
