// SPDX-License-Identifier: Apache-2.0
import AudioForkMedia
import AudioForkEngine
import AudioForkSurface
import AudioForkRing
import AudioForkTestKit
import Glibc
import NIOCore
import NIOPosix
import Testing

@Suite("What nobody delivers any more")
struct SpoolLeftoversTests {
  private let folder: ScratchFolder
  private let identity = StreamEpoch(monotonic: 7, wall: -9)

  init() throws { folder = try ScratchFolder() }

  /// Makes a spool file that was last written so many seconds ago.
  private func leave(_ name: String, secondsAgo: Int) throws {
    let file = try #require(try SpoolFile.open(path: folder.file(name), identity, creates: true))
    file.file.close()
    let when = timeval(tv_sec: time(nil) - secondsAgo, tv_usec: 0)
    #expect(utimes(folder.file(name), [when, when]) == 0)
  }

  @Test("Spool files without a fork are removed after two days, in the folders that forks have used")
  func removed() throws {
    let store = SpoolStore()
    let now = Int(time(nil))
    let age = SpoolStore.leftoverAge
    try leave("old-1.spool", secondsAgo: age + 60)
    try leave("old-2.spool", secondsAgo: 10 * age)
    try leave("young.spool", secondsAgo: age - 60)
    try leave("ringing.spool", secondsAgo: 10 * age)
    try leave("open.spool", secondsAgo: 10 * age)
    try leave("no fork's.spool", secondsAgo: 10 * age)
    try leave("old.other", secondsAgo: 10 * age)
    let open = try #require(try SpoolFile.open(path: folder.file("open.spool"), identity, creates: false))
    defer { open.file.close() }
    func remove() -> [SpoolStore.Leftovers] { store.removeLeftovers(now: now) { $0 == "ringing" } }
    #expect(remove() == [], "no fork has used the folder")
    store.uses(folder.path)
    store.uses("/nowhere")
    let found = try #require(remove().first)
    #expect((found.folder, found.files, found.bytes) == (folder.path, 2, 2 * SpoolFile.headerBytes))
    #expect(folder.names == ["no fork's.spool", "old.other", "open.spool", "ringing.spool", "young.spool"])
    #expect(remove() == [])
    #expect(found.message.hasPrefix("2 spool files of 1 kB in '\(folder.path)' belonged to forks that no longer exist"))
  }

  @Test("The age is beyond what any fork may take after its call")
  func age() throws {
    var options = ForkOptions()
    let longest = Array("\(ForkOptions.spoolSecondsMax)".utf8)
    let key = try #require(ProfileKey.named(Array("spool_time".utf8)))
    try options.apply(key, longest)
    #expect(options.spoolSeconds == ForkOptions.spoolSecondsMax)
    #expect(throws: OptionError.self) { try options.apply(key, longest + [UInt8(ascii: "0")]) }
    #expect(SpoolStore.leftoverAge >= 2 * ForkOptions.spoolSecondsMax)
  }

  @Test("A fork with a spool makes its folder one of those that are looked at")
  func used() async throws {
    let store = SpoolStore()
    let loop = MultiThreadedEventLoopGroup.singleton.next()
    let settings = ForkSpool.Settings(folder: folder.path, limit: 1000, isSynced: false)
    let identity = identity
    try leave("old.spool", secondsAgo: 2 * SpoolStore.leftoverAge)
    try await loop.submit {
      let spool = ForkSpool(id: "af-1", settings: settings, epoch: identity, store: store, loop: loop) { _ in }
      spool.close(keeps: false)
    }.get()
    #expect(store.removeLeftovers(now: Int(time(nil))) { _ in false }.map(\.files) == [1])
  }

  @Test("A fork has a ring in whichever Asterisk's directory it lies")
  func rings() {
    let directories = ["0123456789ab", "ba9876543210"].map { folder.file($0) }
    let files = ["\(directories[0])/af-1.ring", "\(directories[0])/af-1.cursor", "\(directories[1])/af-2.ring"]
    defer {
      for file in files { unlink(file) }
      for directory in directories { rmdir(directory) }
    }
    for directory in directories { #expect(mkdir(directory, 0o700) == 0) }
    for file in files { close(creat(file, 0o600)) }
    #expect(ForkAdoption(beside: directories[1]).rings() == ["af-1", "af-2"])
  }

  @Test("What dead Asterisks leave is looked for each 5 s in the first minute, then each 10 minutes without an end")
  func rounds() async {
    struct Over: Error {}
    var pauses: [Duration] = []
    var looks: [Bool] = []
    await AdoptionRounds.run { pause in
      pauses.append(pause)
      guard pauses.count < 500 else { throw Over() }
    } look: { isEarly in
      looks.append(isEarly)
    }
    #expect(looks.count == 500)
    #expect(pauses.prefix(12).allSatisfy { $0 == .seconds(5) })
    #expect(pauses.dropFirst(12).allSatisfy { $0 == .seconds(600) })
    #expect(looks.prefix(12).allSatisfy { $0 } && !looks.dropFirst(12).contains(true))
  }
}
