// SPDX-License-Identifier: Apache-2.0
internal import Glibc

/// Where recordings go.
package struct RecordingFolder: Equatable, Sendable {
  /// Absolute path.
  package let path: String

  /// Checks that files can be made in a folder, and makes the folder itself if its parent exists: for this user alone,
  /// because recordings are calls. An existing folder keeps its permissions.
  /// - Throws: a `RecordingError` whose reason names the folder and says what to do.
  package init(preparing given: String) throws(RecordingError) {
    if mkdir(given, 0o700) != 0, errno != EEXIST {
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

  /// Creates a new file, `<stem>.wav` or, where that exists, `<stem>-2.wav` and so on, for this process alone. Never
  /// opens an existing one.
  package func create(stem: String) throws(RecordingError) -> (descriptor: CInt, path: String) {
    for attempt in 1...RecordingFolder.attemptsMax {
      let file = name(stem, attempt)
      let descriptor = open(file, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
      if descriptor >= 0 {
        // Nobody else has the name yet, so that this cannot fail; a receiver that opens the file later fails.
        flock(descriptor, LOCK_EX | LOCK_NB)
        return (descriptor, file)
      }
      guard errno == EEXIST || errno == EINTR else {
        throw RecordingError(reason: "cannot create \(file): \(RecordingFolder.text(errno))")
      }
    }
    throw RecordingError(reason: "cannot create \(path)/\(stem).wav: it and all its numbered variants exist")
  }

  /// Opens a fork's file for this process alone: the first of `<stem>.wav`, `<stem>-2.wav` and so on that does not
  /// exist, and is then created, or that `accepts` wants to continue, given the open file.
  package func openOrCreate(
    stem: String, where accepts: (CInt) -> Bool = { _ in true }
  ) throws(RecordingError) -> (descriptor: CInt, path: String) {
    for attempt in 1...RecordingFolder.attemptsMax {
      let file = name(stem, attempt)
      let descriptor = open(file, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0o600)
      guard descriptor >= 0 else {
        throw RecordingError(reason: "cannot open \(file): \(RecordingFolder.text(errno))")
      }
      if let reason = RecordingFolder.refusal(descriptor) {
        Glibc.close(descriptor)
        throw RecordingError(reason: "cannot go on with \(file): \(reason)")
      }
      if accepts(descriptor) { return (descriptor, file) }
      Glibc.close(descriptor)
    }
    throw RecordingError(reason: "cannot go on with \(path)/\(stem).wav or any of its numbered variants")
  }

  /// Forces the names of the files to the disk. Blocks.
  func sync() throws(RecordingError) {
    let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else {
      throw RecordingError(reason: "cannot open the folder \(path): \(RecordingFolder.text(errno))")
    }
    defer { close(descriptor) }
    // EINVAL: the file system cannot force folders to the disk (fsync(2)).
    guard fsync(descriptor) == 0 || errno == EINVAL else {
      throw RecordingError(reason: "cannot force the folder \(path) to the disk: \(RecordingFolder.text(errno))")
    }
  }

  /// Why an open file is not ours to continue, or nil. Whoever may create files in the folder could have put it there.
  private static func refusal(_ descriptor: CInt) -> String? {
    var status = stat()
    if fstat(descriptor, &status) != 0 || status.st_mode & S_IFMT != S_IFREG { return "it is not a regular file" }
    if status.st_uid != geteuid() { return "it belongs to another user" }
    // A hard link could be to any file of this user's, outside of the folder too.
    if status.st_nlink != 1 { return "it has \(status.st_nlink) hard links instead of one" }
    if flock(descriptor, LOCK_EX | LOCK_NB) != 0 { return "another receiver writes it" }
    return nil
  }

  private func name(_ stem: String, _ attempt: Int) -> String {
    "\(path)/\(stem)\(attempt == 1 ? "" : "-\(attempt)").wav"
  }

  /// Streams with one path and fork id in one second; far more than a client that reconnects can make.
  private static let attemptsMax = 10_000

  private static func text(_ code: CInt) -> String { String(cString: strerror(code)) }
}
