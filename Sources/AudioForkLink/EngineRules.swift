// SPDX-License-Identifier: MIT
package import AudioForkBytes
package import AudioForkSurface

private let slash = UInt8(ascii: "/")
private let dot = UInt8(ascii: ".")

/// The files and folders of one installation that the engine needs or must not see. The module gives it to the engine
/// as standard input, a file: `audiofork-rules 1` and the entries, each ended by a 0. An entry is a letter and a path.
package struct EngineRules: Sendable, Equatable {
  /// Bytes of the file at most.
  package static let bytesMax = 4_194_304
  /// Entries of a kind at most; further ones are left out.
  package static let entriesMax = 1024
  /// Seconds for which an engine serves at least, before it leaves because it may not open what it needs.
  package static let leavingAgeMin = 10
  private static let magic: StaticString = "audiofork-rules 1"

  /// Where the instances' directories are: `run_dir`.
  package var runDirectory = Bytes()
  /// Folders for spools. One that ends with "/" holds them somewhere below.
  package private(set) var spoolFolders: [Bytes] = []
  /// Files that settings name. One that ends with "/" is a folder that holds them somewhere below.
  package private(set) var files: [Bytes] = []
  /// What Asterisk keeps for itself: configuration, voicemail, recordings.
  package private(set) var privateFolders: [Bytes] = []
  /// Seconds for which this engine serves at least, before it leaves because it may not open what it needs.
  package var leavingAge = EngineRules.leavingAgeMin

  package init() {}

  /// Adds a folder or file that a setting names. Returns false if it is known, or there are too many.
  package mutating func add(_ path: Bytes, _ use: PathUse) -> Bool {
    switch use {
    case .file: EngineRules.add(path, to: &files)
    case .folder: EngineRules.add(path, to: &spoolFolders)
    }
  }

  /// Whether the path has been added for this use.
  package func contains(_ path: Bytes, _ use: PathUse) -> Bool { paths(use).contains(path) }

  /// Adds a folder that Asterisk keeps for itself.
  package mutating func addPrivate(_ folder: Bytes) { _ = EngineRules.add(folder, to: &privateFolders) }

  /// The paths that have been added for this use.
  package func paths(_ use: PathUse) -> [Bytes] {
    switch use {
    case .file: files
    case .folder: spoolFolders
    }
  }

  /// Whether an engine may have all that a folder holds, where its files or spools are known only when a fork starts.
  /// Not a folder that holds one of Asterisk's; for files neither one in those, nor "/" or one directly below it.
  /// Compares texts: give it paths without symbolic links.
  package static func mayAllowAll(in folder: Bytes, _ use: PathUse, besides privateFolders: [Bytes]) -> Bool {
    let names = names(in: folder)
    guard !names.contains(where: { $0 == [dot] || $0 == [dot, dot] }) else { return false }
    let isAround = privateFolders.contains { EngineRules.names(in: $0).starts(with: names) }
    switch use {
    case .folder: return !names.isEmpty && !isAround
    case .file:
      let isInside = privateFolders.contains { folder in
        let own = EngineRules.names(in: folder)
        return !own.isEmpty && names.starts(with: own)
      }
      return names.count > 1 && !isAround && !isInside
    }
  }

  private static func names(in path: Bytes) -> [Bytes] { parts(of: path, separatedBy: slash).filter { !$0.isEmpty } }

  private static func add(_ path: Bytes, to paths: inout [Bytes]) -> Bool {
    guard path.first == slash, !path.contains(0), paths.count < entriesMax, !paths.contains(path) else {
      return false
    }
    paths.append(path)
    return true
  }

  /// Reads the file. Returns nil for one that is none; leaves out entries of a later release.
  package init?(_ file: Bytes) {
    let entries = parts(of: file, separatedBy: 0)
    guard entries.first == Bytes(text: EngineRules.magic) else { return nil }
    for entry in entries.dropFirst() {
      guard let letter = entry.first else { continue }
      let path = slice(entry, 1, entry.count)
      switch letter {
      case UInt8(ascii: "r"): runDirectory = path
      case UInt8(ascii: "s"): _ = add(path, .folder)
      case UInt8(ascii: "f"): _ = add(path, .file)
      case UInt8(ascii: "p"): addPrivate(path)
      case UInt8(ascii: "a"): leavingAge = max(decimal(path) ?? 0, EngineRules.leavingAgeMin)
      default: continue
      }
    }
  }

  /// The file's content.
  package var encoded: Bytes {
    var file = Bytes(text: EngineRules.magic) + [0]
    func append(_ letter: UInt8, _ path: Bytes) {
      guard file.count &+ path.count < EngineRules.bytesMax else { return }
      file.append(letter)
      file += path
      file.append(0)
    }
    append(UInt8(ascii: "r"), runDirectory)
    if leavingAge > EngineRules.leavingAgeMin {
      var age = Bytes()
      age.append(decimal: leavingAge)
      append(UInt8(ascii: "a"), age)
    }
    // The private ones first: what is left out of a file that is too long is what the engine may open.
    for path in privateFolders { append(UInt8(ascii: "p"), path) }
    for path in spoolFolders { append(UInt8(ascii: "s"), path) }
    for path in files { append(UInt8(ascii: "f"), path) }
    return file
  }
}
