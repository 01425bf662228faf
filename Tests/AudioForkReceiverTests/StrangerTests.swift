// SPDX-License-Identifier: Apache-2.0
import AudioForkReceiver
import Glibc
import NIOCore
import NIOHTTP1
import Testing

private func hex(_ bytes: [UInt8]) -> String {
  bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
}

private func mode(_ path: String) -> mode_t? {
  var status = stat()
  return stat(path, &status) == 0 ? status.st_mode & 0o777 : nil
}

@Suite("What keeps clients apart")
struct ClientSeparationTests {
  @Test(
    "SHA-256 gives the digests of FIPS 180-4's examples",
    arguments: [
      ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
      ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
      (
        "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
      ),
      (String(repeating: "a", count: 1000), "41edece42d63e8d9bf515a9ba6932e1c20cbc9f5a5d134645adb5db1b9737ea3"),
    ])
  func digest(message: String, digest: String) {
    #expect(hex(SHA256.digest(message.utf8)) == digest)
  }

  private func start(
    id: String = "af-1", epoch: Int = 1_790_000_000, secret: String? = nil
  ) throws -> ForkStart {
    let text = startMessage(id: id, secret: secret).replacingOnce("1790000000123", "\(epoch)123")
    guard case .start(let start) = try ForkMessage(text) else { throw SystemCallFailed(what: "no start") }
    return start
  }

  @Test("A fork's file is named for its path, id, time and client, and no two of them share one")
  func names() throws {
    let client = ClientIdentity(address: "192.0.2.1")
    let name = RecordingName.stem(path: "/calls", fork: try start(), client: client)
    #expect(name.hasPrefix("calls-20260921T141320Z-af-1+"))
    #expect(name.utf8.count == "calls-20260921T141320Z-af-1+".utf8.count + 24)
    #expect(name == RecordingName.stem(path: "/calls", fork: try start(), client: ClientIdentity(address: "192.0.2.1")))
    let long = String(repeating: "x", count: 100)
    let token = SHA256.digest("one".utf8)
    func named(_ client: ClientIdentity) throws -> String {
      RecordingName.stem(path: "/calls", fork: try start(), client: client)
    }
    let names = [
      name, RecordingName.stem(path: "/calls/", fork: try start(), client: client),
      RecordingName.stem(path: "/calls", fork: try start(epoch: 1_790_000_001), client: client),
      try named(ClientIdentity(address: "192.0.2.10")),
      try named(ClientIdentity(token: token, address: "192.0.2.1")),
      try named(ClientIdentity(token: SHA256.digest("two".utf8), address: "192.0.2.1")),
      try named(ClientIdentity(certificate: [1], address: "192.0.2.1")),
      try named(ClientIdentity(certificate: [1], token: token, address: "192.0.2.1")),
      try RecordingName.stem(path: "/calls", fork: start(secret: "a"), client: client),
      try RecordingName.stem(path: "/calls", fork: start(secret: "b"), client: client),
      try RecordingName.stem(
        path: "/calls", fork: start(secret: "a"), client: ClientIdentity(token: token, address: "192.0.2.1")),
      try RecordingName.stem(path: "/c", fork: start(id: "call/1"), client: client),
      try RecordingName.stem(path: "/c", fork: start(id: "call:1"), client: client),
      try RecordingName.stem(path: "/c", fork: start(id: long + "1"), client: client),
      try RecordingName.stem(path: "/c", fork: start(id: long + "2"), client: client),
    ]
    #expect(Set(names).count == names.count)
    #expect(names.allSatisfy { $0.utf8.count < 200 })
    // A certificate, a token or a secret follows its client to other addresses.
    let elsewhere = ClientIdentity(address: "2001:db8::1")
    #expect(RecordingName.stem(path: "/calls", fork: try start(secret: "a"), client: elsewhere) == names[8])
    #expect(RecordingName.stem(path: "/calls", fork: try start(secret: ""), client: client) == name)
    for address in ["192.0.2.1", "192.0.2.2"] {
      let known = ClientIdentity(token: token, address: address)
      #expect(RecordingName.stem(path: "/calls", fork: try start(), client: known) == names[4])
    }
  }

