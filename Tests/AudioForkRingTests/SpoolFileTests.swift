// SPDX-License-Identifier: Apache-2.0
import AudioForkMedia
import AudioForkRing
import AudioForkTestKit
import Glibc
import Testing

@Suite("The spool file")
struct SpoolFileTests {
  private let folder: ScratchFolder
  private let identity = StreamEpoch(monotonic: 7, wall: -9)

  init() throws { folder = try ScratchFolder() }

  private func entry(_ sequence: UInt64, count: Int, _ random: inout SeededRandom) -> CapturedEntry {
    CapturedEntry(
      sequence: sequence, direction: Bool.random(using: &random) ? .in : .out,
      rateHertz: [8000, 16_000, 48_000].randomElement(using: &random) ?? 8000, count: count,
      runStart: StreamTime(nanoseconds: .random(in: .min ... .max, using: &random)),
      runIndex: .random(in: 0 ... .max, using: &random),
      arrival: StreamTime(nanoseconds: .random(in: .min ... .max, using: &random)),
      captured: .random(in: 0 ... .max, using: &random),
      startsRun: .random(using: &random), isMuted: .random(using: &random), isAhead: .random(using: &random),
      hasMore: .random(using: &random))
  }

  @Test("Entries and digits come back as they were, one behind the other")
  func records() throws {
    var random = SeededRandom(seed: 5)
    var bytes: [UInt8] = []
    var said: [(entry: SpooledEntry, samples: [Int16])] = []
    for sequence: UInt64 in 0..<50 {
      if sequence % 7 == 3 {
        let digit = CapturedDigit(direction: .out, digit: UInt8(ascii: "#"), milliseconds: sequence * 1000)
        SpoolRecord.append(digit, sequence: sequence, to: &bytes)
        said.append((.digit(digit), []))
        continue
      }
      let samples = (0..<Int.random(in: 1...2880, using: &random)).map { _ in
        Int16.random(in: .min ... .max, using: &random)
      }
      let entry = entry(sequence, count: samples.count, &random)
      SpoolRecord.append(entry, samples: samples + [1, 2, 3], to: &bytes)
      said.append((.audio(entry), samples))
    }
    var offset = 0
    var samples: [Int16] = []
    for (sequence, one) in said.enumerated() {
      let found = try #require(SpoolRecord.find(in: bytes, at: offset))
      #expect(found.sequence == UInt64(sequence))
      #expect(SpoolRecord.decode(found, in: bytes, at: offset, into: &samples) == one.entry)
      #expect(Array(samples.prefix(one.samples.count)) == one.samples)
      offset += found.length
    }
    #expect(offset == bytes.count)
    #expect(SpoolRecord.find(in: bytes, at: offset) == nil)
  }

