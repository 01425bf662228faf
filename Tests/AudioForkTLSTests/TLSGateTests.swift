// SPDX-License-Identifier: Apache-2.0
import AudioForkEngine
import AudioForkTLS
import AudioForkTestKit
import AudioForkWebSocket
import NIOCore
import NIOEmbedded
import NIOPosix
import Testing

/// The engine's end of a TLS connection and a server's, with the network between them in the test's hands.
@Suite("What is acknowledged under TLS")
struct TLSGateTests {
  /// Made and used on one thread.
  private final class Ends {
    let client = EmbeddedChannel()
    let server = EmbeddedChannel()
    let meter = CiphertextMeter()
    let gate: TLSGate
    private(set) var outcomes = 0
    /// Ciphertext that the client has written and the server has not been given.
    var onTheWay: [UInt8] = []
    /// Bytes of ciphertext given to the server so far.
    var delivered = 0

    init(host: String = "localhost") throws {
      let certificates = try TestCertificates()
      let identity = try certificates.issued("server")
      let loop = MultiThreadedEventLoopGroup.singleton.next()
      let settings = TLSSettings(caFile: certificates.authority.certificate)
      let prepared = try TLSClientProvider().prepare(settings, on: loop).wait()
      let counted = Counter()
      gate = TLSGate(above: meter) { if case .success = $0 { counted.value += 1 } }
      let handlers = try prepared.makeHandlers(host: host, isAddress: false)
      try client.pipeline.syncOperations.addHandlers([meter] + handlers + [gate])
      let tls = try TLSServer(certificate: identity.certificate, key: identity.key)
      try server.pipeline.syncOperations.addHandler(tls.makeHandler())
      let address = try SocketAddress(ipAddress: "127.0.0.1", port: 443)
      server.connect(to: address, promise: nil)
      client.connect(to: address, promise: nil)
      for _ in 0..<4 {
        collect()
        try deliver(onTheWay.count)
        while let answer = try server.readOutbound(as: ByteBuffer.self) { try client.writeInbound(answer) }
      }
      outcomes = counted.value
    }

    func collect() {
      while let piece = try? client.readOutbound(as: ByteBuffer.self) { onTheWay += Array(piece.readableBytesView) }
    }

    func deliver(_ count: Int) throws {
      guard count > 0 else { return }
      try server.writeInbound(ByteBuffer(bytes: onTheWay.prefix(count)))
      onTheWay.removeFirst(count)
      delivered += count
    }

    /// Plaintext that the server could read.
    func read() throws -> Int {
      var count = 0
      while let piece = try server.readInbound(as: ByteBuffer.self) { count += piece.readableBytes }
      return count
    }
  }

  private final class Counter { var value = 0 }

  @Test("No byte counts as delivered that the peer could not read, and in the end every byte does")
  func truth() throws {
    let ends = try Ends()
    #expect(ends.outcomes == 1)
    var random = SeededRandom(seed: 7)
    var written = 0
    while written < 200_000 {
      // A tick: some messages, one flush.
      for _ in 0..<Int.random(in: 1...4, using: &random) {
        let count = Int.random(in: 1...2000, using: &random)
        ends.client.write(ByteBuffer(repeating: 1, count: count), promise: nil)
        written += count
      }
      ends.client.flush()
      ends.collect()
    }
    var readable = 0
    var naiveWasWrong = false
    let before = ends.delivered
    var steps = 0
    while !ends.onTheWay.isEmpty {
      try ends.deliver(min(ends.onTheWay.count, Int.random(in: 1...1460, using: &random)))
      readable += try ends.read()
      // The kernel counts our SYN too.
      let covered = ends.gate.plaintext(acknowledged: UInt64(ends.delivered) + 1)
      #expect(covered <= UInt64(readable))
      naiveWasWrong = naiveWasWrong || ends.delivered - before > readable
      steps += 1
    }
    #expect(steps > 100)
    #expect(readable == written)
    #expect(ends.gate.plaintext(acknowledged: UInt64(ends.delivered) + 1) == UInt64(written))
    #expect(naiveWasWrong, "ciphertext was not longer than plaintext: this test tests nothing")
  }

  @Test("A peer that acknowledges nothing for a long time does not make us forget, only coarser")
  func bounded() throws {
    // A name with its final dot is the same name.
    let ends = try Ends(host: "localhost.")
    #expect(ends.outcomes == 1)
    let start = ends.delivered
    for _ in 0..<2000 {
      ends.client.write(ByteBuffer(repeating: 1, count: 100), promise: nil)
      ends.client.flush()
    }
    ends.collect()
    #expect(ends.gate.plaintext(acknowledged: UInt64(start) + 1) == 0)
    let half = ends.onTheWay.count / 2
    try ends.deliver(half)
    let readable = try ends.read()
    #expect(ends.gate.plaintext(acknowledged: UInt64(ends.delivered) + 1) <= UInt64(readable))
    try ends.deliver(ends.onTheWay.count)
    #expect(ends.gate.plaintext(acknowledged: UInt64(ends.delivered) + 1) == 200_000)
  }
}