  @Test("A raw stream cannot take the name of a fork's file")
  func rawNames() throws {
    let name = RecordingName.stem(path: "/calls", fork: try start(), client: ClientIdentity(address: "192.0.2.1"))
    let end = try #require(name.firstIndex(of: "+"))
    let raw = RecordingName.stem(path: "/calls", forkID: "af-1" + name[end...], unixSeconds: 1_790_000_000)
    #expect(!raw.contains("+"))
  }

  @Test("Recordings are for this user alone, and a file that is being written is nobody else's")
  func permissions() throws {
    let parent = try TemporaryFolder()
    let before = umask(0)
    defer { umask(before) }
    let folder = try RecordingFolder(preparing: parent.path + "/new")
    #expect(mode(folder.path) == 0o700)
    let raw = try Recording(in: folder, stem: "a", rateHertz: 8000, channelCount: 1)
    let fork = try Recording(of: try start(), in: folder, stem: "b")
    #expect(mode(raw.path) == 0o600 && mode(fork.path) == 0o600)
    for stem in ["a", "b"] {
      let error = #expect(throws: RecordingError.self) { try Recording(of: try start(), in: folder, stem: stem) }
      #expect(error?.reason == "cannot go on with \(folder.path)/\(stem).wav: another receiver writes it")
    }
    _ = raw.finish()
    _ = fork.finish()
    #expect(try Recording(of: try start(), in: folder, stem: "b").path == fork.path)
  }

  @Test("A file with a second name is not continued: it could be any file of this user's")
  func hardLink() throws {
    let folder = try TemporaryFolder()
    let place = try RecordingFolder(preparing: folder.path)
    let recording = try Recording(of: try start(), in: place, stem: "a")
    _ = try recording.append(ByteBuffer(bytes: [1, 2, 3, 4]))
    _ = recording.finish()
    let before = contents(recording.path)
    #expect(link(recording.path, folder.path + "/b.wav") == 0)
    for stem in ["a", "b"] {
      let error = #expect(throws: RecordingError.self) { try Recording(of: try start(), in: place, stem: stem) }
      #expect(error?.reason == "cannot go on with \(folder.path)/\(stem).wav: it has 2 hard links instead of one")
    }
    #expect(contents(recording.path) == before)
    unlink(folder.path + "/b.wav")
    #expect(try Recording(of: try start(), in: place, stem: "a").frameCount == 2)
  }

  @Test("Silence up to the first position takes no room on the disk")
  func sparse() throws {
    let folder = try TemporaryFolder()
    let recording = try Recording(of: try start(), in: RecordingFolder(preparing: folder.path), stem: "a")
    try recording.fill(to: 20_000_000)
    #expect(try recording.append(ByteBuffer(bytes: [1, 2, 3, 4])).frameCount == 20_000_002)
    _ = recording.finish()
    var status = stat()
    #expect(stat(recording.path, &status) == 0)
    #expect(status.st_size == 44 + 40_000_004)
    #expect(status.st_blocks * 512 < 1 << 20, "\(status.st_blocks) blocks")
    let wav = try #require(ParsedWav(contents(recording.path)))
    #expect(wav.samples.count == 40_000_004 && Array(wav.samples.suffix(5)) == [0, 1, 2, 3, 4])
    // It is continued where it ended.
    let file = try start()
    #expect(try Recording(of: file, in: RecordingFolder(preparing: folder.path), stem: "b").frameCount == 0)
  }
}

@Suite("Tokens")
struct AccessTokenTests {
  private let good = "0123456789abcdef0123456789abcdef"

  private func tokens(_ text: String, mode: mode_t = 0o600) throws -> AccessTokens {
    let folder = try TemporaryFolder()
    let path = folder.path + "/tokens"
    try write(Array(text.utf8), to: path)
    #expect(chmod(path, mode) == 0)
    return try AccessTokens(readingFile: path)
  }

