// SPDX-License-Identifier: Apache-2.0
import AudioForkRing
import AudioForkRingTestKit
import AudioForkTestKit
import Glibc
import Testing

@Suite("The cursor file")
struct CursorFileTests {
  private let folder: ScratchFolder
  private let path: String

  init() throws {
    folder = try ScratchFolder()
    path = folder.file("fork.cursor")
  }

  private func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

  /// What an engine that starts now would load from this image of a cursor file.
  private func load(_ image: [UInt8]) throws -> [UInt8]? {
    try folder.write(image, to: "image")
    return try CursorFile(path: folder.file("image")).load()
  }

  @Test("A new cursor has nothing to load, and is readable by its owner only")
  func new() throws {
    let cursor = try CursorFile(path: path)
    #expect(cursor.load() == nil)
    var status = stat()
    try #require(stat(path, &status) == 0)
    #expect(status.st_mode & 0o7777 == 0o600)
  }

  @Test("The newest save is loaded, in this engine and in the next one")
  func newest() throws {
    var cursor = try CursorFile(path: path)
    for round in 0..<7 {
      for save in 0...round {
        #expect(cursor.save(bytes("\(round).\(save)")))
        #expect(cursor.load() == bytes("\(round).\(save)"))
      }
      cursor.close()
      #expect(cursor.load() == nil && !cursor.save([1]))
      cursor = try CursorFile(path: path)
      #expect(cursor.load() == bytes("\(round).\(round)"))
    }
  }

  @Test("The next engine's first save leaves the last engine's newest one as it was")
  func handover() throws {
    let first = try CursorFile(path: path)
    for text in ["one", "two", "three"] { first.save(bytes(text)) }
    first.close()
    let next = try CursorFile(path: path)
    next.save(bytes("four"))
    var image = try folder.read("fork.cursor")
    // "three" went into slot 0, so "four" has to be in slot 1.
    image[CursorLayout.offset(ofSlot: 1) + CursorLayout.payloadOffset] ^= 1
    #expect(try load(image) == bytes("three"))
  }

  @Test("Payloads from empty to the longest come back, a longer one is refused and the last stays")
  func lengths() throws {
    let cursor = try CursorFile(path: path)
    #expect(CursorFile.payloadBytesMax == 65536 - 64)
    var random = SeededRandom(seed: 3)
    for length in [0, 1, 4031, 4032, 4033, 20_000, CursorFile.payloadBytesMax, 5] {
      let payload = (0..<length).map { _ in UInt8.random(in: 0...255, using: &random) }
      #expect(cursor.save(payload))
      #expect(cursor.load() == payload)
    }
    let last = cursor.load()
    #expect(!cursor.save([UInt8](repeating: 1, count: CursorFile.payloadBytesMax + 1)))
    #expect(cursor.load() == last)
    cursor.close()
    #expect(try CursorFile(path: path).load() == last)
  }

  @Test("A fork's usual cursor takes three pages of memory, a long one what it needs")
  func allocation() throws {
    let cursor = try CursorFile(path: path)
    func kilobytes() -> Int {
      var status = stat()
      return stat(path, &status) == 0 ? Int(status.st_blocks) / 2 : -1
    }
    for _ in 0..<10 { cursor.save([UInt8](repeating: 1, count: 500)) }
    #expect(kilobytes() == 12)
    cursor.save([UInt8](repeating: 1, count: 8000))
    #expect(kilobytes() == 16)
  }

