// SPDX-License-Identifier: Apache-2.0
internal import AudioForkTestKit
package import Foundation

/// `audiofork serve` as a test uses it: a port, a folder, and what arrived.
package final class Receiver: Sendable {
  package let folder: URL
  package let port: Int
  private let child: ChildProcess
  private let scheme: String

  /// Starts the receiver. Port 0 lets it choose; a restarted one is given its old port and folder. With a certificate,
  /// and its key, it takes wss://; with `clientAuthorities` clients need a certificate of theirs.
  package init(
    port: Int = 0, folder: URL? = nil, certificate: (certificate: String, key: String)? = nil,
    clientAuthorities: String? = nil
  ) async throws {
    let folder = folder ?? Checkout.folder("received")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    var arguments = ["serve", "--listen", "127.0.0.1:\(port)", "--out", folder.path, "--json"]
    if let certificate { arguments += ["--certificate", certificate.certificate, "--key", certificate.key] }
    if let clientAuthorities { arguments += ["--client-ca", clientAuthorities] }
    let child = try ChildProcess(Checkout.program, arguments)
    guard let line = await child.line(within: 10, where: { $0.contains("://127.0.0.1:") }),
      let match = line.firstMatch(of: /wss?:\/\/127\.0\.0\.1:([0-9]+)/), let chosen = Int(match.1)
    else {
      await child.end()
      throw TestKitError("audiofork serve does not listen: \(child.lines)")
    }
    self.child = child
    self.folder = folder
    self.port = chosen
    scheme = certificate == nil ? "ws" : "wss"
  }

  package func url(_ path: String = "x") -> String { "\(scheme)://127.0.0.1:\(port)/\(path)" }

  /// Events printed so far.
  package var lines: [String] { child.lines }

  package func end() async { await child.end() }
  package func signal(_ number: Int32) { child.signal(number) }
  /// Waits for its end after a signal.
  package func ended(within seconds: Double = 5) async -> Bool { await child.exitStatus(within: seconds) != nil }

  /// What `audiofork serve --json` says about one stream.
  package struct Event: Decodable, Sendable {
    package let event: String
    package let stream: Int?
    package let path: String?
    package let id: String?
    package let channel: String?
    package let file: String?
    package let rate: Int?
    package let channels: Int?
    package let code: Int?
    package let by: String?
    package let seconds: Double?
  }

  /// Its events of one kind so far, of all streams or of those for one path.
  package func events(_ kind: String, path: String? = nil) -> [Event] {
    let decoder = JSONDecoder()
    return child.lines.filter { $0.hasPrefix("{") }
      .compactMap { try? decoder.decode(Event.self, from: Data($0.utf8)) }
      .filter { $0.event == kind && (path == nil || $0.path == "/" + (path ?? "")) }
  }

  /// The samples of each connection for the path, in the order of the connections.
  package func recordings(path: String? = nil) throws -> [[Int16]] {
    try events("started", path: path).map { event in
      let file = event.file ?? ""
      return try wavSamples(file.hasPrefix("/") ? file : folder.appending(path: file).path)
    }
  }

  /// The samples of the first connection for the path.
  package func recording(path: String) throws -> [Int16] {
    guard let first = try recordings(path: path).first else { throw TestKitError("nothing came for /\(path)") }
    return first
  }

  /// The samples of one channel of the first connection for the path; channels count from 0.
  package func recording(path: String, channel: Int) throws -> [Int16] {
    let count = max(events("started", path: path).first?.channels ?? 1, 1)
    let samples = try recording(path: path)
    return stride(from: channel, to: samples.count, by: count).map { samples[$0] }
  }

  /// Waits until `count` connections for the path have begun.
  package func started(_ count: Int, path: String? = nil, within seconds: Double) async -> Bool {
    await becomesTrue(within: seconds) { self.events("started", path: path).count >= count }
  }

  /// Waits until `count` connections for the path are over.
  package func ended(_ count: Int, path: String? = nil, within seconds: Double) async -> Bool {
    await becomesTrue(within: seconds) { self.events("ended", path: path).count >= count }
  }

  package func remove() async {
    await end()
    if Checkout.testFolder != nil {
      try? lines.joined(separator: "\n").write(to: folder.appending(path: "log"), atomically: true, encoding: .utf8)
      return
    }
    try? FileManager.default.removeItem(at: folder)
  }
}

/// The samples of a plain 16-bit PCM file. An own few lines, so that a recording is not judged by its writer.
package func wavSamples(_ path: String) throws -> [Int16] {
  guard let bytes = FileManager.default.contents(atPath: path).map([UInt8].init), bytes.count >= 44 else {
    throw TestKitError("\(path) is no WAV file")
  }
  func number(_ at: Int, _ count: Int) -> Int { (0..<count).reduce(0) { $0 | Int(bytes[at + $1]) << (8 * $1) } }
  guard bytes[0..<4].elementsEqual("RIFF".utf8), bytes[8..<12].elementsEqual("WAVE".utf8) else {
    throw TestKitError("\(path) is no WAV file")
  }
  var at = 12
  while at + 8 <= bytes.count {
    let length = number(at + 4, 4)
    if bytes[at..<(at + 4)].elementsEqual("data".utf8) {
      let end = min(at + 8 + length, bytes.count)
      return stride(from: at + 8, to: end - 1, by: 2).map { Int16(truncatingIfNeeded: number($0, 2)) }
    }
    at += 8 + length + length % 2
  }
  throw TestKitError("\(path) has no audio")
}
