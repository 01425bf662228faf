// SPDX-License-Identifier: Apache-2.0
import AudioForkReceiver
import AudioForkWebSocket
import Glibc
import NIOCore
import Testing

private func ramp(_ byteCount: Int, seed: Int = 0) -> [UInt8] {
  (0..<byteCount).map { UInt8(truncatingIfNeeded: ($0 &+ seed) &* 2_654_435 >> 7) }
}

/// A receiver on a free port of this process, its folder and the events it has told.
private func withReceiver(
  host: String = "127.0.0.1", _ body: (Int, TemporaryFolder, AsyncStream<ReceiverEvent>.Iterator) async throws -> Void
) async throws {
  let folder = try TemporaryFolder()
  let (events, continuation) = AsyncStream<ReceiverEvent>.makeStream()
  let receiver = try Receiver(
    address: ListenAddress(host: host, port: 0), folder: RecordingFolder(preparing: folder.path),
    progressInterval: .milliseconds(50), emit: { continuation.yield($0) })
  try await withThrowingTaskGroup(of: Void.self) { group in
    group.addTask { try await receiver.run() }
    var iterator = events.makeAsyncIterator()
    guard case .listening(_, let port, _) = await iterator.next() else { throw SystemCallFailed(what: "listening") }
    try await body(port, folder, iterator)
    group.cancelAll()
  }
}

private func ending(
  _ events: inout AsyncStream<ReceiverEvent>.Iterator
) async -> (StreamEnding, StreamProgress, String?)? {
  while let event = await events.next() {
    if case .ended(_, let progress, let ending, let file, _) = event { return (ending, progress, file) }
  }
  return nil
}

@Suite("The receiver on loopback", .serialized)
struct ReceiverLoopbackRealTimeTests {
  @Test("Every byte sent is in the WAV when the Close is echoed")
  func exact() async throws {
    try await withReceiver { port, folder, events in
      var events = events
      let client = try TestClient(
        port: port, path: "/demo/x?token=secret",
        headers: [
          "Sec-WebSocket-Protocol: echo, other", "AudioFork-ID: 4f2a", "AudioFork-Rate: 16000", "AudioFork-Channels: 2",
        ])
      #expect(client.answer.hasPrefix("HTTP/1.1 101 "))
      #expect(client.answer.lowercased().contains("\r\nsec-websocket-protocol: echo\r\n"))
      #expect(client.answer.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="))
      let sent = ramp(640 * 200)
      for start in stride(from: 0, to: sent.count, by: 640) { client.send(2, Array(sent[start..<start + 640])) }
      client.send(1, Array("hello".utf8))
      #expect(client.close(4001)?.code == 4001)
      let name = try #require(folder.names.first)
      #expect(name.hasPrefix("demo_x-2") && name.hasSuffix("Z-4f2a.wav"))
      let wav = try #require(ParsedWav(contents(folder.path + "/" + name)))
      #expect(wav.samples == sent)
      #expect(wav.rateHertz == 16000 && wav.channelCount == 2)
      let (ending, progress, file) = try #require(await ending(&events))
      #expect(ending == StreamEnding(side: .client, code: 4001, reason: ""))
      #expect(progress.frameCount == sent.count / 4)
      #expect(progress.messages == 200 && progress.texts == 1)
      #expect(file == folder.path + "/" + name)
    }
  }

  @Test("Without an offer no sub-protocol is selected")
  func noSubprotocol() async throws {
    try await withReceiver { port, _, _ in
      let client = try TestClient(port: port)
      #expect(!client.answer.lowercased().contains("sec-websocket-protocol"))
      #expect(client.close()?.code == 1000)
      #expect(client.frame() == nil)
    }
  }

  @Test("A pong says that all audio before its ping is in the file")
  func pong() async throws {
    try await withReceiver { port, folder, _ in
      let client = try TestClient(port: port)
      let sent = ramp(320 * 10)
      for round in 0..<10 {
        client.send(2, Array(sent[round * 320..<(round + 1) * 320]))
        client.send(9, [UInt8(round)])
        #expect(client.frame() == TestClient.Frame(opcode: 10, payload: [UInt8(round)]))
        let wav = try #require(ParsedWav(contents(folder.files.first ?? "")))
        #expect(wav.samples == Array(sent[..<((round + 1) * 320)]))
      }
    }
  }

  @Test("Fragments and pings between them arrive as one message")
  func fragments() async throws {
    try await withReceiver { port, folder, events in
      var events = events
      let client = try TestClient(port: port)
      let sent = ramp(999) + [0]
      client.send(2, Array(sent[..<333]), fin: false)
      client.send(9, [1])
      client.send(0, Array(sent[333..<334]), fin: false)
      client.send(0, Array(sent[334...]))
      #expect(client.frame() == TestClient.Frame(opcode: 10, payload: [1]))
      #expect(client.close()?.code == 1000)
      #expect(ParsedWav(contents(folder.files.first ?? ""))?.samples == sent)
      #expect(await ending(&events)?.1.messages == 1)
    }
  }

