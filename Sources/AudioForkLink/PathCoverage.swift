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
/// the engine started is not granted. Where both halves might differ, this one says no: the engine is then replaced
/// without need, while a wrong yes would leave a fork without its file.
package struct PathCoverage: Sendable {
  private struct Named: Sendable {
    let path: Bytes
    /// It existed when the engine was started.
    let existed: Bool
  }

  private var files: [Named] = []
  private var spoolFolders: [Named] = []
  /// Folders for files and spools as they are named, each with a "/" at its end, if their names do not forbid to grant
  /// them.
  private var namedFolders: [Bytes] = []
  /// Folders that are granted with all that they hold, without symbolic links.
  private var fileFolders: [Bytes] = []
  private var foldersOfSpools: [Bytes] = []

  /// Call it right before the engine is started. Looks at files: may block. `resolve` as for `NamedPath`.
  package init(_ rules: EngineRules, resolve: (Bytes) -> Bytes?) {
    let privateFolders = rules.privateFolders.map { resolve($0) ?? $0 }
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
      // A file's folder is granted with it, so that the file may be replaced.
      grant(resolve(folder(of: path)), .file, &fileFolders)
      grant(real.map { folder(of: $0) }, .file, &fileFolders)
    }
    for path in rules.paths(.folder) {
      let real = resolve(path)
      if path.last == slash {
        if EngineRules.mayAllowAll(in: path, .folder, besides: privateFolders) { namedFolders.append(path) }
        grant(real, .folder, &foldersOfSpools)
      } else {
        spoolFolders.append(Named(path: path, existed: real != nil))
      }
    }
  }

  /// Whether the engine may open the path. True too where there is nothing to open, and the engine was told of the path
  /// or of a folder that holds it: it looks for these itself.
  package func covers(_ path: NamedPath, _ use: PathUse) -> Bool {
    let (named, folders) =
      switch use {
      case .file: (files, fileFolders)
      case .folder: (spoolFolders, foldersOfSpools)
      }
    if named.contains(where: { $0.path == path.path && ($0.existed || !path.exists) }) { return true }
    guard let real = path.real else { return namedFolders.contains { path.path.starts(with: $0) } }
    return folders.contains { real.count > $0.count && real[$0.count] == slash && real.starts(with: $0) }
  }
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
