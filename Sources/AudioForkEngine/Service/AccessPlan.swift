// SPDX-License-Identifier: Apache-2.0
package import AudioForkLink
internal import AudioForkSurface
internal import Glibc

/// Which folders and files a confined engine may use, and which the process that looks names up for it.
///
/// Landlock allows folders with all that they hold, and cannot exclude a part of a folder. Where a folder holds one
/// that Asterisk keeps for itself, the others in it are allowed one by one.
package struct AccessPlan {
  package enum Use: Sendable, Equatable {
    case read
    /// Read and write, as a device that every program may use.
    case device
    /// Make, read, write and remove files: spools.
    case keepFiles
    /// The same, and remove folders: rings, cursors and the instance's directory.
    case keepFilesAndFolders
  }

  package struct Grant: Sendable, Equatable {
    /// Without symbolic links.
    package let path: String
    package let use: Use

    package init(_ path: String, _ use: Use) {
      self.path = path
      self.use = use
    }
  }

  /// What the plan asks of the file system.
  package struct FileView: Sendable {
    /// The path without symbolic links; nil where there is no such file.
    package let resolve: @Sendable (String) -> String?
    /// The names in a folder.
    package let names: @Sendable (String) -> [String]

    package init(
      resolve: @escaping @Sendable (String) -> String?, names: @escaping @Sendable (String) -> [String]
    ) {
      self.resolve = resolve
      self.names = names
    }

    package static let system = FileView(
      resolve: { path in
        guard let found = realpath(path, nil) else { return nil }
        defer { free(found) }
        return String(cString: found)
      }, names: { DirectoryContents.names($0) })
  }

  /// Libraries, certificates, time zones, and what the C library reads about processors.
  private static let systemFolders = [
    "/usr", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/gnu/store", "/etc/ssl", "/etc/pki",
    "/etc/ca-certificates", "/var/lib/ca-certificates", "/etc/ld.so.cache", "/etc/localtime", "/proc",
    "/sys/fs/cgroup", "/sys/devices/system/cpu",
  ]
  /// What getaddrinfo(3) and its modules read, besides.
  private static let nameFolders = [
    "/run", "/var/run", "/var/lib/sss", "/var/lib/misc", "/var/lib/extrausers", "/var/db", "/mnt/wsl",
  ]
  private static let nameFiles = [
    "/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/host.conf", "/etc/gai.conf",
  ]
  private static let devices = ["/dev/null", "/dev/zero", "/dev/random", "/dev/urandom"]

  /// For the engine.
  package private(set) var engine: [Grant] = []
  /// For the process that looks names up.
  package private(set) var names: [Grant] = []
  /// Where the engine may write, for the log.
  package var writable: [String] {
    engine.filter { $0.use == .keepFiles || $0.use == .keepFilesAndFolders }.map(\.path)
  }

  private let files: FileView
  private let privateFolders: [String]
  private let privatePaths: [[UInt8]]

  package init(_ rules: EngineRules, _ files: FileView = .system) {
    self.files = files
    privateFolders = rules.privateFolders.map(AccessPlan.text).map { files.resolve($0) ?? $0 }.filter { $0 != "/" }
    privatePaths = privateFolders.map { Array($0.utf8) }
    let system = AccessPlan.systemFolders.flatMap { readable($0) }
    let devices = AccessPlan.devices.compactMap { files.resolve($0) }.map { Grant($0, .device) }
    names = system + devices + AccessPlan.nameFolders.flatMap { readable($0) }
    // All of it, Asterisk's configuration too: files in it are replaced by rename(2), which makes new ones.
    names += [Grant("/etc", .read)]
    names += AccessPlan.nameFiles.compactMap { files.resolve($0).map(AccessPlan.folder(of:)) }
      .filter { mayAllowAll(in: $0) }.map { Grant($0, .read) }
    engine = system + devices
    addRunDirectory(AccessPlan.text(rules.runDirectory))
    for path in rules.spoolFolders { addSpool(AccessPlan.text(path)) }
    for path in rules.files { addFile(AccessPlan.text(path)) }
  }

  /// A path of the rules as text.
  package static func text(_ path: [UInt8]) -> String { String(decoding: path, as: UTF8.self) }

  /// Whether `path` is `folder` or in it.
  package static func contains(_ folder: String, _ path: String) -> Bool {
    path == folder || path.hasPrefix(folder.hasSuffix("/") ? folder : folder + "/")
  }

  private static func folder(of path: String) -> String {
    let folder = path.split(separator: "/").dropLast().joined(separator: "/")
    return "/" + folder
  }

  /// Grants for a folder, or for what is in it where that is not all.
  private func readable(_ path: String) -> [Grant] {
    guard let real = files.resolve(path) else { return [] }
    return readable(real: real)
  }

  private func readable(real path: String) -> [Grant] {
    guard !privateFolders.contains(where: { AccessPlan.contains($0, path) }) else { return [] }
    guard privateFolders.contains(where: { AccessPlan.contains(path, $0) }) else { return [Grant(path, .read)] }
    return files.names(path).sorted().flatMap { name -> [Grant] in
      let child = "\(path)/\(name)"
      // A symbolic link leads to what has a place of its own.
      return files.resolve(child) == child ? readable(real: child) : []
    }
  }

  /// Whether a folder that a setting leads to is small enough to be allowed: it holds nothing that is Asterisk's own,
  /// and is no folder of the system.
  private func mayAllowAll(in folder: String, _ use: PathUse = .file) -> Bool {
    EngineRules.mayAllowAll(in: Array(folder.utf8), use, besides: privatePaths)
  }

  /// The run directory may be removed and made again, so its parent is allowed, unless that is a folder of the system
  /// or Asterisk's own.
  private mutating func addRunDirectory(_ path: String) {
    guard let directory = files.resolve(path) else { return }
    let parent = AccessPlan.folder(of: directory)
    engine.append(Grant(mayAllowAll(in: parent) ? parent : directory, .keepFilesAndFolders))
  }

  private mutating func addSpool(_ path: String) {
    guard let folder = files.resolve(path) else { return }
    // A folder for folders that are known only when a fork starts may lie in one of Asterisk's, but not hold one.
    guard !path.hasSuffix("/") || mayAllowAll(in: folder, .folder) else { return }
    engine.append(Grant(folder, .keepFiles))
  }

  /// A file is read again when it has been replaced, which makes a new one: its folder is allowed. In Asterisk's own
  /// folders the file alone is, and an engine that finds another one there is replaced.
  private mutating func addFile(_ path: String) {
    if path.hasSuffix("/") {
      guard let folder = files.resolve(path), mayAllowAll(in: folder) else { return }
      return engine.append(Grant(folder, .read))
    }
    let real = files.resolve(path)
    let folders = [files.resolve(AccessPlan.folder(of: path)), real.map(AccessPlan.folder(of:))].compactMap { $0 }
    let allowed = folders.filter { mayAllowAll(in: $0) }
    for folder in Set(allowed).sorted() where !engine.contains(Grant(folder, .read)) {
      engine.append(Grant(folder, .read))
    }
    if let real, !allowed.contains(where: { AccessPlan.contains($0, real) }) { engine.append(Grant(real, .read)) }
  }
}
