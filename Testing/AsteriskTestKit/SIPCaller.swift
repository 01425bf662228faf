// SPDX-License-Identifier: Apache-2.0
internal import AudioForkTestKit
package import Foundation
import Synchronization

/// A phone whose call is led by the test step by step: sipp for the signalling, an RTPSender for the audio. Where a
/// test goes wrong, sipp ends with it.
package final class SIPCaller: Sendable {
  /// What Asterisk has agreed to.
  package struct Agreement: Sendable {
    package let payloadType: UInt8
    /// Asterisk's own view: recvonly where the phone offered sendonly.
    package let direction: String
  }

  package let rtp: RTPSender
  private let child: ChildProcess
  private let port: Int
  private let call: String
  private let log: URL
  private let steps = Mutex(0)

  /// Calls that extension of the Asterisk at `server` (a UDP port of the loopback), and waits for the answer.
  package init(calls extension: String, at server: Int, codec: RTPCodec, in folder: URL) async throws {
    rtp = try RTPSender()
    port = try freeUDPPort()
    call = "phone-\(UInt32.random(in: 0...UInt32.max))"
    log = folder.appending(path: "\(call).log")
    let scenario = Checkout.root.appending(path: "Testing/Fixtures/sip/phone.xml").path
    child = try ChildProcess(
      "/usr/bin/sipp",
      [
        "127.0.0.1:\(server)", "-sf", scenario, "-m", "1", "-s", `extension`, "-i", "127.0.0.1", "-p", "\(port)",
        "-cid_str", call, "-key", "audio_port", "\(rtp.port)", "-key", "payload", "\(codec.rawValue)", "-nostdin",
        "-trace_logs", "-log_file", log.path, "-trace_err", "-error_file", folder.appending(path: "\(call).err").path,
      ])
    let answer = try await logLine("answered", 1)
    guard let match = answer.firstMatch(of: /port=([0-9]+)/), let media = Int(match.1) else {
      throw TestKitError("sipp got no address for audio: \(answer)")
    }
    rtp.connect(to: media)
  }

  /// Offers this codec and direction (sendrecv, sendonly, inactive) with a re-INVITE; returns what was agreed.
  @discardableResult
  package func reoffer(_ codec: RTPCodec, _ direction: String = "sendrecv") async throws -> Agreement {
    let step = nextStep()
    try sendRequest("REOFFER", step, ["Payload: \(codec.rawValue)", "Media-Direction: \(direction)"])
    let answer = try await logLine("agreed", step)
    guard let match = answer.firstMatch(of: /port=([0-9]+) payload=([0-9]+) direction=([a-z]+)/),
      let media = Int(match.1), let payloadType = UInt8(match.2)
    else { throw TestKitError("sipp understands no answer: \(answer)") }
    rtp.connect(to: media)
    return Agreement(payloadType: payloadType, direction: String(match.3))
  }

  /// Hangs up, and waits until sipp has ended with its call as it should be.
  package func hangUp() async throws {
    try sendRequest("FINISH", nextStep(), [])
    guard let status = await child.exitStatus(within: 10), status == 0 else {
      throw TestKitError("sipp did not end as it should: \(failure)")
    }
  }

  private func nextStep() -> Int {
    steps.withLock { last in
      last += 1
      return last
    }
  }

  /// The line number `count` of those that begin with this word in sipp's log.
  private func logLine(_ word: String, _ count: Int) async throws -> String {
    let line = await eventually(within: 10) { () -> String? in
      let text = (try? String(contentsOf: log, encoding: .utf8)) ?? ""
      // What is not yet ended by a line's end may not be whole.
      let lines = text.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
      let found = lines.filter { $0.hasPrefix(word + " ") }
      return found.count >= count ? String(found[count - 1]) : nil
    }
    guard let line else { throw TestKitError("sipp did not come to '\(word)' \(count): \(failure)") }
    return line
  }

  private var failure: String {
    let errors =
      (try? String(contentsOf: log.deletingPathExtension().appendingPathExtension("err"), encoding: .utf8)) ?? ""
    return errors + child.lines.suffix(40).joined(separator: "\n")
  }

  /// A request to sipp itself, inside its call: its scenario waits for it. Nobody answers.
  private func sendRequest(_ method: String, _ step: Int, _ headers: [String]) throws {
    let descriptor = try boundUDPSocket(0)
    defer { close(descriptor) }
    let lines =
      [
        "\(method) sip:phone@127.0.0.1:\(port) SIP/2.0", "Via: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bK\(call)-\(step)",
        "From: <sip:test@127.0.0.1>;tag=test", "To: <sip:phone@127.0.0.1>", "Call-ID: \(call)",
        "CSeq: \(step) \(method)",
      ] + headers + ["Content-Length: 0", "", ""]
    let bytes = Array(lines.joined(separator: "\r\n").utf8)
    var address = loopback(port)
    let sent = withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        sendto(descriptor, bytes, bytes.count, 0, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    guard sent == bytes.count else { throw TestKitError("sipp cannot be told \(method)") }
  }
}
