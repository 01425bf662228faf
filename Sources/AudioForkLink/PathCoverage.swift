// SPDX-License-Identifier: MIT
package import AudioForkBytes
package import AudioForkSurface

private let slash = UInt8(ascii: "/")

/// A path that a fork names, and where it leads at this moment.
package struct NamedPath: Sendable {
  package let path: Bytes
  /// Whether there is such a file or folder.
  let exists: Bool
  /// Without symbolic links. Of a file that does not exist, the place where it would be; nil where the folder for it
  /// does not exist either.
  let real: Bytes?

  /// Where it leads is not looked at.
  package init(text path: Bytes) {
    self.path = path
    exists = false
    real = nil
  }

  /// `resolve` returns a path without symbolic links, or nil where there is no such file.
  package init(_ path: Bytes, resolve: (Bytes) -> Bytes?) {
    self.path = path
    if let real = resolve(path) {
      exists = true
      self.real = real
    } else {
      exists = false
      real = resolve(folder(of: path)).map { $0 + [slash] + name(of: path) }
    }
  }
}

/// Which files and folders an engine may open that was started with certain rules: the module's half of what the engine
/// decides at its start (AudioForkEngine's AccessPlan).
///
/// An engine's grants are for files and folders, not for paths. So symbolic links count, and what did not exist when
/// the engine started is not granted. Where both halves might differ about a file, this one says no: the engine is then
/// replaced without need, while a wrong yes would leave a fork without its file. Of spool folders it compares the
/// texts.
package struct PathCoverage: Sendable {
  private struct Named: Sendable {
    let path: Bytes
    /// It existed when the engine was started.
    let existed: Bool
  }

  private var files: [Named] = []
  private var spoolFolders: [Bytes] = []
  /// Folders for files as they are named, each with a "/" at its end, if their names do not forbid to grant them.
  private var namedFolders: [Bytes] = []
  /// Folders that are granted with all that they hold, without symbolic links.
  private var fileFolders: [Bytes] = []
  /// Folders with a "/" at their end that are granted with all spools below them, as they are named.
  private var foldersOfSpools: [Bytes] = []

  /// Call it right before the engine is started. `privateFolders`: those of the rules without symbolic links. `resolve`
  /// as for `NamedPath`: it is asked about files and their folders alone, and may block where these are on a file
  /// system that hangs. Spool folders, which may well be on a network's, are compared as texts.
  package init(_ rules: EngineRules, privateFolders: [Bytes], resolve: (Bytes) -> Bytes?) {
    func grant(_ folder: Bytes?, _ use: PathUse, _ folders: inout [Bytes]) {
      guard let folder, EngineRules.mayAllowAll(in: folder, use, besides: privateFolders) else { return }
      if !folders.contains(folder) { folders.append(folder) }
    }
    for path in rules.paths(.file) {
      let real = resolve(path)
      guard path.last != slash else {
        if EngineRules.mayAllowAll(in: path, .file, besides: privateFolders) { namedFolders.append(path) }
        grant(real, .file, &fileFolders)
        continue
      }
      files.append(Named(path: path, existed: real != nil))
      // A file's folder is granted with it where that is allowed, so that a file that was replaced by rename is covered
      // too. Elsewhere it is the engine that notices: it looks every 5 seconds, and leaves so that a new one is granted
      // the new file. The name stays covered here.
      grant(resolve(folder(of: path)), .file, &fileFolders)
      grant(real.map { folder(of: $0) }, .file, &fileFolders)
    }
    for path in rules.paths(.folder) {
      if path.last != slash {
        spoolFolders.append(path)
      } else if EngineRules.mayAllowAll(in: path, .folder, besides: rules.privateFolders + privateFolders) {
        foldersOfSpools.append(path)
      }
    }
  }

  /// What is known without a look at any file. A spool folder: whether the engine was told of it, or of one around it.
  /// It looks itself, every 5 seconds, for one that is made or mounted later. A file: true where the engine was told of
  /// this very path and there was such a file; else nil, since `covers(_:_:)` has to look.
  package func coversByText(_ path: Bytes, _ use: PathUse) -> Bool? {
    switch use {
    case .file: files.contains { $0.path == path && $0.existed } ? true : nil
    case .folder:
      spoolFolders.contains(path)
        || foldersOfSpools.contains { path.count > $0.count && path.starts(with: $0) && !holdsDots(path) }
    }
  }

  /// Whether the engine may open the path. True too where there is nothing to open, and the engine was told of the path
  /// or of a folder that holds it: it looks for these itself.
  package func covers(_ path: NamedPath, _ use: PathUse) -> Bool {
    if let isCovered = coversByText(path.path, use) { return isCovered }
    if !path.exists, files.contains(where: { $0.path == path.path }) { return true }
    guard let real = path.real else { return namedFolders.contains { path.path.starts(with: $0) } }
    return fileFolders.contains { real.count > $0.count && real[$0.count] == slash && real.starts(with: $0) }
  }
}

/// Whether a path has a part "..", which leads out of a folder with whose text it begins.
private func holdsDots(_ path: Bytes) -> Bool {
  let dots = Bytes(repeating: UInt8(ascii: "."), count: 2)
  return parts(of: path, separatedBy: slash).contains(dots)
}

/// The folder of a path, without a "/" at its end but for the root's.
private func folder(of path: Bytes) -> Bytes {
  var folder = path
  while let last = folder.last, last != slash { folder.removeLast() }
  while folder.count > 1, folder.last == slash { folder.removeLast() }
  return folder
}

/// What follows the last "/".
private func name(of path: Bytes) -> Bytes {
  var start = path.count
  while start > 0, path[start &- 1] != slash { start &-= 1 }
  return slice(path, start, path.count)
}
