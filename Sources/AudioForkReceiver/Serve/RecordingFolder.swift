// SPDX-License-Identifier: Apache-2.0
internal import Glibc

/// Where recordings go.
package struct RecordingFolder: Equatable, Sendable {
  /// Absolute path.
  package let path: String

  /// Checks that files can be made in a folder, and makes the folder itself if its parent exists.
  /// - Throws: a `RecordingError` whose reason names the folder and says what to do.
  package init(preparing given: String) throws(RecordingError) {
    if mkdir(given, 0o755) != 0, errno != EEXIST {
      let hint = errno == ENOENT ? "; create its parent folder first" : ""
      throw RecordingError(reason: "cannot create the folder \(given): \(RecordingFolder.text(errno))\(hint)")
    }
    var status = stat()
    guard stat(given, &status) == 0 else {
      throw RecordingError(reason: "cannot look at the folder \(given): \(RecordingFolder.text(errno))")
    }
    guard status.st_mode & S_IFMT == S_IFDIR else {
      throw RecordingError(reason: "\(given) is not a folder; give another one with --out")
    }
    guard access(given, W_OK | X_OK) == 0 else {
      throw RecordingError(
        reason: "cannot write into the folder \(given): \(RecordingFolder.text(errno)); give another one with --out")
    }
    guard let resolved = realpath(given, nil) else {
      throw RecordingError(reason: "cannot resolve the folder \(given): \(RecordingFolder.text(errno))")
    }
    path = String(cString: resolved)
    free(resolved)
  }

  /// Creates a new file, `<stem>.wav` or, where that exists, `<stem>-2.wav` and so on. Never opens an existing one.
  package func create(stem: String) throws(RecordingError) -> (descriptor: CInt, path: String) {
    for attempt in 1...RecordingFolder.attemptsMax {
      let file = "\(path)/\(stem)\(attempt == 1 ? "" : "-\(attempt)").wav"
      let descriptor = open(file, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o644)
      if descriptor >= 0 { return (descriptor, file) }
      guard errno == EEXIST || errno == EINTR else {
        throw RecordingError(reason: "cannot create \(file): \(RecordingFolder.text(errno))")
      }
    }
    throw RecordingError(reason: "cannot create \(path)/\(stem).wav: it and all its numbered variants exist")
  }

  /// Opens `<stem>.wav`, which it creates where there is none, for this process alone.
  package func openOrCreate(stem: String) throws(RecordingError) -> (descriptor: CInt, path: String) {
    let file = "\(path)/\(stem).wav"
    let descriptor = open(file, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0o644)
    guard descriptor >= 0 else {
      throw RecordingError(reason: "cannot open \(file): \(RecordingFolder.text(errno))")
    }
    var status = stat()
    var reason: String?
    if fstat(descriptor, &status) != 0 || status.st_mode & S_IFMT != S_IFREG {
      reason = "it is not a regular file"
    } else if flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
      reason = "another receiver writes it"
    }
    guard let reason else { return (descriptor, file) }
    Glibc.close(descriptor)
    throw RecordingError(reason: "cannot go on with \(file): \(reason)")
  }

  /// Streams with one path and fork id in one second; far more than a client that reconnects can make.
  private static let attemptsMax = 10_000

  private static func text(_ code: CInt) -> String { String(cString: strerror(code)) }
}