  @Test("A record with any byte changed, or cut anywhere, is none")
  func damage() {
    var random = SeededRandom(seed: 6)
    var bytes: [UInt8] = []
    SpoolRecord.append(entry(12, count: 5, &random), samples: [1, 2, 3, 4, 5], to: &bytes)
    for index in bytes.indices {
      var changed = bytes
      changed[index] ^= 1 << UInt8.random(in: 0..<8, using: &random)
      #expect(SpoolRecord.find(in: changed, at: 0) == nil, "byte \(index)")
      #expect(SpoolRecord.find(in: Array(bytes.prefix(index)), at: 0) == nil)
    }
    for _ in 0..<10_000 {
      let noise = (0..<Int.random(in: 0...200, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
      var samples: [Int16] = []
      for offset in [0, 1, -1, noise.count] {
        if let found = SpoolRecord.find(in: noise, at: offset) {
          _ = SpoolRecord.decode(found, in: noise, at: offset, into: &samples)
        }
      }
    }
  }

  @Test("What an engine left is found again, up to the last whole record; another fork's is not")
  func reopened() throws {
    let path = folder.file("a.spool")
    #expect(try SpoolFile.open(path: path, identity, creates: false) == nil)
    var random = SeededRandom(seed: 7)
    var bytes: [UInt8] = []
    var sequence: UInt64 = 100
    while bytes.count < 400_000 {
      SpoolRecord.append(entry(sequence, count: 160, &random), samples: [Int16](repeating: 3, count: 160), to: &bytes)
      sequence += UInt64.random(in: 1...3, using: &random)
    }
    let last = try #require(SpoolRecord.find(in: bytes, at: bytes.count - 384)).sequence
    var file = try #require(try SpoolFile.open(path: path, identity, creates: true))
    #expect(file.content == SpoolFile.Content())
    try file.file.write(bytes, at: file.content.end)
    try file.file.write([1, 2, 3], at: file.content.end + bytes.count, isSynced: true)
    file.file.close()

    file = try #require(try SpoolFile.open(path: path, identity, creates: false))
    #expect(file.content.lastSequence == last)
    #expect(file.content.end == SpoolFile.headerBytes + bytes.count)
    #expect(file.content.places.count == 7, "\(file.content.places)")
    for place in file.content.places {
      let read = try file.file.read(at: place.offset, count: 384)
      #expect(SpoolRecord.find(in: read, at: 0)?.sequence == place.sequence)
    }
    try file.file.empty()
    file.file.close()
    file = try #require(try SpoolFile.open(path: path, identity, creates: false))
    #expect(file.content == SpoolFile.Content())
    try file.file.write(bytes, at: file.content.end)
    file.file.close()

    let other = StreamEpoch(monotonic: 8, wall: -9)
    file = try #require(try SpoolFile.open(path: path, other, creates: false))
    #expect(file.content == SpoolFile.Content())
    file.file.unlink()
    file.file.close()
    #expect(folder.names == [])
  }
}

extension SpoolFileTests {
  @Test("A file is a leftover when no engine has it open and it is old; nothing but a spool file ever is")
  func leftover() throws {
    let path = folder.file("a.spool")
    let link = folder.file("b.spool")
    let foreign = folder.file("c.spool")
    let now = Int(time(nil))
    let file = try #require(try SpoolFile.open(path: path, identity, creates: true))
    try file.file.write([UInt8](repeating: 1, count: 1000), at: file.content.end)
    #expect(symlink(path, link) == 0)
    for bytes in [[], Array("AFSPOOL".utf8), Array("AFSPOOL2, and more".utf8)] {
      let descriptor = creat(foreign, 0o600)
      #expect(write(descriptor, bytes, bytes.count) == bytes.count)
      close(descriptor)
      #expect(SpoolFile.removeLeftover(foreign, writtenBefore: now + 10) == nil)
    }
    #expect(SpoolFile.removeLeftover(path, writtenBefore: now + 10) == nil, "a fork has it")
    // Two engines may have it for a moment, where one takes over from the other.
    let next = try #require(try SpoolFile.open(path: path, identity, creates: false))
    file.file.close()
    #expect(SpoolFile.removeLeftover(path, writtenBefore: now + 10) == nil, "another engine's fork has it")
    next.file.close()
    #expect(SpoolFile.removeLeftover(path, writtenBefore: now - 10) == nil, "it is young")
    #expect(SpoolFile.removeLeftover(link, writtenBefore: now + 10) == nil)
    #expect(SpoolFile.removeLeftover(path, writtenBefore: now + 10) == SpoolFile.headerBytes)
    #expect(folder.names == ["b.spool", "c.spool"])
    #expect(SpoolFile.removeLeftover(path, writtenBefore: now + 10) == nil)
  }

  @Test("A missing folder, a link and a folder in its place are refused, with what to do")
  func refused() throws {
    let missing = #expect(throws: RingError.self) {
      try SpoolFile.open(path: folder.file("no/a.spool"), identity, creates: true)
    }
    #expect(missing?.message.contains("create it, or give another one as spool") == true)
    #expect(mkdir(folder.file("a"), 0o700) == 0)
    defer { rmdir(folder.file("a")) }
    let place = #expect(throws: RingError.self) { try SpoolFile.open(path: folder.file("a"), identity, creates: true) }
    #expect(place?.code == .foreign)
  }

  private func refusal(_ path: String) -> RingError? {
    #expect(throws: RingError.self) { try SpoolFile.open(path: path, identity, creates: true)?.file.close() }
  }

  @Test("A folder into which others may write, and a file that others may open or have a name for, are refused")
  func notPrivate() throws {
    let path = folder.file("a.spool")
    for mode: mode_t in [0o770, 0o702, 0o1777] {
      #expect(chmod(folder.path, mode) == 0)
      let refusal = refusal(path)
      #expect(refusal?.code == .notPermitted, "folder \(String(mode, radix: 8))")
      #expect(refusal?.message.contains("give it to Asterisk's user with mode 0700") == true)
      #expect(folder.names == [], "nothing is made in such a folder")
    }
    #expect(chmod(folder.path, 0o755) == 0)
    try #require(try SpoolFile.open(path: path, identity, creates: true)).file.close()
    var status = stat()
    #expect(lstat(path, &status) == 0 && status.st_mode & 0o7777 == 0o600)
    for mode: mode_t in [0o640, 0o604, 0o620] {
      #expect(chmod(path, mode) == 0)
      let refusal = refusal(path)
      #expect(refusal?.code == .notPermitted, "file \(String(mode, radix: 8))")
      #expect(refusal?.message.contains("remove it") == true)
    }
    #expect(chmod(path, 0o600) == 0)
    #expect(link(path, folder.file("b")) == 0)
    #expect(refusal(path)?.code == .notPermitted)
    #expect(unlink(folder.file("b")) == 0)
    try #require(try SpoolFile.open(path: path, identity, creates: false)).file.close()
  }

  @Test("A folder or a file of another user is refused, whatever its mode", .enabled(if: geteuid() == 0, "needs root"))
  func foreign() throws {
    let path = folder.file("a.spool")
    try #require(try SpoolFile.open(path: path, identity, creates: true)).file.close()
    #expect(chown(path, 65_534, 65_534) == 0)
    #expect(refusal(path)?.code == .notPermitted)
    #expect(chown(path, 0, 0) == 0)
    #expect(chown(folder.path, 65_534, 65_534) == 0)
    #expect(refusal(path)?.code == .notPermitted)
    #expect(chown(folder.path, 0, 0) == 0)
    try #require(try SpoolFile.open(path: path, identity, creates: false)).file.close()
  }

  @Test("A link in the file's place is refused, and what it leads to stays as it is")
  func symbolicLink() throws {
    let other = folder.file("other")
    let descriptor = open(other, O_CREAT | O_WRONLY | O_CLOEXEC, 0o600)
    #expect(write(descriptor, "mine", 4) == 4)
    close(descriptor)
    for place in [other, folder.file("nothing")] {
      #expect(symlink(place, folder.file("a.spool")) == 0)
      #expect(refusal(folder.file("a.spool"))?.code == .foreign)
      #expect(unlink(folder.file("a.spool")) == 0)
    }
    var status = stat()
    #expect(lstat(other, &status) == 0 && status.st_size == 4)
    #expect(folder.names == ["other"])
  }
}
