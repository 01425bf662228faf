// SPDX-License-Identifier: Apache-2.0
import AudioForkBytes
import AudioForkLink
import CAsterisk
import Foundation
import Testing

@Suite("What the module tells the engine to confine itself to", .serialized)
struct EngineRulesRealTimeTests {
  /// What the engine that was spawned last was told; nil: nothing.
  var told: EngineRules? {
    var bytes = [UInt8](repeating: 0, count: 65_536)
    let count = fake_engine_rules(&bytes, bytes.count)
    return EngineRules(Array(bytes.prefix(count)))
  }

  func texts(_ paths: [Bytes]?) -> [String]? { paths?.map { String(decoding: $0, as: UTF8.self) } }

  /// The engine leaves as it is asked to, and the next one is spawned.
  func replaceEngine(_ module: LoadedModule) throws -> FakedEngine {
    module.engine.die()
    let next = try #require(FakedEngine())
    next.sayReady()
    return next
  }

  /// Ends what is left of the forks and the module, whose engine was replaced.
  func end(_ module: LoadedModule, _ engine: FakedEngine, _ ids: [String] = []) {
    for id in ids { engine.sayEnded(id) }
    #expect(soon { fake_module_references() == 0 })
    engine.die()
    #expect(module.asterisk.unload())
  }

  @Test("In folders that the engine is not given, and a spool with a slash at its end, each path is told")
  func refusedFolders() throws {
    let module = try LoadedModule(
      """
      spool=/var/spool/calls/
      [a]
      url=wss://a.example/
      ca_file=/etc/asterisk/keys/${CA}
      cert_file=/srv/${CA}
      key_file=/srv/${CA}
      """
    )
    let channel = fake_channel("PJSIP/100-1", 8000)
    pbx_builtin_setvar_helper(channel, "CA", "ca.pem")
    let fork = try #require(module.start(channel, "a"))
    let engine = try replaceEngine(module)
    #expect(texts(told?.spoolFolders) == ["/var/spool/calls"])
    #expect(texts(told?.files) == ["/etc/asterisk/keys/", "/srv/", "/etc/asterisk/keys/ca.pem", "/srv/ca.pem"])
    fake_hangup(channel)
    end(module, engine, [fork])
  }

  @Test("One warning says that variables have named too many paths")
  func limit() throws {
    let module = try LoadedModule("[a]\nurl=wss://a.example/\nca_file=${CA}")
    let channel = fake_channel("PJSIP/100-1", 8000)
    func warnings() -> Int { FakedAsterisk.log.components(separatedBy: "variables have named too many files").count }
    let before = (warnings: warnings(), restarts: restarts())
    var forks: [String] = []
    for number in 0..<256 {
      pbx_builtin_setvar_helper(channel, "CA", "/own/\(number).pem")
      forks.append(try #require(module.start(channel, "a")))
    }
    #expect(warnings() == before.warnings)
    for number in 256..<258 {
      pbx_builtin_setvar_helper(channel, "CA", "/own/\(number).pem")
      forks.append(try #require(module.start(channel, "a")))
    }
    #expect(warnings() == before.warnings + 1)
    #expect(restarts() == before.restarts + 1)
    let engine = try replaceEngine(module)
    #expect(told?.files.count == 256)
    fake_hangup(channel)
    end(module, engine, forks)
  }

  func restarts() -> Int { FakedAsterisk.log.components(separatedBy: "restarting the engine").count }

  @Test("Run directory, spools and files of all sections, and the folders that Asterisk keeps for itself")
  func settings() throws {
    let module = try LoadedModule(
      """
      spool=/var/spool/calls
      [a]
      url=wss://a.example/
      ca_file=/etc/asterisk/keys/ca.pem
      cert_file=/srv/tls/${NAME}/client.pem
      key_file=/srv/tls/^{EXTEN}.pem
      [b]
      url=wss://b.example/
      ca_file=${CA}
      spool=/data/calls
      """)
    #expect(told?.runDirectory == Bytes(module.asterisk.runDirectory.utf8))
    #expect(texts(told?.spoolFolders) == ["/var/spool/calls", "/data/calls"])
    #expect(texts(told?.files) == ["/etc/asterisk/keys/ca.pem", "/srv/tls/"])
    #expect(texts(told?.privateFolders) == ["/etc/asterisk"])
    module.end([], [])
  }

  @Test("confine = no tells it nothing, and a reload that changes it starts another engine")
  func off() throws {
    let module = try LoadedModule("confine=no\n[a]\nurl=wss://a.example/\nca_file=/ca.pem")
    #expect(told == nil)
    let before = restarts()
    fake_configuration("engine=/bin/true\nrun_dir=\(module.asterisk.runDirectory)\n[a]\nurl=wss://a.example/")
    #expect(af_reload() == 0)
    #expect(restarts() == before + 1)
    let engine = try replaceEngine(module)
    #expect(texts(told?.files) == ["/ca.pem"])
    end(module, engine)
  }

  @Test("A reload that names another file starts an engine that may read both; one that names no more does not")
  func reload() throws {
    let module = try LoadedModule("[a]\nurl=wss://a.example/\nca_file=/one.pem")
    let before = restarts()
    let settings = "engine=/bin/true\nrun_dir=\(module.asterisk.runDirectory)\n[a]\nurl=wss://a.example/\n"
    fake_configuration(settings + "ca_file=/two.pem")
    #expect(af_reload() == 0)
    #expect(restarts() == before + 1)
    let engine = try replaceEngine(module)
    #expect(texts(told?.files) == ["/one.pem", "/two.pem"])
    for path in ["/one.pem", "/two.pem"] {
      fake_configuration(settings + "ca_file=\(path)")
      #expect(af_reload() == 0)
    }
    #expect(restarts() == before + 1)
    end(module, engine)
  }

  @Test("A file that only the call names starts another engine once, and one in a folder that is known does not")
  func variables() throws {
    let module = try LoadedModule("[a]\nurl=wss://a.example/\nca_file=${CA}\ncert_file=/srv/x/${CA}\nkey_file=/srv/key")
    let channel = fake_channel("PJSIP/100-1", 8000)
    pbx_builtin_setvar_helper(channel, "CA", "/own/ca.pem")
    let before = restarts()
    let first = try #require(module.start(channel, "a"))
    #expect(restarts() == before + 1)
    let second = try #require(module.start(channel, "a"))
    #expect(restarts() == before + 1)
    let engine = try replaceEngine(module)
    #expect(texts(told?.files) == ["/srv/x/", "/srv/key", "/own/ca.pem"])
    // Another one so soon waits.
    pbx_builtin_setvar_helper(channel, "CA", "/own/other.pem")
    let third = try #require(module.start(channel, "a"))
    #expect(restarts() == before + 1)
    fake_hangup(channel)
    end(module, engine, [first, second, third])
  }
}
