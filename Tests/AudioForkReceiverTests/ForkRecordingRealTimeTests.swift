// SPDX-License-Identifier: Apache-2.0
import Glibc
import Testing

/// A fork's client over TestClient: says start and sends samples at positions.
private struct ForkClient {
  let client: TestClient

  init(port: Int, id: String = "af-1", path: String = "/calls", acknowledge: String = "received", position: UInt64 = 0) throws {
    client = try TestClient(port: port, path: path, headers: ["Sec-WebSocket-Protocol: audiofork.v1"])
    client.send(1, Array(startMessage(id: id, position: position, acknowledge: acknowledge).utf8))
  }

  func send(_ samples: ArraySlice<Int16>, at position: Int) {
    let header = stride(from: 56, through: 0, by: -8).map { UInt8(truncatingIfNeeded: position >> $0) }
    client.send(2, header + samples.flatMap { [UInt8(truncatingIfNeeded: $0), UInt8(truncatingIfNeeded: $0 >> 8)] })
  }

  /// The server's next text.
  func text() -> String? {
    while let frame = client.frame() {
      if frame.opcode == 1 { return String(decoding: frame.payload, as: UTF8.self) }
      if frame.opcode == 8 { return nil }
    }
    return nil
  }

  /// Where the server says to go on; nil if that is not what it says.
  func resume() -> Int? {
    guard let text = text(), text.hasPrefix(#"{"type":"resume","position":"#) else { return nil }
    return Int(text.filter(\.isNumber))
  }

  /// Waits for an acknowledgement of the position.
  func isAcknowledged(_ position: Int, _ level: String = "received") -> Bool {
    while let text = text() { if text == #"{"type":"ack","position":\#(position),"level":"\#(level)"}"# { return true } }
    return false
  }
}

private func noise(_ count: Int) -> [Int16] {
  var state: UInt32 = 1
  return (0..<count).map { _ in
    state = state &* 1_664_525 &+ 1_013_904_223
    return Int16(truncatingIfNeeded: state >> 16)
  }
}

private func bytes(_ samples: [Int16]) -> [UInt8] {
  samples.flatMap { [UInt8(truncatingIfNeeded: $0), UInt8(truncatingIfNeeded: $0 >> 8)] }
}

@Suite("One WAV for each fork, with audiofork.v1", .serialized)
struct ForkRecordingRealTimeTests {
  @Test("Breaks, repeats and restarts of the receiver by kill -9 leave every sample once, at its position", arguments: ["received", "persisted"])
  func exactlyOnce(level: String) throws {
    let folder = try TemporaryFolder()
    let said = noise(16_000)
    var port = 0
    var receiver: ServeProcess?
    var position = 0
    for round in 0..<8 {
      if round % 3 == 0 {
        receiver?.signal(SIGKILL)
        _ = receiver?.exitStatus()
        receiver = try ServeProcess(["serve", "--listen", "127.0.0.1:\(port)", "--out", folder.path, "--json"])
        port = try #require(receiver?.port())
      }
      let fork = try ForkClient(port: port, acknowledge: level)
      let resumed = try #require(fork.resume())
      #expect(resumed >= position, "what was acknowledged is there")
      // A careless client goes back further than it has to.
      position = max(0, resumed - 700)
      while position < min(said.count, (round + 1) * 2000) {
        let end = min(position + 160, said.count)
        fork.send(said[position..<end], at: position)
        position = end
      }
      #expect(fork.isAcknowledged(position, level))
      // Not acknowledged, perhaps written: the next connection is told which.
      if position < said.count { fork.send(said[position..<(position + 100)], at: position) }
      if round == 7 { #expect(fork.client.close()?.code == 1000) } else { fork.client.disconnect() }
    }
    #expect(folder.names == ["calls-20260921T141320Z-af-1.wav"])
    let wav = try #require(ParsedWav(contents(folder.files[0])))
    #expect(wav.samples == bytes(said))
    _ = receiver
  }

  @Test("A newer connection takes the fork over from an older one that still stands")
  func takenOver() throws {
    let folder = try TemporaryFolder()
    let receiver = try ServeProcess(["serve", "--listen", "127.0.0.1:0", "--out", folder.path, "--json"])
    let port = try #require(receiver.port())
    let said = noise(1600)
    let old = try ForkClient(port: port)
    #expect(old.resume() == 0)
    old.send(said[0..<800], at: 0)
    #expect(old.isAcknowledged(800))
    let new = try ForkClient(port: port)
    #expect(new.resume() == 800)
    #expect(old.client.frame()?.code == 4001)
    new.send(said[800...], at: 800)
    #expect(new.isAcknowledged(1600))
    #expect(new.client.close()?.code == 1000)
    #expect(ParsedWav(contents(folder.files.first ?? ""))?.samples == bytes(said))
    #expect(receiver.tells(#""duplicates":0"#))
  }

  @Test("A fork that comes from another server begins with silence up to its position; one of another form is refused")
  func failover() throws {
    let folder = try TemporaryFolder()
    let receiver = try ServeProcess(["serve", "--listen", "127.0.0.1:0", "--out", folder.path, "--json"])
    let port = try #require(receiver.port())
    let said = noise(160)
    let fork = try ForkClient(port: port, position: 4000)
    #expect(fork.resume() == 0)
    fork.send(said[...], at: 4000)
    #expect(fork.isAcknowledged(4160))
    #expect(fork.client.close()?.code == 1000)
    #expect(ParsedWav(contents(folder.files.first ?? ""))?.samples == [UInt8](repeating: 0, count: 8000) + bytes(said))
    let other = try TestClient(port: port, path: "/calls", headers: ["Sec-WebSocket-Protocol: audiofork.v1"])
    other.send(1, Array(startMessage().replacingOnce("8000", "16000").utf8))
    #expect(other.frame()?.code == 1011)
    #expect(receiver.tells("no 16-bit WAV of 16000 Hz"))
    #expect(ParsedWav(contents(folder.files.first ?? ""))?.samples.count == 8320, "it is as it was")
  }

  @Test("A position that no WAV can hold is an error, and not gigabytes of silence")
  func beyond() throws {
    let folder = try TemporaryFolder()
    let receiver = try ServeProcess(["serve", "--listen", "127.0.0.1:0", "--out", folder.path, "--json"])
    let port = try #require(receiver.port())
    let fork = try ForkClient(port: port)
    #expect(fork.resume() == 0)
    fork.send(noise(1)[...], at: 3_000_000_000)
    #expect(fork.client.frame()?.code == 1011)
    #expect(contents(folder.files.first ?? "").count == 44)
    #expect(receiver.tells("beyond 4 GB"))
  }

  @Test("What the fork tells of its stream is on the receiver's lines")
  func told() throws {
    let folder = try TemporaryFolder()
    let receiver = try ServeProcess(["serve", "--listen", "127.0.0.1:0", "--out", folder.path, "--json"])
    let port = try #require(receiver.port())
    let fork = try ForkClient(port: port)
    #expect(fork.resume() == 0)
    for message in [
      #"{"type":"gap","direction":"in","position":7,"start":5,"samples":6,"reason":"overrun"}"#,
      #"{"type":"fill","direction":"out","position":1,"frames":2}"#, #"{"type":"mute","direction":"in","position":3,"frames":4}"#,
      #"{"type":"dtmf","direction":"in","position":1,"digit":"5","milliseconds":80}"#, #"{"type":"text","text":"hello"}"#,
      #"{"type":"later"}"#, #"{"type":"stop","position":0,"reason":"ended"}"#,
    ] { fork.client.send(1, Array(message.utf8)) }
    #expect(fork.client.close()?.code == 1000)
    #expect(receiver.tells(#"{"event":"ended""#))
    for line in [
      #"{"event":"gap","stream":1,"id":"af-1","direction":"in","position":7,"start":5,"samples":6,"reason":"overrun"}"#,
      #"{"event":"fill","stream":1,"id":"af-1","direction":"out","position":1,"frames":2}"#,
      #"{"event":"mute","stream":1,"id":"af-1","direction":"in","position":3,"frames":4}"#,
      #"{"event":"dtmf","stream":1,"id":"af-1","direction":"in","position":1,"digit":"5","milliseconds":80}"#,
      #"{"event":"text","stream":1,"id":"af-1","text":"hello"}"#, #"{"event":"unknown","stream":1,"id":"af-1"}"#,
      #"{"event":"stop","stream":1,"id":"af-1","position":0,"reason":"ended"}"#,
    ] { #expect(receiver.output.contains(line), "\(line)") }
  }
}
