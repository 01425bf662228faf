// SPDX-License-Identifier: Apache-2.0
import Glibc
import Testing

/// A fork's client over TestClient: says start and sends samples at positions.
private struct ForkClient {
  let client: TestClient

  init(
    port: Int, id: String = "af-1", path: String = "/calls", acknowledge: String = "received", position: UInt64 = 0,
    secret: String? = nil
  ) throws {
    client = try TestClient(port: port, path: path, headers: ["Sec-WebSocket-Protocol: audiofork.v1"])
    let message = startMessage(id: id, position: position, acknowledge: acknowledge, secret: secret)
    client.send(1, Array(message.utf8))
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
    while let text = text() {
      if text == #"{"type":"ack","position":\#(position),"level":"\#(level)"}"# { return true }
    }
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
  @Test(
    "Breaks, repeats and restarts of the receiver by kill -9 leave every sample once, at its position",
    arguments: ["received", "persisted"])
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
    #expect(folder.names.count == 1)
    let name = try #require(folder.names.first)
    #expect(name.hasPrefix("calls-20260921T141320Z-af-1+") && name.hasSuffix(".wav"), "\(name)")
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
    #expect(receiver.prints(#""duplicates":0"#))
  }

  @Test("Who does not know a fork's secret neither takes it over nor writes into its file, at the same address either")
  func secret() throws {
    let folder = try TemporaryFolder()
    let receiver = try ServeProcess(["serve", "--listen", "127.0.0.1:0", "--out", folder.path, "--json"])
    let port = try #require(receiver.port())
    let said = noise(1600)
    let fork = try ForkClient(port: port, secret: "5ec7e7")
    #expect(fork.resume() == 0)
    fork.send(said[0..<800], at: 0)
    #expect(fork.isAcknowledged(800))
    for secret in [nil, "5ec7e8"] {
      let intruder = try ForkClient(port: port, secret: secret)
      #expect(intruder.resume() == 0)
      intruder.send([Int16](repeating: 0x66, count: 800)[...], at: 0)
      #expect(intruder.isAcknowledged(800))
    }
    fork.send(said[800..<1200], at: 800)
    #expect(fork.isAcknowledged(1200), "it was not thrown out")
    let again = try ForkClient(port: port, secret: "5ec7e7")
    #expect(again.resume() == 1200)
    again.send(said[1200...], at: 1200)
    #expect(again.isAcknowledged(1600))
    #expect(again.client.close()?.code == 1000)
    #expect(folder.names.count == 3)
    #expect(folder.files.count { ParsedWav(contents($0))?.samples == bytes(said) } == 1)
    #expect(!receiver.output.contains("5ec7e7"))
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
    #expect(receiver.prints("no 16-bit WAV of 16000 Hz"))
    #expect(ParsedWav(contents(folder.files.first ?? ""))?.samples.count == 8320, "it is as it was")
  }