  @Test("Broken rules are answered with their code, and the audio before them is kept")
  func violations() async throws {
    try await withReceiver { port, folder, events in
      var events = events
      let cases: [(code: Int, break: (TestClient) -> Void)] = [
        (1002, { $0.send(2, [1, 2], masked: false) }),
        (1002, { $0.send(2, [1, 2], first: 0xC2) }),
        (1002, { $0.send(3, []) }),
        (1002, { $0.send(0, [1]) }),
        (1002, { $0.send(9, [1], fin: false) }),
        (1002, { $0.send(9, [UInt8](repeating: 1, count: 126)) }),
        (1002, { $0.send(8, [1]) }),
        (1007, { $0.send(1, [0xFF, 0xFE]) }),
        (1009, { $0.send(raw: [0x82, 0xFF, 0, 0, 0, 0, 0, 0x10, 0, 1, 1, 2, 3, 4]) }),
        (1009, { $0.send(raw: [0x82, 0xFF, 0xFF, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4]) }),
      ]
      for (index, (code, breakRule)) in cases.enumerated() {
        let client = try TestClient(port: port, path: "/\(index)")
        client.send(2, ramp(640))
        breakRule(client)
        #expect(client.frame()?.code == code, "case \(index)")
        let (ending, _, file) = try #require(await ending(&events))
        #expect(ending.side == .server && Int(ending.code) == code)
        #expect(ParsedWav(contents(file ?? ""))?.samples == ramp(640))
      }
      #expect(folder.names.count == cases.count)
    }
  }

  @Test("A connection that breaks leaves a valid WAV with all that arrived")
  func abrupt() async throws {
    try await withReceiver { port, folder, events in
      var events = events
      let client = try TestClient(port: port)
      client.send(2, ramp(3200))
      client.send(raw: [0x82, 0xFE, 1])
      client.disconnect()
      let (ending, progress, _) = try #require(await ending(&events))
      #expect(ending == StreamEnding(side: .lost, code: 1006, reason: ""))
      #expect(progress.frameCount == 1600)
      #expect(ParsedWav(contents(folder.files.first ?? ""))?.samples == ramp(3200))
    }
  }

  @Test("Thirty clients at once have a file each, with their own audio")
  func many() async throws {
    try await withReceiver { port, folder, _ in
      let clients = try (0..<30).map { try TestClient(port: port, path: "/same", headers: ["AudioFork-ID: \($0)"]) }
      for round in 0..<20 {
        for (index, client) in clients.enumerated() { client.send(2, ramp(320, seed: index * 1000 + round)) }
      }
      for client in clients { #expect(client.close()?.code == 1000) }
      #expect(folder.names.count == 30)
      for index in clients.indices {
        let name = try #require(folder.names.first { $0.hasSuffix("Z-\(index).wav") })
        let expected = (0..<20).flatMap { ramp(320, seed: index * 1000 + $0) }
        #expect(ParsedWav(contents(folder.path + "/" + name))?.samples == expected)
      }
    }
  }

  @Test("Clients with one path, id and second have files of their own")
  func collisions() async throws {
    try await withReceiver { port, folder, _ in
      for round in 0..<3 {
        let client = try TestClient(port: port, path: "/../../etc", headers: ["AudioFork-ID: ../x"])
        client.send(2, ramp(320, seed: round))
        #expect(client.close()?.code == 1000)
      }
      #expect(folder.names.count == 3)
      #expect(folder.names.allSatisfy { $0.hasPrefix("etc-") && $0.contains("Z-x") && $0.hasSuffix(".wav") })
    }
  }

  @Test("A megabyte message and much audio at once arrive whole")
  func big() async throws {
    try await withReceiver { port, folder, _ in
      let client = try TestClient(port: port)
      let sent = ramp(WebSocketFrameRules.messageBytesMax)
      for _ in 0..<8 { client.send(2, sent) }
      #expect(client.close()?.code == 1000)
      let wav = try #require(ParsedWav(contents(folder.files.first ?? "")))
      #expect(wav.samples == [[UInt8]](repeating: sent, count: 8).flatMap { $0 })
    }
  }

  @Test("Progress is told while audio comes")
  func progress() async throws {
    try await withReceiver { port, _, events in
      var events = events
      let client = try TestClient(port: port)
      client.send(2, [UInt8](repeating: 0x40, count: 3200))
      var told: StreamProgress?
      while told == nil, let event = await events.next() {
        if case .progress(_, let progress) = event, progress.frameCount > 0 { told = progress }
      }
      #expect(told?.frameCount == 1600)
      #expect(abs((told?.level.rootMeanSquare ?? 0) + 5.99) < 0.1)
      #expect(client.close()?.code == 1000)
    }
  }

  @Test("A stop sends 1001 and finishes the files")
  func stop() async throws {
    let folder = try TemporaryFolder()
    let (events, continuation) = AsyncStream<ReceiverEvent>.makeStream()
    let receiver = try Receiver(
      address: ListenAddress(host: "127.0.0.1", port: 0), folder: RecordingFolder(preparing: folder.path),
      emit: { continuation.yield($0) })
    let running = Task { try await receiver.run() }
    var iterator = events.makeAsyncIterator()
    guard case .listening(_, let port, _) = await iterator.next() else { throw SystemCallFailed(what: "listening") }
    let client = try TestClient(port: port)
    client.send(2, ramp(320))
    running.cancel()
    #expect(client.frame()?.code == 1001)
    client.send(2, ramp(160))
    client.send(8, [3, 233])
    try await running.value
    #expect(ParsedWav(contents(folder.files.first ?? ""))?.samples == ramp(320) + ramp(160))
    #expect(throws: SystemCallFailed.self) { try TestClient(port: port) }
  }

  @Test("IPv6 works")
  func ipv6() async throws {
    try await withReceiver(host: "::1") { port, _, _ in
      let client = try TestClient(port: port, ipv6: true)
      #expect(client.close()?.code == 1000)
    }
  }

  @Test("A request that is no upgrade is told what this is")
  func plainRequest() async throws {
    try await withReceiver { port, folder, _ in
      let client = try TestClient(port: port, upgrade: "h2c")
      #expect(client.answer.hasPrefix("HTTP/1.1 426 "))
      #expect(folder.names == [])
    }
  }
}
