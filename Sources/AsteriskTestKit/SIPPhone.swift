// SPDX-License-Identifier: Apache-2.0
import Foundation

/// A telephone that calls: sipp speaks SIP, an RTP peer of ours has the audio.
package final class SIPPhone: Sendable {
  /// A codec as SDP names it.
  package struct Codec: Sendable {
    package let payloadType: UInt8
    package let name: String
    package static let muLaw = Codec(payloadType: 0, name: "PCMU")
    package static let aLaw = Codec(payloadType: 8, name: "PCMA")
    /// 16 kHz; its clock runs at 8 kHz (RFC 3551, 4.5.2).
    package static let g722 = Codec(payloadType: 9, name: "G722")
  }

  /// What the call does, one after the other.
  package enum Step: Sendable {
    /// The INVITE, and afterwards a re-INVITE: one codec and a direction (RFC 3264).
    case offer(Codec, direction: String = "sendrecv")
    case pause(milliseconds: Int)
  }

  /// The payload type of its digits.
  package static let digits: UInt8 = 101

  package let audio: RTPPeer
  private let sipp: ChildProcess
  private let folder: URL

  /// Calls an extension of the Asterisk that listens there. After the steps it hangs up.
  package init(calling extension: String, at port: String, _ steps: [Step]) throws {
    audio = try RTPPeer()
    folder = URL(fileURLWithPath: "/tmp/af-phone-\(UInt32.random(in: 0...UInt32.max))")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    let scenario = folder.appending(path: "scenario.xml")
    try Self.scenario(steps).write(to: scenario, atomically: true, encoding: .utf8)
    sipp = try ChildProcess(
      "/usr/bin/sipp",
      [
        "127.0.0.1:\(port)", "-sf", scenario.path, "-s", `extension`, "-m", "1", "-i", "127.0.0.1", "-nostdin", "-key", "audio_port",
        String(audio.port), "-timeout", "60s", "-timeout_error", "-trace_logs", "-log_file", folder.appending(path: "log").path,
        "-trace_err", "-error_file", folder.appending(path: "errors").path,
      ])
  }

  /// The ports that Asterisk has answered with, one for each offer so far.
  package var answers: [Int] {
    let log = (try? String(contentsOf: folder.appending(path: "log"), encoding: .utf8)) ?? ""
    return log.split(separator: "\n").compactMap { $0.hasPrefix("answer ") ? Int($0.dropFirst(7).prefix { $0 != " " }) : nil }
  }

  /// Waits for the answer to an offer, counted from 1. Returns Asterisk's port for audio.
  package func answer(_ number: Int = 1, within seconds: Double = 10) async throws -> Int {
    let port = await eventually(within: seconds) { () -> Int?? in
      // One that has ended will get none.
      self.answers.count >= number ? self.answers[number - 1] : self.sipp.isRunning ? nil : .some(nil)
    }
    guard let port, let port else {
      throw TestKitError("no answer to offer \(number): \(problems)")
    }
    return port
  }

  /// Waits for the end of the call. False if it was none, or not as it should be.
  package func ended(within seconds: Double = 20) async -> Bool { await sipp.exitStatus(within: seconds) == 0 }

  /// What sipp complained of.
  package var problems: String {
    ((try? String(contentsOf: folder.appending(path: "errors"), encoding: .utf8)) ?? "") + sipp.lines.suffix(5).joined(separator: "\n")
  }

  /// Ends what still runs, and removes its files.
  package func remove() async {
    await sipp.end()
    audio.end()
    try? FileManager.default.removeItem(at: folder)
  }

  private static func scenario(_ steps: [Step]) -> String {
    var scenario = "<?xml version=\"1.0\" encoding=\"ISO-8859-1\" ?>\n<scenario name=\"phone\">\n"
    var requests = 0
    for step in steps {
      switch step {
      case .pause(let milliseconds): scenario += "<pause milliseconds=\"\(milliseconds)\"/>\n"
      case .offer(let codec, let direction):
        requests += 1
        scenario += send(requests, "INVITE", isFirst: requests == 1, description(codec, direction, version: requests), retransmitted: true)
        for status in ["100", "180", "183"] { scenario += "<recv response=\"\(status)\" optional=\"true\"/>\n" }
        scenario += """
          <recv response="200"><action>
          <ereg regexp="m=audio ([0-9]+)" search_in="body" check_it="true" assign_to="line,port"/>
          <log message="answer [$port] in [$line]"/>
          </action></recv>

          """
        scenario += send(requests, "ACK", isFirst: false, nil, retransmitted: false)
      }
    }
    scenario += send(requests + 1, "BYE", isFirst: false, nil, retransmitted: true)
    return scenario + "<recv response=\"200\"/>\n</scenario>\n"
  }

  private static func description(_ codec: Codec, _ direction: String, version: Int) -> String {
    """
    v=0
    o=phone 1 \(version) IN IP4 127.0.0.1
    s=-
    c=IN IP4 127.0.0.1
    t=0 0
    m=audio [audio_port] RTP/AVP \(codec.payloadType) \(digits)
    a=rtpmap:\(codec.payloadType) \(codec.name)/8000
    a=rtpmap:\(digits) telephone-event/8000
    a=fmtp:\(digits) 0-15
    a=ptime:20
    a=\(direction)

    """
  }

  private static func send(_ number: Int, _ method: String, isFirst: Bool, _ body: String?, retransmitted: Bool) -> String {
    """
    <send\(retransmitted ? " retrans=\"500\"" : "")><![CDATA[
    \(method) sip:[service]@[remote_ip]:[remote_port] SIP/2.0
    Via: SIP/2.0/UDP [local_ip]:[local_port];branch=[branch]
    From: <sip:phone@[local_ip]:[local_port]>;tag=[pid]phone[call_number]
    To: <sip:[service]@[remote_ip]:[remote_port]>\(isFirst ? "" : "[peer_tag_param]")
    Call-ID: [call_id]
    CSeq: \(number) \(method)
    Contact: <sip:phone@[local_ip]:[local_port]>
    Max-Forwards: 70
    \(body == nil ? "" : "Content-Type: application/sdp\n")Content-Length: [len]

    \(body ?? "")
    ]]></send>

    """
  }
}