  @Test("A position that the stream has not come to is refused, and makes no file longer")
  func jump() throws {
    let folder = try TemporaryFolder()
    let receiver = try ServeProcess(["serve", "--listen", "127.0.0.1:0", "--out", folder.path, "--json"])
    let port = try #require(receiver.port())
    let fork = try ForkClient(port: port)
    #expect(fork.resume() == 0)
    fork.send(noise(1)[...], at: 50_000_000)
    #expect(fork.client.frame()?.code == 1002)
    #expect(contents(folder.files.first ?? "").count == 44)
    // Delivered elsewhere, it says; still more than a WAV holds.
    let other = try ForkClient(port: port, id: "af-2", position: 3_000_000_000)
    #expect(other.resume() == 0)
    other.send(noise(1)[...], at: 3_000_000_000)
    #expect(other.client.frame()?.code == 1011)
    #expect(receiver.prints("beyond 4 GB"))
    for file in folder.files { #expect(contents(file).count == 44) }
  }

  @Test("A known path, id and time open no file of another dialect, and ids that look alike share none")
  func apart() throws {
    let folder = try TemporaryFolder()
    let receiver = try ServeProcess(["serve", "--listen", "127.0.0.1:0", "--out", folder.path, "--json"])
    let port = try #require(receiver.port())
    let raw = try TestClient(port: port, path: "/calls", headers: ["AudioFork-ID: af-1"])
    raw.send(2, [UInt8](repeating: 0x11, count: 16_000))
    raw.send(9, [])
    #expect(raw.frame()?.opcode == 10)
    let file = try #require(folder.files.first)
    let start = startMessage().replacingOnce("1790000000123", "\(try epoch(of: file) * 1000)")
    let other = try TestClient(port: port, path: "/calls", headers: ["Sec-WebSocket-Protocol: audiofork.v1"])
    other.send(1, Array(start.utf8))
    #expect(other.frame()?.payload == Array(#"{"type":"resume","position":0}"#.utf8))
    other.send(2, [UInt8](repeating: 0, count: 8) + [UInt8](repeating: 0x66, count: 8000))
    #expect(other.close()?.opcode == 1)
    raw.send(2, [UInt8](repeating: 0x22, count: 4000))
    #expect(raw.close()?.code == 1000)
    #expect(
      ParsedWav(contents(file))?.samples
        == [UInt8](repeating: 0x11, count: 16_000) + [UInt8](repeating: 0x22, count: 4000))
    let alike = try ["call/1", "call:1"].map { try ForkClient(port: port, id: $0, path: "/c") }
    for fork in alike { #expect(fork.resume() == 0) }
    for (index, fork) in alike.enumerated() {
      fork.send([Int16](repeating: Int16(index + 1), count: 80)[...], at: 0)
      #expect(fork.isAcknowledged(80), "both are carried on")
    }
    #expect(folder.names.count == 4)
    for file in folder.files {
      var status = stat()
      #expect(stat(file, &status) == 0 && status.st_mode & 0o777 == 0o600, "\(file)")
    }
    _ = receiver
  }

  /// Seconds since 1970 in a file's name.
  private func epoch(of file: String) throws -> Int {
    let text = try #require(file.split(separator: "/").last?.split(separator: "-").dropFirst().first)
    let digits = text.utf8.filter { (48...57).contains($0) }.map { CInt($0) - 48 }
    try #require(digits.count == 14)
    func number(_ range: Range<Int>) -> CInt { digits[range].reduce(0) { $0 * 10 + $1 } }
    var parts = tm()
    (parts.tm_year, parts.tm_mon, parts.tm_mday) = (number(0..<4) - 1900, number(4..<6) - 1, number(6..<8))
    (parts.tm_hour, parts.tm_min, parts.tm_sec) = (number(8..<10), number(10..<12), number(12..<14))
    return timegm(&parts)
  }

  @Test("A file that holds more than the fork can have sent is left alone, and the fork goes on in a new one")
  func farAhead() throws {
    let folder = try TemporaryFolder()
    let receiver = try ServeProcess(["serve", "--listen", "127.0.0.1:0", "--out", folder.path, "--json"])
    let port = try #require(receiver.port())
    let first = try ForkClient(port: port)
    #expect(first.resume() == 0)
    let long = noise(81_000)
    for position in stride(from: 0, to: long.count, by: 1000) {
      first.send(long[position..<(position + 1000)], at: position)
    }
    #expect(first.isAcknowledged(81_000))
    // 80,000 samples are the ten seconds that may be on their way.
    for (position, resumed) in [(UInt64(1000), 81_000), (999, 0), (1000, 81_000)] {
      let again = try ForkClient(port: port, position: position)
      #expect(again.resume() == resumed, "from \(position)")
      if resumed == 0 {
        again.send(noise(160)[...], at: 999)
        #expect(again.isAcknowledged(1159))
      }
      #expect(again.client.close()?.code == 1000)
    }
    #expect(folder.names.count == 2)
    #expect(ParsedWav(contents(folder.files.first { !$0.hasSuffix("-2.wav") } ?? ""))?.samples == bytes(long))
    _ = receiver
  }

  @Test("A full disk closes the fork's connection with 1011; all that was acknowledged is in the file")
  func diskFull() throws {
    let folder = try TemporaryFolder()
    // 64 blocks of 512 bytes: 32 KiB a file.
    let receiver = try ServeProcess(
      ["serve", "--listen", "127.0.0.1:0", "--out", folder.path, "--json"], fileBlocksMax: 64)
    let port = try #require(receiver.port())
    for level in ["received", "persisted"] {
      let said = noise(20_000)
      let fork = try ForkClient(port: port, id: level, acknowledge: level)
      #expect(fork.resume() == 0)
      for position in stride(from: 0, to: said.count, by: 1000) {
        fork.send(said[position..<(position + 1000)], at: position)
      }
      var acknowledged = 0
      var close: TestClient.Frame?
      while close == nil, let frame = fork.client.frame() {
        if frame.opcode == 8 {
          close = frame
        } else {
          acknowledged = try #require(Int(String(decoding: frame.payload, as: UTF8.self).filter(\.isNumber)))
        }
      }
      #expect(close?.code == 1011)
      let reason = close.map { String(decoding: $0.payload.dropFirst(2), as: UTF8.self) }
      #expect(reason == "the recording cannot be continued")
      let file = try #require(folder.files.first { $0.contains("-\(level)+") })
      let kept = try #require(ParsedWav(contents(file))?.samples)
      #expect(kept.count >= 2 * acknowledged && kept.count < 40_000, "\(acknowledged)")
      #expect(kept == Array(bytes(said).prefix(kept.count)))
      // It is where it goes on, once there is room.
      let again = try ForkClient(port: port, id: level, acknowledge: level)
      #expect(again.resume() == kept.count / 2)
    }
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
      #"{"type":"fill","direction":"out","position":1,"frames":2}"#,
      #"{"type":"mute","direction":"in","position":3,"frames":4}"#,
      #"{"type":"dtmf","direction":"in","position":1,"digit":"5","milliseconds":80}"#,
      #"{"type":"text","text":"hello"}"#,
      #"{"type":"later"}"#, #"{"type":"stop","position":0,"reason":"ended"}"#,
    ] { fork.client.send(1, Array(message.utf8)) }
    #expect(fork.client.close()?.code == 1000)
    #expect(receiver.prints(#"{"event":"ended""#))
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
