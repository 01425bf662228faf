// SPDX-License-Identifier: Apache-2.0
import AudioForkWebSocket
import AudioForkWireTestKit
import Glibc
import NIOCore
import NIOEmbedded
import NIOHTTP1
import NIOWebSocket
import Testing

@Suite("Session")
struct SessionTests {
  @Test("Pings are answered with their payload, pongs and messages are taken and ignored")
  func pings() throws {
    let attempt = try UpgradeAttempt.opened()
    try attempt.receive([0x8A, 0x00, 0x81, 0x02, 0x68, 0x69, 0x82, 0x01, 0x00, 0x89, 0x00, 0x89, 0x01, 0x05])
    let frames = try attempt.sent()
    #expect(frames.map(\.opcode) == [0xA, 0xA])
    #expect(frames.map(\.payload) == [[], [5]])
    #expect(attempt.owner.ends == [])
  }

  @Test("A violation is answered with its code and ends the session as lost")
  func violation() throws {
    let attempt = try UpgradeAttempt.opened()
    try attempt.receive([0x83, 0x00])
    #expect(try attempt.sent().map(\.payload) == [[0x03, 0xEA]])
    #expect(attempt.owner.ends == [.lost("protocol: the server sent a frame with unknown opcode 3")])
    let tooLong = try UpgradeAttempt.opened()
    try? tooLong.receive([0x82, 0x7F, 0, 0, 0, 0, 0x7F, 0, 0, 0])
    #expect(try tooLong.sent().map(\.payload) == [[0x03, 0xF1]])
    #expect(tooLong.owner.ends.count == 1)
  }

  @Test("What the server says is handed on, whole, also while our Close is out; nothing binary is")
  func messages() throws {
    let attempt = try UpgradeAttempt.opened()
    try attempt.receive([0x01, 0x02, 0x68, 0xC3, 0x89, 0x00, 0x80, 0x01, 0xA9, 0x82, 0x03, 1, 2, 3])
    #expect(attempt.owner.texts == ["h\u{E9}"])
    attempt.owner.session?.close(code: 1000)
    try attempt.receive([0x81, 0x02, 0x6F, 0x6B])
    #expect(attempt.owner.texts == ["h\u{E9}", "ok"])
    #expect(attempt.owner.ends == [])
    try attempt.receive([0x88, 0x02, 0x03, 0xE8, 0x81, 0x02, 0x6F, 0x6B])
    #expect(attempt.owner.ends == [.closedByUs(code: 1000)])
    #expect(attempt.owner.texts.count == 2, "behind its Close a server says nothing")
  }

  @Test("Text that is not UTF-8 is answered with 1007 and handed to nobody")
  func invalidText() throws {
    let attempt = try UpgradeAttempt.opened()
    try attempt.receive([0x81, 0x01, 0xC3])
    #expect(try attempt.sent().map(\.payload) == [[0x03, 0xEF]])
    #expect(attempt.owner.texts == [])
    #expect(attempt.owner.ends.count == 1)
  }

  @Test("Our Close waits for the server's, and not for ever")
  func closing() throws {
    let answered = try UpgradeAttempt.opened()
    answered.owner.session?.close(code: 1000)
    #expect(try answered.sent().map(\.payload) == [[0x03, 0xE8]])
    #expect(answered.channel.isActive)
    try answered.receive([0x88, 0x02, 0x03, 0xE8])
    #expect(answered.owner.ends == [.closedByUs(code: 1000)])
    #expect(answered.channel.isActive, "the server closes the TCP connection")
    answered.channel.embeddedEventLoop.advanceTime(by: .milliseconds(1500))
    #expect(!answered.channel.isActive)

    let crossed = try UpgradeAttempt.opened()
    crossed.owner.session?.close(code: 1000)
    try crossed.receive([0x88, 0x02, 0x03, 0xF3])
    #expect(crossed.owner.ends == [.closedByUs(code: 1011)], "the server's own, and no answer to ours")

    let silent = try UpgradeAttempt.opened()
    silent.owner.session?.close(code: 1000)
    silent.channel.embeddedEventLoop.advanceTime(by: .milliseconds(1499))
    #expect(silent.owner.ends == [])
    silent.channel.embeddedEventLoop.advanceTime(by: .milliseconds(1))
    #expect(silent.owner.ends == [.lost("close: no answer to our Close frame")])
    #expect(!silent.channel.isActive)
  }

  @Test("The server's Close is echoed and reported, and the connection closed")
  func closedByServer() throws {
    let attempt = try UpgradeAttempt.opened()
    try attempt.receive([0x88, 0x06, 0x03, 0xE9, 0x62, 0x79, 0x65, 0x21])
    #expect(try attempt.sent().map(\.payload) == [[0x03, 0xE9]])
    #expect(attempt.owner.ends == [.closedByServer(code: 1001, reason: "bye!")])
    #expect(attempt.channel.isActive, "the server closes the TCP connection")
    attempt.channel.embeddedEventLoop.advanceTime(by: .milliseconds(1500))
    #expect(!attempt.channel.isActive)
  }

  @Test("An end of file is reported once, and nothing after a drop")
  func endOfFile() throws {
    let attempt = try UpgradeAttempt.opened()
    _ = try? attempt.channel.finish()
    #expect(attempt.owner.ends.count == 1)
    let dropped = try UpgradeAttempt.opened()
    dropped.owner.session?.drop()
    dropped.channel.embeddedEventLoop.run()
    #expect(try dropped.sent().map(\.payload) == [[0x03, 0xE9]])
    #expect(dropped.owner.ends == [])
    dropped.channel.embeddedEventLoop.advanceTime(by: .milliseconds(1500))
    #expect(!dropped.channel.isActive)
  }

  @Test("Audio is one masked binary frame per message, and counted")
  func audio() throws {
    let attempt = try UpgradeAttempt.opened()
    let session = try #require(attempt.owner.session)
    var payload: [UInt8] = [1, 2, 3]
    session.send(binary: &payload)
    session.flush()
    let frames = try attempt.sent()
    #expect(frames.map(\.opcode) == [2])
    #expect(frames.first?.payload == [1, 2, 3])
    #expect(session.bytesWritten == 9)
  }
}