  @Test("Killed between any two stores of a save, the engine leaves the save before it")
  func killed() throws {
    let cursor = try CursorFile(path: path)
    cursor.save(bytes("one, rather long so that something of it stays"))
    cursor.save(bytes("two"))
    let before = try folder.read("fork.cursor")
    cursor.save(bytes("three"))
    let after = try folder.read("fork.cursor")
    let slot = CursorLayout.offset(ofSlot: 0)
    let changed = before.indices.filter { before[$0] != after[$0] }
    #expect(changed.allSatisfy { (slot..<slot + CursorLayout.slotBytes).contains($0) })
    // In the order of the stores: payload, length, checksum, then the generation, which is one store.
    let generation = slot..<slot + 8
    let order = changed.filter { !generation.contains($0) }.sorted { left, right in
      rank(left - slot) < rank(right - slot)
    }
    var image = before
    #expect(try load(image) == bytes("two"))
    for index in order {
      image[index] = after[index]
      #expect(try load(image) == bytes("two"), "byte \(index - slot) of the slot was the last one written")
    }
    // Nor does it depend on that order.
    var random = SeededRandom(seed: 11)
    for _ in 0..<200 {
      var image = before
      for index in order where Bool.random(using: &random) { image[index] = after[index] }
      #expect(try load(image) == bytes("two"))
    }
    for index in generation { image[index] = after[index] }
    #expect(try load(image) == bytes("three"))
    // The generation alone, without what it stands for, is worth nothing.
    image = before
    for index in generation { image[index] = after[index] }
    #expect(try load(image) == bytes("two"))
  }

  private func rank(_ offset: Int) -> Int {
    switch offset {
    case CursorLayout.payloadOffset...: offset
    case CursorLayout.lengthOffset...: 100_000 + offset
    default: 200_000 + offset
    }
  }

  @Test("One damaged slot leaves the other; two leave nothing, and the cursor can be used again")
  func damagedSlots() throws {
    let cursor = try CursorFile(path: path)
    for text in ["one", "two", "three"] { cursor.save(bytes(text)) }
    let image = try folder.read("fork.cursor")
    // Slot 0 has "three", slot 1 has "two". Every byte that means something, in turn.
    for slot in 0..<2 {
      let offset = CursorLayout.offset(ofSlot: slot)
      let meaning = Array(0..<20) + Array(64..<64 + (slot == 0 ? 5 : 3))
      for byte in meaning {
        var damaged = image
        damaged[offset + byte] ^= 0x40
        #expect(try load(damaged) == bytes(slot == 0 ? "two" : "three"), "slot \(slot), byte \(byte)")
      }
    }
    var both = image
    both[CursorLayout.offset(ofSlot: 0) + 64] ^= 1
    both[CursorLayout.offset(ofSlot: 1) + 64] ^= 1
    #expect(try load(both) == nil)
    let again = try CursorFile(path: folder.file("image"))
    #expect(again.save(bytes("four")))
    #expect(again.load() == bytes("four"))
  }

  @Test("What is no cursor loads as nothing and is begun anew")
  func garbage() throws {
    var random = SeededRandom(seed: 21)
    let whole = CursorLayout.fileBytes
    let made = try CursorFile(path: path)
    made.save(bytes("saved"))
    let cursor = try folder.read("fork.cursor")
    var newer = cursor
    newer[8] = 2
    let images: [[UInt8]] = [
      [], [0], [UInt8](repeating: 0, count: whole), [UInt8](repeating: 255, count: whole),
      (0..<whole).map { _ in UInt8.random(in: 0...255, using: &random) },
      (0..<777).map { _ in UInt8.random(in: 0...255, using: &random) }, Array(cursor.dropLast()), cursor + [0], newer,
      Array(cursor.prefix(4096)),
    ]
    for (number, image) in images.enumerated() {
      #expect(try load(image) == nil, "image \(number)")
      let reused = try CursorFile(path: folder.file("image"))
      #expect(reused.load() == nil && reused.save(bytes("again")))
      reused.close()
      #expect(try CursorFile(path: folder.file("image")).load() == bytes("again"))
    }
  }

