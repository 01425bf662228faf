// SPDX-License-Identifier: Apache-2.0
internal import AsteriskTestKit
internal import AudioForkTestKit
internal import Foundation
internal import Synchronization

/// `audiofork serve` on one port and in one folder, over its restarts.
final class RestartedReceiver: Sendable {
  let port: Int
  let folder: URL
  private let certificate: (certificate: String, key: String)?
  private let current: Mutex<Receiver>
  /// What those said of `stop` that are gone.
  private let past = Mutex<[String]>([])

  init(certificate: (certificate: String, key: String)?) async throws {
    let first = try await Receiver(port: lastingPort(), certificate: certificate)
    self.certificate = certificate
    port = first.port
    folder = first.folder
    current = Mutex(first)
  }

  private var receiver: Receiver { current.withLock { $0 } }
  func signal(_ number: Int32) { receiver.signal(number) }

  func restart(by number: Int32, away seconds: Double) async throws {
    let old = receiver
    old.signal(number)
    guard await old.ended() else { throw TestKitError("the receiver did not end") }
    try await Task.sleep(for: .seconds(seconds))
    let said = old.lines.filter { $0.hasPrefix(Self.stopEvent) }
    past.withLock { $0 += said }
    let next = try await Receiver(port: port, folder: folder, certificate: certificate)
    current.withLock { $0 = next }
  }

  private static let stopEvent = #"{"event":"stop","#

  /// The position that the fork's `stop` named; nil where none came, or its word died with the receiver.
  func stopPosition(of fork: String) -> Int? {
    func isIts(_ line: String) -> Bool { line.hasPrefix(Self.stopEvent) && line.contains(#""id":"\#(fork)""#) }
    let line = receiver.lines.last(where: isIts) ?? past.withLock { $0.last(where: isIts) }
    return line?.firstMatch(of: /"position":([0-9]+)/).flatMap { Int($0.1) }
  }

  /// The files for a path so far.
  func files(_ path: String) -> [String] {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
    return names.filter { $0.hasPrefix(path + "-") && $0.hasSuffix(".wav") }.sorted()
      .map { folder.appending(path: $0).path }
  }

  func remove() async { await receiver.remove() }
}
