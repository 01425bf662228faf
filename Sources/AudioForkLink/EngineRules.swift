// SPDX-License-Identifier: MIT
package import AudioForkBytes
package import AudioForkSurface

/// The files and folders of one installation that the engine needs or must not see. The module gives it to the engine
/// as standard input, a file: `audiofork-rules 1` and the entries, each ended by a 0. An entry is a letter and a path.
package struct EngineRules: Sendable, Equatable {
  /// Bytes of the file at most.
  package static let bytesMax = 4_194_304
  /// Entries of a kind at most; further ones are left out.
  package static let entriesMax = 1024
  private static let magic: StaticString = "audiofork-rules 1"

  /// Where the instances' directories are: `run_dir`.
  package var runDirectory = Bytes()
  /// Folders for spools. One that ends with "/" holds them somewhere below.
  package private(set) var spoolFolders: [Bytes] = []
  /// Files that settings name. One that ends with "/" is a folder that holds them somewhere below.
  package private(set) var files: [Bytes] = []
  /// What Asterisk keeps for itself: configuration, voicemail, recordings.
  package private(set) var privateFolders: [Bytes] = []

  package init() {}

  /// Adds a folder or file that a setting names. Returns false if it is known, or there are too many.
  package mutating func add(_ path: Bytes, _ use: PathUse) -> Bool {
    switch use {
    case .file: EngineRules.add(path, to: &files)
    case .folder: EngineRules.add(path, to: &spoolFolders)
    }
  }

  /// Adds a folder that Asterisk keeps for itself.
  package mutating func addPrivate(_ folder: Bytes) { _ = EngineRules.add(folder, to: &privateFolders) }

  /// Whether the path, or a folder for it, has been added.
  package func covers(_ path: Bytes, _ use: PathUse) -> Bool {
    let paths =
      switch use {
      case .file: files
      case .folder: spoolFolders
      }
    return paths.contains { $0 == path || ($0.last == UInt8(ascii: "/") && path.starts(with: $0)) }
  }

  private static func add(_ path: Bytes, to paths: inout [Bytes]) -> Bool {
    guard path.first == UInt8(ascii: "/"), !path.contains(0), paths.count < entriesMax, !paths.contains(path) else {
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
    // The private ones first: what is left out of a file that is too long is what the engine may open.
    for path in privateFolders { append(UInt8(ascii: "p"), path) }
    for path in spoolFolders { append(UInt8(ascii: "s"), path) }
    for path in files { append(UInt8(ascii: "f"), path) }
    return file
  }
}
