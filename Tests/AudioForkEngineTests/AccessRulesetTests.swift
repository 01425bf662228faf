// SPDX-License-Identifier: Apache-2.0
import AudioForkEngine
import AudioForkTestKit
import CAudioForkProcess
import Foundation
import Testing

/// The kernel's rules on a thread of the test, which ends with it: Landlock and seccomp are a thread's.
@Suite("Rules of the kernel", .enabled(if: af_landlock_level() > 0, "the kernel has no Landlock"))
struct AccessRulesetTests {
  /// Does the work on a confined thread. Returns what it returns.
  private func confined<Result: Sendable>(
    _ grants: [AccessPlan.Grant], level: Int = Int(af_landlock_level()), limitsReading: Bool = true,
    _ work: @escaping @Sendable () -> Result
  ) throws -> Result {
    var ruleset = try #require(
      AccessRuleset(level: level, limitsSockets: true, limitsReading: limitsReading))
    ruleset.allow(grants)
    let descriptor = ruleset.descriptor
    nonisolated(unsafe) var result: Result?
    let isDone = DispatchSemaphore(value: 0)
    Thread {
      if af_landlock_enforce(descriptor) == 0, af_refuse_local_sockets() == 0 { result = work() }
      isDone.signal()
    }.start()
    isDone.wait()
    ruleset.close()
    return try #require(result)
  }

  /// 0 or the errno.
  private static func opens(_ path: String, _ flags: CInt) -> CInt {
    let file = open(path, flags | O_CLOEXEC, 0o600)
    guard file >= 0 else { return errno }
    close(file)
    return 0
  }

  private func write(_ path: String) throws { try Data("text".utf8).write(to: URL(fileURLWithPath: path)) }

  @Test("In its folders it keeps files, and elsewhere it neither reads, makes, changes, moves nor removes any")
  func files() throws {
    let (mine, read, other) = (try ScratchFolder(), try ScratchFolder(), try ScratchFolder())
    for folder in [mine, read, other] { try write(folder.file("a")) }
    let paths = (mine.path, read.path, other.path)
    let answers = try confined([.init(mine.path, .keepFiles), .init(read.path, .read)]) { () -> [CInt] in
      let (mine, read, other) = paths
      var answers = [
        Self.opens("\(mine)/new", O_RDWR | O_CREAT | O_EXCL), Self.opens("\(mine)/a", O_WRONLY | O_TRUNC),
        unlink("\(mine)/new"), Self.opens("\(read)/a", O_RDONLY), Self.opens(read, O_RDONLY | O_DIRECTORY),
      ]
      answers += [
        Self.opens("\(read)/a", O_WRONLY), Self.opens("\(read)/new", O_WRONLY | O_CREAT),
        truncate("\(read)/a", 0) == 0 ? 0 : errno, unlink("\(read)/a") == 0 ? 0 : errno,
        rename("\(mine)/a", "\(read)/b") == 0 ? 0 : errno,
        Self.opens("\(other)/a", O_RDONLY), Self.opens(other, O_RDONLY | O_DIRECTORY),
        Self.opens("\(other)/new", O_WRONLY | O_CREAT), mkdir("\(mine)/folder", 0o700) == 0 ? 0 : errno,
        symlink("/etc", "\(mine)/link") == 0 ? 0 : errno,
      ]
      return answers
    }
    #expect(answers.prefix(5).allSatisfy { $0 == 0 }, "\(answers)")
    #expect(answers.dropFirst(5).allSatisfy { $0 == EACCES || $0 == EXDEV }, "\(answers)")
    #expect(read.names == ["a"] && other.names == ["a"] && mine.names == ["a"])
  }

  @Test("It starts no program, opens no local socket, and signals nobody else")
  func others() throws {
    let parent = getppid()
    let level = af_landlock_level()
    let answers = try confined([.init("/usr", .read), .init("/dev/shm", .keepFilesAndFolders)]) { () -> [CInt] in
      var process: pid_t = 0
      let local = socket(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0) >= 0 ? 0 : errno
      let network = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
      close(network)
      var pair: [CInt] = [-1, -1]
      let paired = socketpair(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0, &pair)
      pair.forEach { close($0) }
      return [
        posix_spawn(&process, "/usr/bin/true", nil, nil, [nil], [nil]), local, kill(parent, 0) == 0 ? 0 : errno,
        network < 0 ? errno : 0, paired,
      ]
    }
    #expect(answers == [EACCES, EPERM, level >= 6 ? EPERM : 0, 0, 0])
  }

  @Test("A process for look-ups that cannot confine itself is none")
  func namesWithoutRules() { #expect(af_names_start(-1) == -EPIPE) }

  @Test("The filter of the process for look-ups refuses programs and listening, and leaves local sockets")
  func names() async throws {
    var ruleset = try #require(AccessRuleset(level: Int(af_landlock_level()), limitsSockets: false))
    ruleset.allow([.init("/usr", .read)])
    let descriptor = ruleset.descriptor
    let answers = await withCheckedContinuation { continuation in
      Thread {
        guard af_landlock_enforce(descriptor) == 0, af_refuse_programs_and_servers() == 0 else {
          return continuation.resume(returning: [CInt]())
        }
        let local = socket(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0)
        let network = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
        let listens = listen(network, 1) == 0 ? 0 : errno
        var process: pid_t = 0
        let spawns = posix_spawn(&process, "/usr/bin/true", nil, nil, [nil], [nil])
        close(local)
        close(network)
        continuation.resume(returning: [local < 0 ? -1 : 0, network < 0 ? -1 : 0, listens, spawns])
      }.start()
    }
    ruleset.close()
    #expect(answers == [0, 0, EPERM, EPERM])
  }

  @Test("At each level of the kernel's interface the rules are taken", arguments: 1...7)
  func levels(level: Int) throws {
    guard level <= Int(af_landlock_level()) else { return }
    let folder = try ScratchFolder()
    let path = folder.path
    let answers = try confined([.init(path, .keepFilesAndFolders)], level: level) {
      [Self.opens("\(path)/a", O_WRONLY | O_CREAT | O_TRUNC), Self.opens("/etc/hostname", O_RDONLY)]
    }
    #expect(answers == [0, EACCES])
  }

  @Test("Reading can be left free")
  func reading() throws {
    let folder = try ScratchFolder()
    try write(folder.file("a"))
    let path = folder.file("a")
    #expect(
      try confined([], limitsReading: false) { [Self.opens(path, O_RDONLY), Self.opens(path, O_WRONLY)] } == [
        0, EACCES,
      ])
  }
}