  @Test("Random damage loads as one of the saved payloads or as nothing", arguments: 1...10)
  func flips(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    let cursor = try CursorFile(path: path)
    cursor.save([UInt8](repeating: 1, count: 300))
    cursor.save([UInt8](repeating: 2, count: 9000))
    let image = try folder.read("fork.cursor")
    for _ in 0..<60 {
      var damaged = image
      for _ in 0..<Int.random(in: 1...20, using: &random) {
        let slot = CursorLayout.offset(ofSlot: Int.random(in: 0...1, using: &random))
        damaged[slot + Int.random(in: 0..<64, using: &random)] ^= 1 << UInt8.random(in: 0..<8, using: &random)
      }
      let loaded = try load(damaged)
      #expect(
        loaded == nil || loaded == [UInt8](repeating: 1, count: 300) || loaded == [UInt8](repeating: 2, count: 9000))
    }
  }

  @Test("A fork has one engine: the second to come is told so, until the first has gone")
  func oneOwner() throws {
    let first = try CursorFile(path: path)
    first.save(bytes("mine"))
    let error = #expect(throws: RingError.self) { try CursorFile(path: path) }
    #expect(error?.code == .inUse)
    #expect(error?.message.contains("belongs to another engine") == true)
    first.close()
    #expect(try CursorFile(path: path).load() == bytes("mine"))
  }

  @Test("Given up, it is free at once, even while a child that shares every descriptor is being started")
  func childBeingStarted() throws {
    let cursor = try CursorFile(path: path)
    cursor.save(bytes("mine"))
    let child = try ChildBeforeExec(in: folder)
    defer { child.finish() }
    #expect(throws: RingError.self) { try CursorFile(path: path) }
    cursor.close()
    #expect(try CursorFile(path: path).load() == bytes("mine"))
  }

  @Test("A missing folder, a link and a folder in its place are refused")
  func refused() throws {
    try folder.write([1, 2, 3], to: "precious")
    symlink(folder.file("precious"), folder.file("link"))
    #expect(throws: RingError.self) { try CursorFile(path: folder.file("no/such.cursor")) }
    #expect(throws: RingError.self) { try CursorFile(path: folder.path) }
    let error = #expect(throws: RingError.self) { try CursorFile(path: folder.file("link")) }
    #expect(error?.code == .foreign)
    #expect(try folder.read("precious") == [1, 2, 3])
  }
}

/// A child process held between its creation and its exec, where it shares even descriptors that are closed on exec:
/// the second of its file actions is to open a pipe that nobody writes.
private final class ChildBeforeExec {
  private let gate: String
  private let thread: ChildThread

  init(in folder: ScratchFolder) throws {
    let sign = folder.file("sign")
    gate = folder.file("gate")
    try #require(mkfifo(sign, 0o600) == 0 && mkfifo(gate, 0o600) == 0)
    thread = ChildThread(sign: sign, gate: gate)
    thread.start()
    // The child's end of `sign` is there: the child is.
    for _ in 0..<5000 {
      let descriptor = open(sign, O_WRONLY | O_NONBLOCK | O_CLOEXEC)
      if descriptor >= 0 {
        close(descriptor)
        return
      }
      usleep(1000)
    }
    Issue.record("the child did not come up to its gate")
  }

  /// Lets the child go on to its exec, and waits for its end.
  func finish() {
    // For both, so that it does not wait where the child has failed.
    let descriptor = open(gate, O_RDWR | O_CLOEXEC)
    thread.join()
    close(descriptor)
  }
}

/// posix_spawn returns only after the child's exec, so a thread of its own calls it.
/// @unchecked Sendable: `process` is written by the thread and read after it was joined.
private final class ChildThread: @unchecked Sendable {
  private let sign: String
  private let gate: String
  private var thread = pthread_t()
  private var process: pid_t = 0

  init(sign: String, gate: String) {
    self.sign = sign
    self.gate = gate
  }

  func start() {
    pthread_create(
      &thread, nil,
      { argument in
        Unmanaged<ChildThread>.fromOpaque(argument!).takeUnretainedValue().spawn()
        return nil
      }, Unmanaged.passUnretained(self).toOpaque())
  }

  func join() {
    pthread_join(thread, nil)
    if process > 0 { waitpid(process, nil, 0) }
  }

  private func spawn() {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, 1, sign, O_RDONLY | O_NONBLOCK, 0)
    posix_spawn_file_actions_addopen(&actions, 0, gate, O_RDONLY, 0)
    var arguments: [UnsafeMutablePointer<CChar>?] = [strdup("true"), nil]
    defer { free(arguments[0]) }
    posix_spawn(&process, "/bin/true", &actions, nil, &arguments, environ)
  }
}
