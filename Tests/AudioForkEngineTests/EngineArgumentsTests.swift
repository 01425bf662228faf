// SPDX-License-Identifier: Apache-2.0
import AudioForkEngine
import Testing

@Suite("Engine's command line")
struct EngineArgumentsTests {
  @Test("The words that a module passes, whether its configuration names audiofork-engine or audiofork")
  func module() throws {
    for words in [
      ["--link", "3", "--directory", "/run/a"], ["engine", "--link", "3", "--directory", "/run/a"],
      ["--link=3", "--directory=/run/a"], ["--directory", "/run/a"],
    ] {
      let arguments = try EngineArguments(words)
      #expect(arguments.link == 3)
      #expect(arguments.directory == "/run/a")
      #expect(!arguments.wantsHelp && !arguments.wantsVersion)
    }
    #expect(try EngineArguments(["--link", "17", "--directory", "a=b"]).link == 17)
    #expect(try EngineArguments(["--directory=a=b"]).directory == "a=b")
  }

  @Test("Help and version need no directory")
  func help() throws {
    #expect(try EngineArguments(["--help"]).wantsHelp)
    #expect(try EngineArguments(["engine", "-h"]).wantsHelp)
    #expect(try EngineArguments(["--version"]).wantsVersion)
  }

  @Test("What cannot work is refused, with the word that is wrong")
  func refused() {
    for (words, part) in [
      ([], "--directory is missing"), (["engine"], "--directory is missing"),
      (["--directory"], "--directory needs a value"),
      (["--directory", ""], "--directory is missing"), (["--link", "x", "--directory", "/"], "not 'x'"),
      (["--link", "-1", "--directory", "/"], "not '-1'"),
      (["--link", "99999999999", "--directory", "/"], "descriptor"),
      (["--directory", "/", "engine"], "unknown argument 'engine'"), (["--what"], "unknown argument '--what'"),
    ] {
      let error = #expect(throws: EngineStartError.self) { try EngineArguments(words) }
      #expect(error?.description.contains(part) == true, "\(words): \(error?.description ?? "")")
      #expect(error?.description.contains("started by app_audiofork") == true)
    }
  }
}
