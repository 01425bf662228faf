// SPDX-License-Identifier: Apache-2.0
internal import AudioForkLink
internal import CAudioForkProcess
internal import Glibc

/// What this process may still do once it has given up what it does not need.
package struct Confinement: Sendable {
  /// A file or folder of the rules.
  private struct Needed: Sendable {
    let path: String
    let mustBeWritable: Bool
    var isRunDirectory = false
  }

  /// What holds, for the log: "confined …" or "not confined …". Nil where nothing was asked for.
  package let summary: String?
  /// Whether the kernel could do it, and something of it failed.
  let hasFailed: Bool
  /// The process that looks names up; nil where the engine does so itself.
  let nameServer: CInt?
  private var allowed: [AccessRuleset.Allowed] = []
  private var needed: [Needed] = []
  /// For how long the engine serves at least, before it leaves for `reasonToRestart`.
  private(set) var leavingAge = Duration.seconds(EngineRules.leavingAgeMin)
  /// Whether engines before this one have ended soon.
  var hasPredecessors: Bool { leavingAge > .seconds(EngineRules.leavingAgeMin) }
  /// Whether the kernel holds this process to rules.
  private(set) var isConfined = false

  private init(_ summary: String?, hasFailed: Bool = false, nameServer: CInt? = nil) {
    self.summary = summary
    self.hasFailed = hasFailed
    self.nameServer = nameServer
  }

  /// Of a process that was given no rules: `confine = no`, or an older module.
  package static let none = Confinement(nil)

  /// Reads the rules from standard input, if it is a file with rules, and confines this process. Call it before there
  /// is a second thread. Standard input is /dev/null afterwards.
  package static func fromStandardInput() -> Confinement {
    guard let rules = standardInput().flatMap({ EngineRules($0) }) else { return .none }
    let nothing = open("/dev/null", O_RDONLY | O_CLOEXEC)
    if nothing > 0 {
      dup2(nothing, 0)
      close(nothing)
    }
    return Confinement.apply(rules)
  }

  private static func standardInput() -> [UInt8]? {
    var status = stat()
    guard fstat(0, &status) == 0, status.st_mode & S_IFMT == S_IFREG, status.st_size <= EngineRules.bytesMax else {
      return nil
    }
    var bytes = [UInt8](repeating: 0, count: Int(status.st_size))
    guard pread(0, &bytes, bytes.count, 0) == bytes.count else { return nil }
    return bytes
  }

  /// Confines this process, and starts the one that looks names up.
  private static func apply(_ rules: EngineRules) -> Confinement {
    let level = Int(af_landlock_level())
    guard level > 0 else { return Confinement("not confined: the kernel has no Landlock, or it is switched off") }
    // The rules are a thread's, and those of threads that it makes.
    guard DirectoryContents.names("/proc/self/task").count <= 1 else {
      return Confinement(
        "not confined: there are threads already, which is a fault of audiofork's: please report it", hasFailed: true)
    }
    let plan = AccessPlan(rules)
    let nameServer = startNameServer(plan, level)
    guard
      var ruleset = AccessRuleset(level: level, limitsSockets: true, limitsReading: nameServer != nil)
    else { return .failed("the kernel takes no rules", nameServer) }
    ruleset.allow(plan.engine)
    let failure = af_landlock_enforce(ruleset.descriptor)
    ruleset.close()
    guard failure == 0 else {
      return .failed(String(cString: strerror(failure)), nameServer)
    }
    let refusesSockets = af_refuse_local_sockets() == 0
    var confinement = Confinement(
      summary(plan, level, limitsReading: nameServer != nil, refusesSockets: refusesSockets),
      hasFailed: nameServer == nil, nameServer: nameServer)
    confinement.isConfined = true
    confinement.leavingAge = .seconds(rules.leavingAge)
    confinement.allowed = ruleset.allowed
    // Without a process for look-ups it may read everything.
    let runDirectory = Needed(
      path: AccessPlan.text(rules.runDirectory), mustBeWritable: true, isRunDirectory: true)
    let needed =
      [runDirectory]
      + (nameServer == nil ? [] : rules.files).map { Needed(path: AccessPlan.text($0), mustBeWritable: false) }
      + rules.spoolFolders.map { Needed(path: AccessPlan.text($0), mustBeWritable: true) }
    confinement.needed = needed.filter { confinement.isCovered($0) }
    return confinement
  }

  /// The engine looks names up itself then; closing the socket ends the process for it.
  private static func failed(_ reason: String, _ nameServer: CInt?) -> Confinement {
    if let nameServer { close(nameServer) }
    return Confinement("not confined: \(reason)", hasFailed: true)
  }

  private static func startNameServer(_ plan: AccessPlan, _ level: Int) -> CInt? {
    guard var ruleset = AccessRuleset(level: level, limitsSockets: false) else { return nil }
    ruleset.allow(plan.names)
    defer { ruleset.close() }
    let server = af_names_start(ruleset.descriptor)
    return server >= 0 ? server : nil
  }

  private static func summary(
    _ plan: AccessPlan, _ level: Int, limitsReading: Bool, refusesSockets: Bool
  ) -> String {
    let folders = plan.writable
    let named = folders.prefix(8).joined(separator: ", ") + (folders.count > 8 ? " and more" : "")
    let reads =
      limitsReading
      ? "reads only there, the system's libraries and certificates, and what audiofork.conf names"
      : "reads everything, because no process for look-ups of names could be started"
    return "confined (Landlock \(level)): it writes only in \(named); \(reads); starts no programs"
      + (refusesSockets ? "; opens no local sockets" : "")
  }

  // MARK: - While the engine runs

  /// Why the next engine could do what this one cannot: a file or folder that it needs was replaced or has appeared
  /// since. Nil while there is no reason. Looks at files: may block.
  func reasonToRestart() -> LeavingReason? {
    if let nameServer, af_names_is_alive(nameServer) == 0 {
      return LeavingReason("its process for look-ups of names has ended", isVital: true)
    }
    return needed.first { !isCovered($0) }
      .map {
        LeavingReason(
          "'\($0.path)' was replaced or made since it started, and it may not open the new one",
          isVital: $0.isRunDirectory)
      }
  }

  /// Whether the path leads to something that this process may open, or to nothing.
  private func isCovered(_ need: Needed) -> Bool {
    guard let real = AccessPlan.FileView.system.resolve(need.path) else { return true }
    return allowed.contains { allowed in
      let use = allowed.grant.use
      return (!need.mustBeWritable || use == .keepFiles || use == .keepFilesAndFolders)
        && (allowed.isFolder ? AccessPlan.contains(allowed.grant.path, real) : allowed.grant.path == real)
        && FileIdentity(path: allowed.grant.path) == allowed.identity
    }
  }
}
