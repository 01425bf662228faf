// SPDX-License-Identifier: Apache-2.0
package import AudioForkTap
package import AudioForkTestKit
package import CAudioForkABI
internal import Glibc
internal import Testing

/// The engine as the module starts it: a process at the other end of a socketpair on descriptor 3.
package final class SpawnedEngine {
  package let process: pid_t
  private var link: CInt
  private var parser = LinkParser()
  package private(set) var messages: [LinkMessage] = []
  private var status: CInt?

  /// A product beside the test bundle.
  private static func executable(_ name: String) -> String {
    var path = [CChar](repeating: 0, count: 4096)
    let count = max(0, readlink("/proc/self/exe", &path, path.count - 1))
    let own = String(decoding: path.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    return own.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/") + "/\(name)"
  }

  /// `linkBufferBytes`: what the link holds of what the engine says, where it is less than usual. `user`: the user id
  /// that it runs as, where the test is root's. `program`: what an audiofork.conf names as the engine. `libraries`: a
  /// folder in which the loader looks for libraries first.
  package init(
    _ directory: ScratchFolder, linkBufferBytes: CInt? = nil, user: Int? = nil, program: String = "audiofork-engine",
    libraries: String? = nil
  ) throws {
    var pair: [CInt] = [-1, -1]
    try #require(socketpair(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0, &pair) == 0)
    _ = fcntl(pair[0], F_SETFD, FD_CLOEXEC)
    link = pair[0]
    if var linkBufferBytes {
      setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &linkBufferBytes, socklen_t(MemoryLayout<CInt>.size))
    }
    let words = ["audiofork", "engine", "--link", "3", "--directory", directory.path]
    process = try SpawnedEngine.spawn(
      words, program: SpawnedEngine.executable(program), link: pair[1], user: user, libraries: libraries)
    close(pair[1])
  }

  deinit {
    if link >= 0 { close(link) }
    if status == nil {
      kill(process, SIGKILL)
      var status: CInt = 0
      waitpid(process, &status, 0)
    }
  }

  private static func spawn(
    _ words: [String], program executable: String, link: CInt, user: Int?, libraries: String?
  ) throws -> pid_t {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDWR, 0)
    posix_spawn_file_actions_adddup2(&actions, 0, 1)
    posix_spawn_file_actions_adddup2(&actions, 0, 2)
    posix_spawn_file_actions_adddup2(&actions, link, 3)
    // As a careless parent would leave it behind: the engine has to close it.
    posix_spawn_file_actions_adddup2(&actions, link, 9)
    // "exec -a" keeps the name under which the module starts it.
    let wrapped = user.map {
      ["setpriv", "--reuid", "\($0)", "--clear-groups", "bash", "-c", #"exec -a "$0" "$@""#, words[0], executable]
        + words.dropFirst()
    }
    let arguments = (wrapped ?? words).map { strdup($0) } + [nil]
    let settings = ["PATH=/usr/bin:/bin", "SWIFT_BACKTRACE=enable=no"] + (libraries.map { ["LD_LIBRARY_PATH=\($0)"] } ?? [])
    let environment = settings.map { strdup($0) } + [nil]
    defer { for text in arguments + environment { free(text) } }
    var process: pid_t = 0
    let program = user == nil ? executable : "/usr/bin/setpriv"
    try #require(posix_spawn(&process, program, &actions, nil, arguments, environment) == 0, "\(program)")
    return process
  }

  package func send(_ bytes: [UInt8]) {
    var done = 0
    while done < bytes.count {
      let count = bytes[done...].withUnsafeBytes { Glibc.send(link, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL)) }
      guard count > 0 else { return }
      done += count
    }
  }

  /// Takes what has come. False: the engine closed its end.
  @discardableResult
  package func receive() -> Bool {
    var buffer = [UInt8](repeating: 0, count: 16_384)
    while true {
      let count = recv(link, &buffer, buffer.count, CInt(MSG_DONTWAIT))
      if count == 0 { return false }
      guard count > 0 else { return errno == EAGAIN }
      buffer.prefix(count).withUnsafeBytes { parser.append($0) }
      while let message = parser.next() { messages.append(message) }
    }
  }

  package func has(_ type: af_link_type) -> Bool {
    receive()
    return messages.contains { UInt32($0.type) == type.rawValue }
  }

  package func text(_ type: af_link_type, _ field: af_field) -> String? {
    guard let message = messages.first(where: { UInt32($0.type) == type.rawValue }) else { return nil }
    return message.text(UInt16(field.rawValue)).map { String(decoding: $0, as: UTF8.self) }
  }

  package func signal(_ number: CInt) { kill(process, number) }

  /// As Asterisk's death: nobody is there any more.
  package func closeLink() {
    close(link)
    link = -1
  }

  /// As the module's unloading: it says no more, but listens.
  package func shutdownLink() { shutdown(link, CInt(SHUT_WR)) }

  /// Whether its end left a core file behind. Valid once `exitStatus` is there.
  package private(set) var hasDumpedCore = false

  /// The exit status, 128 + n after signal n; nil while it runs.
  package var exitStatus: CInt? {
    if let status { return status }
    var word: CInt = 0
    guard waitpid(process, &word, WNOHANG) == process else { return nil }
    status = word & 0x7F == 0 ? word >> 8 & 0xFF : 128 + (word & 0x7F)
    hasDumpedCore = word & 0x7F != 0 && word & 0x80 != 0
    return status
  }

  /// The beginning of a file of /proc about the process.
  package func file(_ name: String) -> [UInt8] {
    let descriptor = open("/proc/\(process)/\(name)", O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return [] }
    defer { close(descriptor) }
    var bytes = [UInt8](repeating: 0, count: 16_384)
    let count = read(descriptor, &bytes, bytes.count)
    return Array(bytes.prefix(max(0, count)))
  }

  /// What the process's descriptors are, by number.
  package var descriptors: Set<Int> {
    guard let folder = opendir("/proc/\(process)/fd") else { return [] }
    defer { closedir(folder) }
    var numbers: Set<Int> = []
    while let entry = readdir(folder) {
      let name = withUnsafeBytes(of: entry.pointee.d_name) { bytes in
        String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
      }
      if let number = Int(name) { numbers.insert(number) }
    }
    return numbers
  }
}
