// SPDX-License-Identifier: Apache-2.0
import AudioForkBytes
import AudioForkEngine
import AudioForkLink
import AudioForkSurface
import Testing

@Suite("Which folders a confined engine may use")
struct AccessPlanTests {
  /// A file system: every path here exists, with the folders above it. A value is what a symbolic link leads to.
  private struct Files {
    var paths: Set<String> = []
    var links: [String: String] = [:]

    var view: AccessPlan.FileView {
      let known = paths
      let links = links
      @Sendable func exists(_ path: String) -> Bool { path == "/" || known.contains { AccessPlan.contains(path, $0) } }
      return AccessPlan.FileView(
        resolve: { path in
          var plain = path.count > 1 && path.hasSuffix("/") ? String(path.dropLast()) : path
          for (link, target) in links where AccessPlan.contains(link, plain) {
            plain = target + plain.dropFirst(link.count)
          }
          return exists(plain) ? plain : nil
        },
        names: { folder in
          let names = (known.union(links.keys)).filter { $0 != folder && AccessPlan.contains(folder, $0) }
            .compactMap {
              $0.dropFirst(folder == "/" ? 1 : folder.count + 1).split(separator: "/").first.map(String.init)
            }
          return Array(Set(names))
        })
    }
  }

  private func rules(
    run: String = "/dev/shm/audiofork-0", spools: [String] = [], files: [String] = [],
    own: [String] = ["/etc/asterisk", "/var/spool/asterisk", "/var/lib/asterisk"]
  ) -> EngineRules {
    var rules = EngineRules()
    rules.runDirectory = Array(run.utf8)
    for path in spools { _ = rules.add(Array(path.utf8), .folder) }
    for path in files { _ = rules.add(Array(path.utf8), .file) }
    for path in own { rules.addPrivate(Array(path.utf8)) }
    return rules
  }

  private func plan(_ rules: EngineRules, _ paths: Set<String>, links: [String: String] = [:]) -> AccessPlan {
    let machine: Set<String> = [
      "/dev/shm/audiofork-0", "/usr/lib/libc.so", "/etc/ssl/certs/all.crt", "/etc/asterisk/manager.conf",
      "/var/spool/asterisk/voicemail", "/var/lib/asterisk/astdb", "/etc/hosts", "/run/resolv/stub.conf",
    ]
    return AccessPlan(rules, Files(paths: machine.union(paths), links: links).view)
  }

  private func uses(_ grants: [AccessPlan.Grant], _ path: String) -> [AccessPlan.Use] {
    grants.filter { AccessPlan.contains($0.path, path) }.map(\.use)
  }

  @Test("It reads libraries and certificates, writes beside the run directory, and sees nothing of Asterisk's")
  func usual() {
    let plan = plan(rules(), [])
    #expect(uses(plan.engine, "/usr/lib/libc.so") == [.read])
    #expect(uses(plan.engine, "/etc/ssl/certs/all.crt") == [.read])
    #expect(uses(plan.engine, "/dev/shm/audiofork-0/new") == [.keepFilesAndFolders])
    #expect(plan.writable == ["/dev/shm"])
    for path in [
      "/etc/asterisk/manager.conf", "/var/spool/asterisk/voicemail", "/var/lib/asterisk/astdb", "/etc/hosts",
    ] {
      #expect(uses(plan.engine, path).isEmpty, "\(path)")
    }
  }

  @Test("The process for look-ups reads all of /etc and the folder to which resolv.conf leads, and writes nowhere")
  func names() {
    let plan = plan(rules(), ["/mnt/net/resolv.conf"], links: ["/etc/resolv.conf": "/mnt/net/resolv.conf"])
    #expect(uses(plan.names, "/etc/hosts") == [.read])
    #expect(uses(plan.names, "/mnt/net/resolv.conf") == [.read])
    #expect(uses(plan.names, "/run/resolv/stub.conf") == [.read])
    for path in ["/var/spool/asterisk/voicemail", "/var/lib/asterisk/astdb", "/dev/shm/audiofork-0"] {
      #expect(uses(plan.names, path).isEmpty, "\(path)")
    }
    #expect(plan.names.allSatisfy { $0.use == .read || $0.use == .device })
  }

