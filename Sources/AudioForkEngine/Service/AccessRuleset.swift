// SPDX-License-Identifier: Apache-2.0
internal import CAudioForkProcess
internal import Glibc

/// Rules for the kernel: all accesses that it knows are refused but for the grants (af_confine.h).
package struct AccessRuleset {
  /// What was allowed, and which file it was then.
  package struct Allowed: Sendable {
    package let grant: AccessPlan.Grant
    let isFolder: Bool
    let identity: FileIdentity
  }

  package let descriptor: CInt
  private(set) var allowed: [Allowed] = []
  private let accesses: UInt64

  private static func bits(_ accesses: af_access...) -> UInt64 { accesses.reduce(0) { $0 | UInt64($1.rawValue) } }

  private static let reads = bits(AF_ACCESS_READ_FILE, AF_ACCESS_READ_FOLDER)
  /// What a rule for a file, and not a folder, may allow.
  private static let ofFiles = bits(
    AF_ACCESS_EXECUTE, AF_ACCESS_READ_FILE, AF_ACCESS_WRITE_FILE, AF_ACCESS_TRUNCATE, AF_ACCESS_DEVICE)

  /// Accesses that the kernel's Landlock refuses at this level.
  private static func known(level: Int) -> UInt64 {
    var known = bits(AF_ACCESS_ALL_1)
    if level >= 2 { known |= bits(AF_ACCESS_REFER) }
    if level >= 3 { known |= bits(AF_ACCESS_TRUNCATE) }
    if level >= 5 { known |= bits(AF_ACCESS_DEVICE) }
    return known
  }

  private static func accesses(for use: AccessPlan.Use) -> UInt64 {
    let keeps =
      reads | bits(AF_ACCESS_WRITE_FILE, AF_ACCESS_TRUNCATE, AF_ACCESS_MAKE_FILE, AF_ACCESS_REMOVE_FILE)
    return switch use {
    case .read: reads
    case .device: bits(AF_ACCESS_READ_FILE, AF_ACCESS_WRITE_FILE)
    case .keepFiles: keeps
    case .keepFilesAndFolders: keeps | bits(AF_ACCESS_REMOVE_FOLDER)
    }
  }

  /// Returns nil where the kernel refuses. `limitsSockets`: whether sockets without a file are refused too, from level
  /// 6 on, as signals are. `limitsReading`: false leaves all reading allowed.
  package init?(level: Int, limitsSockets: Bool, limitsReading: Bool = true) {
    let known = AccessRuleset.known(level: level)
    accesses = limitsReading ? known : known & ~AccessRuleset.reads
    let scopes = limitsSockets ? [AF_SCOPE_SIGNALS, AF_SCOPE_ABSTRACT_SOCKETS] : [AF_SCOPE_SIGNALS]
    let scope = level >= 6 ? scopes.reduce(0) { $0 | UInt64($1.rawValue) } : 0
    descriptor = af_landlock_create(accesses, scope)
    if descriptor < 0 { return nil }
  }

  package func close() { Glibc.close(descriptor) }

  /// Allows what there is; a missing path is left out.
  package mutating func allow(_ grants: [AccessPlan.Grant]) {
    for grant in grants {
      let file = af_open_path(grant.path)
      guard file >= 0 else { continue }
      defer { Glibc.close(file) }
      var status = stat()
      guard fstat(file, &status) == 0 else { continue }
      let isFolder = status.st_mode & S_IFMT == S_IFDIR
      let asked = AccessRuleset.accesses(for: grant.use) & accesses & (isFolder ? .max : AccessRuleset.ofFiles)
      // A rule that allows nothing is an error.
      guard asked != 0, af_landlock_allow(descriptor, file, asked) == 0 else { continue }
      allowed.append(Allowed(grant: grant, isFolder: isFolder, identity: FileIdentity(status)))
    }
  }
}

/// Which file a path leads to.
struct FileIdentity: Equatable, Sendable {
  private let device: dev_t
  private let number: ino_t

  init(_ status: stat) {
    device = status.st_dev
    number = status.st_ino
  }

  /// Nil where there is none.
  init?(path: String) {
    var status = stat()
    guard stat(path, &status) == 0 else { return nil }
    self.init(status)
  }
}
