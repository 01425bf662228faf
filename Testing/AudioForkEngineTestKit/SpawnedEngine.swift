// SPDX-License-Identifier: Apache-2.0
package import AudioForkLink
package import AudioForkTestKit
package import Glibc
internal import Testing

/// The engine as the module starts it: a process at the other end of a socketpair on descriptor 3.
package final class SpawnedEngine {
  private let child: ChildProcess
  private var link: CInt
  private var parser = LinkParser()
  package private(set) var messages: [LinkMessage] = []
  package var process: pid_t { child.identifier }

  /// A product beside the test bundle.
  private static func executable(_ name: String) -> String {
    var path = [CChar](repeating: 0, count: 4096)
    let count = max(0, readlink("/proc/self/exe", &path, path.count - 1))
    let own = String(decoding: path.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    return own.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/") + "/\(name)"
  }

  /// `linkBufferBytes`: what the link holds of what the engine says, where it is less than usual. `user`: the user id
  /// that it runs as, where the test is root's. `program`: what an audiofork.conf names as the engine. `libraries`: a
  /// folder in which the loader looks for libraries first. `rules`: what it confines itself to; nil: it does not.
  /// `etc`: a folder that it sees as /etc, where the test is root's.
  package init(
    _ directory: ScratchFolder, linkBufferBytes: CInt? = nil, user: Int? = nil, program: String = "audiofork-engine",
    libraries: String? = nil, rules: EngineRules? = nil, etc: String? = nil
  ) throws {
    var pair: [CInt] = [-1, -1]
    try #require(socketpair(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0, &pair) == 0)
    _ = fcntl(pair[0], F_SETFD, FD_CLOEXEC)
    link = pair[0]
    if var linkBufferBytes {
      setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &linkBufferBytes, socklen_t(MemoryLayout<CInt>.size))
    }
    let words = ["audiofork", "engine", "--link", "3", "--directory", directory.path]
    // "exec -a" keeps the name under which the module starts it.
    let executable = SpawnedEngine.executable(program)
    let renamed = ["-c", #"exec -a "$0" "$@""#, words[0], executable] + words.dropFirst()
    let asUser = user.map { ["/usr/bin/setpriv", "--reuid", "\($0)", "--clear-groups", "bash"] + renamed }
    let elsewhere = etc.map { etc in
      ["/usr/bin/unshare", "-m", "bash", "-c", #"mount --bind "$1" /etc && shift && exec -a "$0" "$@""#, words[0], etc]
        + [executable] + words.dropFirst()
    }
    let wrapped = elsewhere ?? asUser
    let file = try rules.map { try SpawnedEngine.file($0.encoded) }
    defer { if let file { close(file) } }
    var environment = ["PATH": "/usr/bin:/bin", "SWIFT_BACKTRACE": "enable=no"]
    if let libraries { environment["LD_LIBRARY_PATH"] = libraries }
    defer { close(pair[1]) }
    child = try ChildProcess(
      wrapped?.first ?? executable, Array((wrapped ?? words).dropFirst()),
      name: wrapped == nil ? words[0] : nil, environment: .only(environment),
      // 9 as a careless parent would leave it behind: the engine has to close it.
      descriptors: [3: pair[1], 9: pair[1]].merging(file.map { [0: $0] } ?? [:]) { link, _ in link },
      output: .discarded)
  }

  /// A file without a name that holds the bytes.
  private static func file(_ bytes: [UInt8]) throws -> CInt {
    let name = "/dev/shm/audiofork-rules-\(UInt64.random(in: 0...UInt64.max))"
    let file = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    try #require(file >= 0)
    unlink(name)
    try #require(write(file, bytes, bytes.count) == bytes.count)
    return file
  }

  deinit { if link >= 0 { close(link) } }

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
      parser.append(buffer.prefix(count))
      while let message = try? parser.next() { messages.append(message) }
    }
  }

  package func has(_ kind: LinkMessageKind) -> Bool {
    receive()
    return messages.contains { $0.kind == kind }
  }

  /// Lines for Asterisk's log so far.
  package var logLines: [String] {
    receive()
    return messages.filter { $0.kind == .log }.compactMap { $0.fields.text(.text) }
  }

  package func text(_ kind: LinkMessageKind, _ field: LinkField) -> String? {
    messages.first { $0.kind == kind }.flatMap { $0.fields.text(field) }
  }

  package func signal(_ number: CInt) { child.signal(number) }

  /// As Asterisk's death: nobody is there any more.
  package func closeLink() {
    close(link)
    link = -1
  }

  /// As the module's unloading: it says no more, but listens.
  package func shutdownLink() { shutdown(link, CInt(SHUT_WR)) }

  /// Whether its end left a core file behind. Valid once `exitStatus` is there.
  package var hasDumpedCore: Bool { child.hasDumpedCore }

  /// The exit status, 128 + n after signal n; nil while it runs.
  package var exitStatus: CInt? { child.exitStatus }

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
