// SPDX-License-Identifier: Apache-2.0
import AudioForkBytes
import AudioForkLink
import AudioForkSurface
import Testing

@Suite("Which paths an engine may open that was started with certain rules")
struct PathCoverageTests {
  private func bytes(_ text: String) -> Bytes { Bytes(text.utf8) }

  /// realpath(3) where every path exists but those below `missing`, and `links` are symbolic links.
  private func resolver(links: [String: String] = [:], missing: [String] = []) -> (Bytes) -> Bytes? {
    func isIn(_ path: String, _ folder: String) -> Bool { path == folder || path.hasPrefix(folder + "/") }
    return { path in
      var text = "/" + String(decoding: path, as: UTF8.self).split(separator: "/").joined(separator: "/")
      guard !missing.contains(where: { isIn(text, $0) }) else { return nil }
      for (link, target) in links where isIn(text, link) { text = target + text.dropFirst(link.count) }
      return Bytes(text.utf8)
    }
  }

  private func rules(files: [String] = [], spools: [String] = []) -> EngineRules {
    var rules = EngineRules()
    for folder in ["/etc/asterisk", "/var/spool/asterisk"] { rules.addPrivate(bytes(folder)) }
    for path in files { _ = rules.add(bytes(path), .file) }
    for path in spools { _ = rules.add(bytes(path), .folder) }
    return rules
  }

  private func covers(
    _ rules: EngineRules, _ path: String, as use: PathUse = .file, _ before: (Bytes) -> Bytes?,
    now: ((Bytes) -> Bytes?)? = nil
  ) -> Bool {
    let privateFolders = rules.privateFolders.map { before($0) ?? $0 }
    return PathCoverage(rules, privateFolders: privateFolders, resolve: before)
      .covers(NamedPath(bytes(path), resolve: now ?? resolver()), use)
  }

  @Test("A folder with a slash at its end covers what is in it, a file itself alone")
  func covers() {
    let rules = rules(files: ["/srv/keys/", "/one.pem"], spools: ["/spool"])
    for path in ["/srv/keys/a.pem", "/srv/keys/b/c.pem", "/one.pem"] {
      #expect(covers(rules, path, resolver()), "\(path)")
    }
    for path in ["/srv/keysa", "/one.pem.old", "/spool"] { #expect(!covers(rules, path, resolver()), "\(path)") }
    #expect(covers(rules, "/spool", as: .folder, resolver()) && !covers(rules, "/spool/a", as: .folder, resolver()))
  }

  @Test("A folder that the engine would not be given covers nothing but itself")
  func refusedFolders() {
    let folders = ["/etc/asterisk/keys/", "/etc/", "/srv/", "/", "/var/spool/"]
    for folder in folders { #expect(!covers(rules(files: folders), folder + "a.pem", resolver()), "\(folder)") }
    let spools = ["/", "/var/", "/var/spool/", "/var/spool/asterisk/"]
    for folder in spools { #expect(!covers(rules(spools: spools), folder + "a", as: .folder, resolver()), "\(folder)") }
    for folder in ["/calls/", "/var/spool/asterisk/audiofork/", "/var/spool/calls/"] {
      #expect(covers(rules(spools: [folder]), folder + "a", as: .folder, resolver()), "\(folder)")
    }
  }

  @Test("A file's neighbor is covered where the folder is allowed, and a spool's is not")
  func neighbors() {
    let rules = rules(files: ["/srv/tls/a.pem", "/etc/asterisk/a.pem", "/srv/a.pem"], spools: ["/data/calls/a"])
    #expect(covers(rules, "/srv/tls/b.pem", resolver()))
    for path in ["/etc/asterisk/b.pem", "/srv/b.pem"] { #expect(!covers(rules, path, resolver()), "\(path)") }
    #expect(!covers(rules, "/data/calls/b", as: .folder, resolver()))
  }

  @Test("A folder that is a link into one of Asterisk's covers nothing, and one that is a link elsewhere does")
  func links() {
    let own = resolver(links: ["/etc/x": "/etc/asterisk/keys"])
    for file in ["/etc/x/", "/etc/x/a.pem"] {
      #expect(!covers(rules(files: [file]), "/etc/x/b.pem", own, now: own), "\(file)")
    }
    #expect(covers(rules(files: ["/etc/x/", "/etc/x/b.pem"]), "/etc/x/b.pem", own, now: own))
    let run = resolver(links: ["/var/run": "/run"])
    for file in ["/var/run/tokens/", "/run/tokens/a"] {
      #expect(covers(rules(files: [file]), "/var/run/tokens/b", run, now: run), "\(file)")
    }
    // Asterisk's folder may be the link.
    let moved = resolver(links: ["/etc/asterisk": "/data/asterisk"])
    #expect(!covers(rules(files: ["/data/asterisk/"]), "/data/asterisk/a", moved, now: moved))
    // And so may the file.
    let file = resolver(links: ["/srv/tls/a.pem": "/etc/asterisk/a.pem"])
    #expect(!covers(rules(files: ["/srv/tls/"]), "/srv/tls/a.pem", file, now: file))
  }

  @Test("What did not exist when the engine was started is not covered once it does")
  func missing() {
    let without = resolver(missing: ["/srv/new", "/data/spool"])
    for file in ["/srv/new/", "/srv/new/a.pem"] {
      let rules = rules(files: [file])
      #expect(!covers(rules, "/srv/new/a.pem", without, now: resolver()), "\(file)")
      for before in [resolver(), without] {
        #expect(covers(rules, "/srv/new/a.pem", before, now: without), "there is nothing to open, \(file)")
      }
    }
    // A file that is about to be made in a folder that is there.
    let file = resolver(missing: ["/srv/tls/a.pem"])
    #expect(covers(rules(files: ["/srv/tls/"]), "/srv/tls/a.pem", file, now: file))
  }

  @Test("Spool folders, and files that were named and existed, are settled without a look at any file system")
  func byText() {
    let rules = rules(files: ["/srv/a.pem", "/srv/keys/", "/new/b.pem"], spools: ["/nfs/spool", "/nfs/calls/"])
    var asked: [String] = []
    let resolve = resolver(missing: ["/new"])
    let coverage = PathCoverage(rules, privateFolders: rules.privateFolders) { path in
      asked.append(String(decoding: path, as: UTF8.self))
      return resolve(path)
    }
    #expect(!asked.isEmpty && !asked.contains { $0.hasPrefix("/nfs") || $0.hasPrefix("/var") }, "\(asked)")
    let folders = [
      ("/nfs/spool", true), ("/nfs/calls/a", true), ("/nfs/spool/a", false), ("/nfs/calls/../a", false), ("/b", false),
    ]
    for (path, isCovered) in folders { #expect(coverage.coversByText(bytes(path), .folder) == isCovered, "\(path)") }
    #expect(coverage.coversByText(bytes("/srv/a.pem"), .file) == true)
    for path in ["/srv/keys/a.pem", "/new/b.pem", "/srv/b.pem"] {
      #expect(coverage.coversByText(bytes(path), .file) == nil, "\(path)")
    }
    #expect(coverage.covers(NamedPath(text: bytes("/nfs/calls/a")), .folder))
  }
}