  @Test("One of the file's tokens opens, whatever stands beside it in the file")
  func matches() throws {
    let other = "abcdefghijklmnop/+=~"
    let tokens = try tokens("# recorders\n\n\(good)\r\n  \(other)\t\n", mode: 0o640)
    let digest = try #require(tokens.digest(authorization: ["Bearer \(good)"]))
    #expect(tokens.digest(authorization: ["bearer  \(good) "]) == digest)
    let second = try #require(tokens.digest(authorization: ["BEARER \(other)"]))
    #expect(second != digest)
    for wrong in [
      [], [""], ["Bearer"], ["Bearer "], [good], ["Basic \(good)"], ["Bearer \(good)0"], ["Bearer \(good.dropLast())"],
      ["Bearer \(good.uppercased())"], ["Bearer # recorders"], ["Bearer \(good)", "Bearer \(good)"],
      ["Bearer \(good) \(other)"], ["Bearer " + String(repeating: "a", count: 1 << 20)],
    ] { #expect(tokens.digest(authorization: wrong) == nil, "\(wrong)") }
  }

  @Test("A file that others may read or write, or that has no good token, is refused without showing it")
  func refused() throws {
    func reason(_ text: String, _ mode: mode_t = 0o600) -> String {
      (#expect(throws: RecordingError.self) { try tokens(text, mode: mode) })?.reason ?? ""
    }
    for mode: mode_t in [0o604, 0o644, 0o620, 0o602, 0o660] {
      #expect(reason(good, mode).contains(" is open to other users; 'chmod 600' it, "))
    }
    #expect(reason("# nothing\n").hasSuffix("has no token; write one token on each line"))
    for bad in ["short", "two words of a token", "\u{FC}bergrößenträger-token", String(repeating: "x", count: 513)] {
      let said = reason("\(good)\n\(bad)\n")
      #expect(said.contains("line 2 of the token file ") && !said.contains(bad))
    }
    #expect(throws: RecordingError.self) { try AccessTokens(readingFile: "/dev/null") }
    #expect(throws: RecordingError.self) { try AccessTokens(readingFile: "/nowhere") }
  }
}

@Suite("Events that nobody reads")
struct EventPrinterTests {
  private func facts(_ number: Int) -> StreamFacts {
    StreamFacts(number: number, request: StreamRequest(.init(version: .http1_1, method: .GET, uri: "/t")), remote: "r")
  }

  @Test("They take a few megabytes at most, and texts leave room for the lines of other streams")
  func bounded() async throws {
    var ends: [CInt] = [0, 0]
    try #require(pipe(&ends) == 0)
    let (reader, writer) = (ends[0], ends[1])
    let printer = EventPrinter(.json, to: writer)
    let printing = Task { await printer.run() }
    let text = String(repeating: "x", count: 10_000)
    for _ in 0..<2000 { printer.emit(.text(facts(1), text)) }
    #expect(printer.waitingBytes > EventPrinter.waitingBytesMax / 4)
    #expect(printer.waitingBytes <= EventPrinter.waitingBytesMax / 2)
    printer.emit(.started(facts(2), file: "/r/other.wav"))
    printer.finish()
    // Now somebody reads.
    let reading = Task.detached { () -> String in
      var all: [UInt8] = []
      var block = [UInt8](repeating: 0, count: 65_536)
      while case let count = read(reader, &block, block.count), count > 0 { all += block.prefix(count) }
      return String(decoding: all, as: UTF8.self)
    }
    await printing.value
    close(writer)
    let output = await reading.value
    close(reader)
    #expect(printer.waitingBytes == 0)
    #expect(output.contains(#""file":"/r/other.wav""#))
    let lines = output.split(separator: "\n")
    let texts = lines.count { $0.contains(#""event":"text""#) }
    // In one line, or in several where some texts left between others.
    let beginning = #"{"event":"dropped","count":"#
    let dropped = lines.filter { $0.hasPrefix(beginning) }
      .compactMap { Int($0.dropFirst(beginning.count).dropLast()) }
    #expect(!dropped.isEmpty && dropped.reduce(0, +) == 2000 - texts)
  }
}
