// SPDX-License-Identifier: Apache-2.0
internal import Glibc

/// The tokens of `--token-file`. A client has to send one of them as `Authorization: Bearer TOKEN` (RFC 6750 section
/// 2.1). Only their digests are kept.
package struct AccessTokens: Sendable {
  private let digests: [[UInt8]]

  /// Shortest token: 16 characters of base64 are 96 bits.
  package static let lengthMin = 16
  package static let lengthMax = 512
  /// Most tokens in a file.
  package static let countMax = 1000
  private static let fileBytesMax = 1 << 20

  /// Reads a file with one token on each line. Empty lines, and lines that begin with `#`, are left out. Blocks.
  /// - Throws: `RecordingError` with the file's name, the cause and the remedy, but never a token.
  package init(readingFile path: String) throws(RecordingError) {
    let text = try AccessTokens.contents(path)
    var digests: [[UInt8]] = []
    for (index, line) in text.split(separator: 10, omittingEmptySubsequences: false).enumerated() {
      let token = AccessTokens.trimmed(line)
      if token.isEmpty || token.first == UInt8(ascii: "#") { continue }
      let isToken = token.allSatisfy { $0 > 32 && $0 < 127 }
      guard isToken, (AccessTokens.lengthMin...AccessTokens.lengthMax).contains(token.count) else {
        throw RecordingError(
          reason: "line \(index + 1) of the token file \(path) is no token: it needs \(AccessTokens.lengthMin) to "
            + "\(AccessTokens.lengthMax) visible ASCII characters; make one with 'openssl rand -hex 32'")
      }
      digests.append(SHA256.digest(token))
    }
    guard !digests.isEmpty, digests.count <= AccessTokens.countMax else {
      throw RecordingError(
        reason: "the token file \(path) has "
          + (digests.isEmpty ? "no token" : "more than \(AccessTokens.countMax) tokens")
          + "; write one token on each line")
    }
    self.digests = digests
  }

  /// Returns the digest of the token in the values of the header Authorization, or nil where it is none of ours. The
  /// time that it takes says nothing about how much of a token was right.
  package func digest(authorization values: [String]) -> [UInt8]? {
    guard values.count == 1, let value = values.first else { return nil }
    let parts = value.split(separator: " ", maxSplits: 1)
    guard parts.count == 2, parts[0].lowercased() == "bearer" else { return nil }
    let token = AccessTokens.trimmed(Array(parts[1].utf8)[...])
    // Longer ones are in no token file: don't spend time on their digests.
    guard token.count <= AccessTokens.lengthMax else { return nil }
    let given = SHA256.digest(token)
    var isKnown = false
    for digest in digests {
      var difference: UInt8 = 0
      for (left, right) in zip(digest, given) { difference |= left ^ right }
      isKnown = isKnown || difference == 0
    }
    return isKnown ? given : nil
  }

  private static func trimmed(_ line: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
    let isBlank: (UInt8) -> Bool = { $0 == 32 || $0 == 9 || $0 == 13 }
    var line = line.drop(while: isBlank)
    while let last = line.last, isBlank(last) { line.removeLast() }
    return line
  }

  private static func contents(_ path: String) throws(RecordingError) -> [UInt8] {
    func failed(_ what: String) -> RecordingError { RecordingError(reason: "the token file \(path) \(what)") }
    // Not to wait for the other end, should it be a pipe.
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else { throw failed("cannot be read: \(String(cString: strerror(errno)))") }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw failed("cannot be read: \(String(cString: strerror(errno)))") }
    guard status.st_mode & S_IFMT == S_IFREG else { throw failed("is not a regular file") }
    guard status.st_uid == geteuid() || status.st_uid == 0 else {
      throw failed("belongs to another user; it has to belong to the user that runs this program, or to root")
    }
    guard status.st_mode & 0o027 == 0 else {
      throw failed("is open to other users; 'chmod 600' it, or 640 where its group has to read it")
    }
    guard status.st_size <= fileBytesMax else { throw failed("is longer than 1 MiB") }
    var bytes: [UInt8] = []
    var block = [UInt8](repeating: 0, count: 65_536)
    while bytes.count <= fileBytesMax {
      let count = read(descriptor, &block, block.count)
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else { throw failed("cannot be read: \(String(cString: strerror(errno)))") }
      if count == 0 { break }
      bytes += block.prefix(count)
    }
    return bytes
  }
}
