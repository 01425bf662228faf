// SPDX-License-Identifier: Apache-2.0
internal import AsteriskTestKit
internal import AudioForkTestKit
internal import Foundation

/// Phones of sipp that call Asterisk and speak G.711.
struct SIPPPhones {
  private let sandbox: Sandbox
  private let port: Int
  private let scenario: String

  init(_ sandbox: Sandbox, saying codes: [UInt8]) async throws {
    self.sandbox = sandbox
    let endpoint = """
      [anonymous]
      type=endpoint
      context=phones
      disallow=all
      allow=ulaw
      direct_media=no

      """
    try endpoint.write(to: sandbox.folder.appending(path: "etc/pjsip-test.conf"), atomically: true, encoding: .utf8)
    try await sandbox.cli("module reload res_pjsip.so")
    guard let port = sandbox.facts["sip_port"].flatMap({ Int($0) }) else {
      throw BenchError("the sandbox has no SIP port")
    }
    self.port = port
    let file = sandbox.folder.appending(path: "said.ulaw")
    try Data(codes).write(to: file)
    // sipp puts no keys into that place.
    let text = try String(contentsOf: Checkout.root.appending(path: "Benchmarks/sip/caller.xml"), encoding: .utf8)
    let made = sandbox.folder.appending(path: "caller.xml")
    try text.replacingOccurrences(of: "SPEECH", with: file.path).write(to: made, atomically: true, encoding: .utf8)
    scenario = made.path
  }

  /// That many at once; they end when Asterisk has hung up.
  func call(_ exten: String, _ count: Int) async throws -> ChildProcess {
    try ChildProcess(
      "/usr/bin/sipp",
      [
        "127.0.0.1:\(port)", "-sf", scenario, "-s", exten, "-m", "\(count)", "-l", "\(count)", "-r", "50",
        "-i", "127.0.0.1", "-mi", "127.0.0.1", "-p", "\(try freeUDPPort())", "-nostdin", "-timeout", "300",
      ])
  }
}
