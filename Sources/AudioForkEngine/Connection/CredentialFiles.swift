// SPDX-License-Identifier: Apache-2.0
internal import AudioForkBytes
package import AudioForkSurface
package import AudioForkWebSocket
internal import Glibc
internal import NIOConcurrencyHelpers
internal import NIOCore
internal import NIOPosix

extension ConnectionFailure {
  /// A failure of `CredentialFiles`.
  fileprivate static func credentials(_ reason: String) -> ConnectionFailure {
    ConnectionFailure(credentialsWord + reason)
  }

  /// Whether it is one of `CredentialFiles`.
  var isCredentials: Bool { reason.hasPrefix(credentialsWord) }
}

/// What reasons about files with credentials begin with.
private let credentialsWord = "credentials: "

/// The files whose content a fork sends as headers (`token_file`, `header_file`). They are read for each attempt, so
/// that credentials may expire, and by threads that no event loop waits for.
package struct CredentialFiles: Sendable, Equatable {
  /// Longest first line of a token's file, blanks around it included.
  package static let tokenBytesMax = RequestField.valueMax
  /// Longest file with headers. Servers refuse longer request heads.
  package static let headersBytesMax = 16_384

  /// Threads of their own: reads from a file system that hangs must not keep certificates from being read.
  private static let threads: NIOThreadPool = {
    let threads = NIOThreadPool(numberOfThreads: 4)
    threads.start()
    return threads
  }()
  /// Reads that are under way or wait for a thread, at most `readsMax`. A read outlives an attempt that gave up.
  private static let reads = NIOLockedValueBox(0)
  private static let readsMax = 1000

  private let tokenFile: String
  private let headerFile: String

  /// Nil if the options name neither.
  package init?(_ options: ForkOptions) {
    guard !options.tokenFile.isEmpty || !options.headerFile.isEmpty else { return nil }
    tokenFile = String(decoding: options.tokenFile, as: UTF8.self)
    headerFile = String(decoding: options.headerFile, as: UTF8.self)
  }

  /// Reads the files. Fails with `ConnectionFailure`, whose reason names the file and nothing that is in it.
  func read(on loop: any EventLoop) -> EventLoopFuture<[RequestHeader]> {
    let mayRead = CredentialFiles.reads.withLockedValue { reads in
      guard reads < CredentialFiles.readsMax else { return false }
      reads += 1
      return true
    }
    guard mayRead else {
      return loop.makeFailedFuture(ConnectionFailure.credentials("\(CredentialFiles.readsMax) reads of files wait"))
    }
    let headers: EventLoopFuture<[RequestHeader]> = CredentialFiles.threads.runIfActive(eventLoop: loop) {
      try self.read()
    }
    headers.whenComplete { _ in CredentialFiles.reads.withLockedValue { $0 -= 1 } }
    return headers
  }

  /// The headers in the files, the token's last. Blocks.
  package func read() throws(ConnectionFailure) -> [RequestHeader] {
    var headers: [RequestHeader] = []
    if !headerFile.isEmpty {
      let bytes = try CredentialFiles.contents("header_file", headerFile, bytesMax: CredentialFiles.headersBytesMax + 1)
      headers = try CredentialFiles.named("header_file", headerFile) { () throws(CredentialError) in
        try CredentialFiles.headers(in: bytes)
      }
    }
    if !tokenFile.isEmpty {
      let bytes = try CredentialFiles.contents("token_file", tokenFile, bytesMax: CredentialFiles.tokenBytesMax + 2)
      let token = try CredentialFiles.named("token_file", tokenFile) { () throws(CredentialError) in
        try CredentialFiles.token(in: bytes)
      }
      headers = CredentialFiles.merged(
        headers, with: [RequestHeader(name: "Authorization", value: Array("Bearer ".utf8) + token)])
    }
    return headers
  }

  /// Headers, each replaced by a newer one of the same name.
  static func merged(_ headers: [RequestHeader], with newer: [RequestHeader]) -> [RequestHeader] {
    let names = Set(newer.map { $0.name.lowercased() })
    return headers.filter { !names.contains($0.name.lowercased()) } + newer
  }

  // MARK: - What the files hold

  /// What is wrong with a file's content.
  package struct CredentialError: Error, Equatable, Sendable {
    package let reason: String

    package init(reason: String) { self.reason = reason }
  }

  /// The first line, without blanks around it.
  package static func token(in bytes: [UInt8]) throws(CredentialError) -> [UInt8] {
    let end = bytes.firstIndex(of: .newline) ?? bytes.endIndex
    guard end <= tokenBytesMax else {
      throw CredentialError(reason: "its first line is longer than \(tokenBytesMax) bytes")
    }
    let token = trimmed(Array(bytes[..<end]))
    guard !token.isEmpty else {
      throw CredentialError(reason: bytes.isEmpty ? "it is empty" : "its first line is empty")
    }
    guard !token.contains(where: \.isControl) else {
      throw CredentialError(reason: "its first line has a control character")
    }
    return token
  }

  /// A header in each line; empty lines are skipped. Of one name the last one counts.
  package static func headers(in bytes: [UInt8]) throws(CredentialError) -> [RequestHeader] {
    guard bytes.count <= headersBytesMax else {
      throw CredentialError(reason: "it is longer than \(headersBytesMax) bytes")
    }
    var headers: [RequestHeader] = []
    for (index, part) in bytes.split(separator: .newline, omittingEmptySubsequences: false).enumerated() {
      let line = trimmed(Array(part))
      guard !line.isEmpty else { continue }
      guard let field = RequestField.header(line) else {
        throw CredentialError(
          reason: "line \(index + 1) is no header 'Name: value', or one that AudioFork makes itself")
      }
      headers = merged(
        headers, with: [RequestHeader(name: String(decoding: field.name, as: UTF8.self), value: field.value)])
    }
    guard !headers.isEmpty else { throw CredentialError(reason: "it has no header") }
    return headers
  }

  // MARK: - Files

  private static func named<Value>(
    _ setting: String, _ path: String, _ work: () throws(CredentialError) -> Value
  ) throws(ConnectionFailure) -> Value {
    do throws(CredentialError) {
      return try work()
    } catch {
      throw ConnectionFailure.credentials("\(setting) '\(shown(path))' cannot be used: \(error.reason)")
    }
  }

  /// At most so many bytes of a file, which has to be a regular one: others may never end.
  private static func contents(
    _ setting: String, _ path: String, bytesMax: Int
  ) throws(ConnectionFailure) -> [UInt8] {
    func failure(_ reason: String) -> ConnectionFailure {
      ConnectionFailure.credentials("\(setting) '\(shown(path))' cannot be read: \(reason)")
    }
    // A pipe without a writer must not hold the thread.
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
    guard descriptor >= 0 else { throw failure(String(cString: strerror(errno))) }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw failure(String(cString: strerror(errno))) }
    guard status.st_mode & S_IFMT == S_IFREG else { throw failure("it is not a file") }
    var bytes = [UInt8](repeating: 0, count: bytesMax)
    var count = 0
    while count < bytesMax {
      let part = bytes.withUnsafeMutableBytes {
        Glibc.read(descriptor, $0.baseAddress.map { $0 + count }, bytesMax - count)
      }
      if part < 0, errno == EINTR { continue }
      guard part >= 0 else { throw failure(String(cString: strerror(errno))) }
      if part == 0 { break }
      count += part
    }
    return Array(bytes.prefix(count))
  }
}