  @Test("Asterisk's folders in a system folder are left out, and their neighbors are not")
  func prefixed() {
    let own = ["/usr/local/etc/asterisk", "/usr/local/var/spool/asterisk", "/usr/share/asterisk"]
    let plan = plan(
      rules(own: own),
      [
        "/usr/local/etc/asterisk/manager.conf", "/usr/local/etc/other", "/usr/local/var/spool/asterisk/monitor",
        "/usr/share/asterisk/sounds", "/usr/share/zoneinfo/UTC", "/usr/local/lib/libspeexdsp.so",
      ])
    for grants in [plan.engine, plan.names] {
      for path in own { #expect(uses(grants, path).isEmpty, "\(path)") }
      for path in [
        "/usr/lib/libc.so", "/usr/share/zoneinfo/UTC", "/usr/local/lib/libspeexdsp.so", "/usr/local/etc/other",
      ] { #expect(uses(grants, path) == [.read], "\(path)") }
    }
  }

  @Test("A file's folder is allowed, so that the file may be replaced, and in Asterisk's folders the file alone")
  func namedFiles() {
    let files = ["/etc/asterisk/keys/client.pem", "/srv/tls/ca.pem", "/live/x/key.pem", "/etc/top.pem"]
    let plan = plan(
      rules(files: files), Set(files).union(["/archive/x/key2.pem", "/etc/asterisk/keys/other.pem", "/live/x/y"]),
      links: ["/live/x/key.pem": "/archive/x/key2.pem"])
    #expect(uses(plan.engine, "/etc/asterisk/keys/client.pem") == [.read])
    #expect(uses(plan.engine, "/etc/asterisk/keys/other.pem").isEmpty)
    #expect(uses(plan.engine, "/srv/tls/new.pem") == [.read])
    #expect(uses(plan.engine, "/live/x/key.pem") == [.read] && uses(plan.engine, "/archive/x/key3.pem") == [.read])
    // /etc as a whole would hold Asterisk's configuration.
    #expect(uses(plan.engine, "/etc/top.pem") == [.read] && uses(plan.engine, "/etc/hosts").isEmpty)
  }

  @Test("A spool in one of Asterisk's folders is allowed itself, and a folder for spools never holds one of them")
  func spools() {
    let spools = ["/var/spool/asterisk/audiofork", "/data/calls/", "/var/spool/asterisk/", "/var/spool/", "/none"]
    let plan = plan(rules(spools: spools), ["/var/spool/asterisk/audiofork", "/data/calls/a"])
    #expect(plan.writable == ["/dev/shm", "/var/spool/asterisk/audiofork", "/data/calls"])
    #expect(uses(plan.engine, "/var/spool/asterisk/audiofork/f.spool") == [.keepFiles])
    #expect(uses(plan.engine, "/var/spool/asterisk/voicemail").isEmpty)
  }

  @Test("What the module counts as covered is allowed, and what it does not is not, through symbolic links too")
  func coverage() throws {
    let folders = [
      "/etc/asterisk/keys/", "/etc/", "/srv/", "/srv/tls/", "/", "/var/spool/", "/var/spool/asterisk/x/", "/etc/x/",
      "/live/run/", "/etc/asterisk/out/",
    ]
    let links = ["/etc/x": "/etc/asterisk/keys", "/live/run": "/run/tokens", "/etc/asterisk/out": "/srv/tls"]
    let known: Set<String> = [
      "/etc/asterisk/keys/new", "/etc/new", "/srv/new", "/srv/tls/new", "/new", "/var/spool/new",
      "/var/spool/asterisk/x/new", "/run/tokens/new",
    ]
    var covered: [String] = []
    for folder in folders {
      for use in [PathUse.file, .folder] {
        let isFile = use == .file
        let rules = rules(spools: isFile ? [] : [folder], files: isFile ? [folder] : [])
        let files = Files(
          paths: known.union(["/etc/asterisk/manager.conf", "/var/spool/asterisk/voicemail"]), links: links)
        func resolve(_ path: Bytes) -> Bytes? {
          files.view.resolve(String(decoding: path, as: UTF8.self)).map { Bytes($0.utf8) }
        }
        let path = "\(folder)new"
        let plan = AccessPlan(rules, files.view)
        let isAllowed = files.view.resolve(path).map { !uses(plan.engine, $0).isEmpty } ?? false
        let privateFolders = rules.privateFolders.map { resolve($0) ?? $0 }
        let coverage = PathCoverage(rules, privateFolders: privateFolders, resolve: resolve)
        let isCovered = coverage.covers(NamedPath(Bytes(path.utf8), resolve: resolve), use)
        #expect(isCovered == isAllowed, "\(use) in \(folder)")
        if isCovered, isFile { covered.append(folder) }
      }
    }
    #expect(covered == ["/srv/tls/", "/live/run/", "/etc/asterisk/out/"])
  }

  @Test("A run directory is allowed without its parent where that is a system folder, or holds what is Asterisk's")
  func runDirectories() {
    for (run, writable) in [
      ("/audiofork", "/audiofork"), ("/var/lib/asterisk/run", "/var/lib/asterisk/run"), ("/var/run1", "/var/run1"),
      ("/run/asterisk/audiofork", "/run/asterisk"), ("/run/audiofork", "/run/audiofork"),
    ] {
      #expect(plan(rules(run: run), [run]).writable == [writable], "\(run)")
    }
  }
}
