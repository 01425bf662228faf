// SPDX-License-Identifier: Apache-2.0
import AudioForkMedia
import AudioForkTestKit
import AudioForkWebSocket
import AudioForkWireTestKit
import NIOCore
import NIOEmbedded
import NIOHTTP1
import Testing

private let key = "dGhlIHNhbXBsZSBub25jZQ=="
private let answer =
  "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
  + "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"

/// A connection on a channel without a network, which has its share of a loop's turns.
private final class PacedConnection: WebSocketOwner {
  /// Counts reads that reach the channel.
  private final class ReadCounter: ChannelOutboundHandler {
    typealias OutboundIn = ByteBuffer
    var reads = 0
    func read(context: ChannelHandlerContext) {
      reads += 1
      context.read()
    }
  }

  private let channel = EmbeddedChannel()
  private let counter = ReadCounter()
  var session: WebSocketSession?
  var texts: [String] = []
  var onText: () -> Void = {}
  let share: InboundShare
  var pongs = 0
  var ends: [SessionEnd] = []
  var reads: Int { counter.reads }

  init(_ turns: InboundTurns) throws {
    let share = InboundShare(turns)
    self.share = share
    try channel.pipeline.syncOperations.addHandlers([counter, ReadPacer(share)])
    let request = UpgradeRequest(host: Array("example.org".utf8), target: Array("/".utf8))
    try UpgradeHandler.install(in: channel, request: request, key: key, owner: self, isPlain: true, share: share)
    try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 80)).wait()
    while try channel.readOutbound(as: ByteBuffer.self) != nil {}
    receive(Array(answer.utf8))
    channel.embeddedEventLoop.run()
    try #require(session != nil)
  }

  func receive(_ bytes: [UInt8]) { _ = try? channel.writeInbound(ByteBuffer(bytes: bytes)) }
  /// As a channel does that has handed out what it read.
  func askForMore() { channel.read() }
  func close() { _ = try? channel.finish(acceptAlreadyClosed: true) }

  /// Frames that were sent.
  func sent() throws -> [ClientFrame] {
    var frames: [ClientFrame] = []
    while var buffer = try channel.readOutbound(as: ByteBuffer.self) {
      while buffer.readableBytes > 0 { frames.append(try #require(ClientFrame(&buffer))) }
    }
    return frames
  }

  func webSocketOpened(_ session: WebSocketSession) { self.session = session }
  func webSocketFailed(_ failure: ConnectionFailure) { ends.append(.lost(failure.reason)) }
  func webSocketReceived(_ session: WebSocketSession, text: String) {
    texts.append(text)
    onText()
  }
  func webSocketReceived(_ session: WebSocketSession, pong: ByteBuffer) { pongs += 1 }
  func webSocketEnded(_ session: WebSocketSession, _ end: SessionEnd) { ends.append(end) }
}

/// What servers' bytes may cost a loop in one turn.
@Suite("Turns of inbound work")
struct InboundTurnsTests {
  /// Short texts. (Empty ones would end the connection where the machine is so slow that they take seconds.)
  private static let flood = Array([[UInt8]](repeating: wireFrame(1, [65]), count: 2048).joined())

  @Test("A hundred and twenty servers that flood get one turn's units together, and each of them no more than its own")
  func together() throws {
    let turns = InboundTurns()
    let connections = try (0..<120).map { _ in try PacedConnection(turns) }
    // All have saved what they may.
    for _ in 0..<50 { turns.begin() }
    for connection in connections { connection.receive(Self.flood) }
    var done = connections.map(\.texts.count)
    #expect(done.reduce(0, +) <= InboundTurns.unitsPerTurn)
    #expect(done.allSatisfy { $0 <= InboundTurns.unitsSavedMax })
    var turnsTaken = 0
    while connections.contains(where: { $0.texts.count < 2048 }), turnsTaken < 1000 {
      turns.begin()
      turnsTaken += 1
      let now = connections.map(\.texts.count)
      #expect(zip(now, done).map { $0 - $1 }.reduce(0, +) <= InboundTurns.unitsPerTurn)
      #expect(zip(now, done).allSatisfy { $0 - $1 <= InboundTurns.unitsSavedMax })
      done = now
    }
    #expect(connections.allSatisfy { $0.texts.count == 2048 }, "nothing is lost")
    // Each of them waits its turn: nobody is served twice before another once.
    #expect(turnsTaken >= 120 * 2048 / InboundTurns.unitsPerTurn)
    #expect(turnsTaken < 200)
    #expect(!turns.hasWaiting)
  }

  @Test("An honest server's text beside a flood comes within a round of the others'")
  func honest() throws {
    let turns = InboundTurns()
    let hostile = try (0..<120).map { _ in try PacedConnection(turns) }
    let honest = try PacedConnection(turns)
    for _ in 0..<50 { turns.begin() }
    for connection in hostile { connection.receive(Self.flood) }
    honest.receive(wireFrame(1, Array("hello".utf8)))
    var turnsTaken = 0
    while honest.texts.isEmpty, turnsTaken < 100 {
      turns.begin()
      turnsTaken += 1
    }
    #expect(honest.texts == ["hello"])
    // 120 times 100 units, 2000 in a turn: what the others have saved does not count while somebody waits.
    #expect(turnsTaken <= 10)
  }

  @Test("What is left of a read holds the next one back, and the socket is read again behind it")
  func held() throws {
    let turns = InboundTurns()
    let connection = try PacedConnection(turns)
    for _ in 0..<50 { turns.begin() }
    connection.receive(Self.flood)
    let before = connection.reads
    connection.askForMore()
    #expect(connection.reads == before)
    var turnsTaken = 0
    while connection.reads == before, turnsTaken < 100 {
      turns.begin()
      turnsTaken += 1
    }
    #expect(connection.texts.count == 2048)
    #expect(connection.reads == before + 1)
    turns.begin()
    #expect(connection.reads == before + 1, "once")
  }

  @Test("A server that sends byte by byte is read no more than a few times in a turn")
  func bytes() throws {
    let turns = InboundTurns()
    let connection = try PacedConnection(turns)
    for _ in 0..<50 { turns.begin() }
    let text = wireFrame(1, [UInt8](repeating: 65, count: 100))
    var sent = 0
    var readsOfTurns: [Int] = []
    while connection.texts.isEmpty, readsOfTurns.count < 1000 {
      var reads = 0
      // The channel asks before each read, and reads once it is let.
      while sent < text.count {
        let before = connection.reads
        connection.askForMore()
        guard connection.reads > before else { break }
        connection.receive([text[sent]])
        sent += 1
        reads += 1
      }
      let before = connection.reads
      turns.begin()
      if connection.reads > before, sent < text.count {
        connection.receive([text[sent]])
        sent += 1
      }
      readsOfTurns.append(reads)
    }
    #expect(connection.texts.count == 1)
    #expect(readsOfTurns.dropFirst().allSatisfy { $0 <= 2 }, "\(readsOfTurns)")
    #expect((readsOfTurns.first ?? 0) <= 8, "\(readsOfTurns)")
  }

  @Test("A long message comes in many turns, is paid for in those behind it, and holds up nobody else meanwhile")
  func longMessage() throws {
    let turns = InboundTurns()
    let talker = try PacedConnection(turns)
    let other = try PacedConnection(turns)
    for _ in 0..<50 { turns.begin() }
    var rest = wireFrame(1, [UInt8](repeating: 65, count: 131_072))[...]
    var turnsTaken = 0
    while !rest.isEmpty, turnsTaken < 1000 {
      let before = talker.reads
      talker.askForMore()
      if talker.reads == before {
        turns.begin()
        turnsTaken += 1
        other.receive(wireFrame(10))
        if talker.reads == before { continue }
      }
      talker.receive(Array(rest.prefix(4096)))
      rest = rest.dropFirst(4096)
    }
    #expect(other.pongs == turnsTaken)
    // 33 reads of 21 units, of which 400 were saved.
    #expect((2...8).contains(turnsTaken), "\(turnsTaken)")
    while talker.texts.isEmpty, turnsTaken < 1000 {
      turns.begin()
      turnsTaken += 1
    }
    #expect(talker.texts.first?.utf8.count == 131_072)
    talker.receive(wireFrame(1, [66]))
    #expect(talker.texts.count == 1, "its own share is not back yet")
    other.receive(wireFrame(1, [66]))
    #expect(other.texts == ["B"])
    for _ in 0..<8 { turns.begin() }
    #expect(talker.texts.count == 2)
  }

  @Test("Frames that were read before the server closed are all heard, its Close too, in later turns")
  func closed() throws {
    let turns = InboundTurns()
    let connection = try PacedConnection(turns)
    for _ in 0..<50 { turns.begin() }
    connection.receive(Self.flood)
    connection.receive(Self.flood + wireFrame(8, [0x03, 0xE8]))
    connection.close()
    #expect(connection.ends == [])
    #expect(connection.session?.isWritable == false)
    for _ in 0..<100 { turns.begin() }
    #expect(connection.texts.count == 4096)
    #expect(connection.ends == [.closedByServer(code: 1000, reason: "")])
    #expect(!turns.hasWaiting)
  }

  @Test("A connection that is dropped with frames left hears nothing more and waits for no turn")
  func dropped() throws {
    let turns = InboundTurns()
    let connection = try PacedConnection(turns)
    connection.receive(Self.flood)
    let heard = connection.texts.count
    #expect(heard < 2048)
    connection.session?.drop()
    connection.close()
    for _ in 0..<100 { turns.begin() }
    #expect(connection.texts.count == heard)
    #expect(connection.ends == [])
    #expect(!turns.hasWaiting)
  }

  @Test("Pings beyond the share are answered in later turns, each once")
  func pings() throws {
    let turns = InboundTurns()
    let connection = try PacedConnection(turns)
    for _ in 0..<50 { turns.begin() }
    connection.receive((0..<900).flatMap { wireFrame(9, [UInt8($0 & 0xFF)]) })
    #expect(try connection.sent().count <= InboundTurns.unitsSavedMax)
    for _ in 0..<20 { turns.begin() }
    #expect(try connection.sent().map(\.opcode).allSatisfy { $0 == 10 })
    // The rest was sent in between, and taken above.
    #expect(!turns.hasWaiting)
  }
}

/// What happens to a session besides.
@Suite("A session and its share")
struct SessionShareTests {
  @Test("A lost connection is read to its end without waiting for a turn, and its server's last words are heard")
  func draining() throws {
    let turns = InboundTurns()
    let connection = try PacedConnection(turns)
    connection.receive([[UInt8]](repeating: wireFrame(1), count: 2048).flatMap(\.self))
    let before = connection.reads
    connection.askForMore()
    #expect(connection.reads == before)
    connection.share.isDraining = true
    connection.askForMore()
    #expect(connection.reads == before + 1)
    connection.receive(wireFrame(1, [65]) + wireFrame(8, [0x03, 0xE8]))
    connection.close()
    for _ in 0..<100 { turns.begin() }
    #expect(connection.texts.count == 2049 && connection.texts.last == "A")
    #expect(connection.ends == [.closedByServer(code: 1000, reason: "")])
    #expect(!turns.hasWaiting)
  }

  @Test("What comes while a frame is taken is taken behind the frames that came before it")
  func reentry() throws {
    let connection = try PacedConnection(InboundTurns())
    connection.onText = {
      connection.onText = {}
      connection.receive(wireFrame(1, [67]))
      #expect(connection.texts == ["A"], "not inside of the one before")
    }
    connection.receive(wireFrame(1, [65]) + wireFrame(1, [66]))
    #expect(connection.texts == ["A", "B", "C"])
  }
}

@Suite("Floods of empty and control frames")
struct FloodWatchTests {
  private static let second: Int64 = 1_000_000_000

  /// How long it takes, in seconds, until so many frames a second are a flood; nil where they never are.
  private func seconds(_ framesPerSecond: Int) -> Double? {
    var watch = FloodWatch()
    for step in 0..<600 where watch.isFlood(adding: framesPerSecond / 20, now: at(Int64(step) * Self.second / 20 + 7)) {
      return Double(step) / 20
    }
    return nil
  }

  @Test("More than two hundred a second are one once they have lasted for three seconds, and two hundred never are")
  func rate() {
    #expect(seconds(200) == nil)
    #expect(seconds(220) == 3)
    #expect(seconds(1_000_000) == 3)
  }

  @Test("A burst is none, nor are bursts with a quiet second between them")
  func bursts() {
    var watch = FloodWatch()
    #expect(watch.isFlood(adding: 1_000_000, now: 0) == false)
    for round in 0..<20 {
      for step in 0..<2 {
        #expect(watch.isFlood(adding: 10_000, now: at(Int64(round * 4 + 10 + step) * Self.second)) == false)
      }
    }
    #expect(watch.isFlood(adding: 1, now: at(3600 * Self.second)) == false)
    #expect(watch.isFlood(adding: 1, now: 0) == false, "a clock that goes back breaks nothing")
  }

  @Test("One for each frame that was sent is an answer and no flood, and two for each are one")
  func answers() {
    func isFlood(answers: Int) -> Bool {
      var watch = FloodWatch()
      for step in 0..<2000 {
        watch.expectAnswer()
        if watch.isFlood(adding: answers, now: at(Int64(step) * Self.second / 400)) { return true }
      }
      return false
    }
    #expect(!isFlood(answers: 1))
    #expect(isFlood(answers: 2))
    // What was not answered for long allows a burst, and no more.
    var watch = FloodWatch()
    for _ in 0..<1_000_000 { watch.expectAnswer() }
    let seconds = (0..<10).first { watch.isFlood(adding: 1000, now: at(Int64($0) * Self.second)) }
    #expect(seconds == 3)
  }

  @Test("The session expects an answer to each message and ping")
  func expected() throws {
    let connection = try PacedConnection(InboundTurns())
    var payload: [UInt8] = [1]
    connection.session?.send(binary: &payload)
    connection.session?.send(text: "a")
    connection.session?.ping([1])
    #expect(connection.session?.answersExpected == 3)
    connection.receive(wireFrame(10, [1]) + wireFrame(1))
    #expect(connection.session?.answersExpected == 1)
  }

  @Test("The session counts control frames and frames without payload, and no others")
  func counted() throws {
    var decoder = FrameDecoder()
    var buffer = ByteBuffer()
    buffer.writeBytes(wireFrame(1, [65]) + wireFrame(2, [1, 2]) + wireFrame(1, [65], fin: false) + wireFrame(0, [66]))
    while try decoder.next(&buffer) != nil {}
    #expect(decoder.idleFrames == 0)
    buffer.writeBytes(
      wireFrame(1) + wireFrame(2) + wireFrame(9, [1]) + wireFrame(10) + wireFrame(1, fin: false) + wireFrame(0))
    while try decoder.next(&buffer) != nil {}
    #expect(decoder.idleFrames == 6)
    // A header alone is no empty frame.
    buffer.writeBytes(wireFrame(1, [], length: 5))
    while try decoder.next(&buffer) != nil {}
    #expect(decoder.idleFrames == 6)
  }
}
