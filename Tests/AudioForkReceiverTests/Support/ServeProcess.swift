// SPDX-License-Identifier: Apache-2.0
import AudioForkTestKit
import Glibc

/// The executable `audiofork`, built beside these tests, as a process. Ended and reaped with this value.
final class ServeProcess {
  private let child: ChildProcess
  private let outputPath: String
  private let errorPath: String
  private let folder: TemporaryFolder

  /// - Parameters:
  ///   - fileBlocksMax: limit on the size of files, in 512-byte blocks, for a disk that fills up.
  ///   - openFilesMax: limit on open files.
  ///   - output: where standard output goes; nil: to a file, which `output` reads.
  init(_ arguments: [String], fileBlocksMax: Int? = nil, openFilesMax: Int? = nil, output: String? = nil) throws {
    folder = try TemporaryFolder()
    outputPath = output ?? folder.path + "/output"
    errorPath = folder.path + "/errors"
    guard let runner = realpath("/proc/self/exe", nil) else { throw SystemCallFailed(what: "realpath") }
    defer { free(runner) }
    let folders = String(cString: runner).split(separator: "/").dropLast()
    let executable = (folders + ["audiofork"]).map { "/" + $0 }.joined()
    guard access(executable, X_OK) == 0 else { throw SystemCallFailed(what: "no \(executable)") }
    let limit =
      (fileBlocksMax.map { "ulimit -f \($0); " } ?? "") + (openFilesMax.map { "ulimit -n \($0); " } ?? "")
    let command = limit + "exec \"$@\" >\(outputPath) 2>\(errorPath)"
    child = try ChildProcess("/bin/sh", ["-c", command, "sh", executable] + arguments, output: .discarded)
  }

  var output: String { String(decoding: contents(outputPath), as: UTF8.self) }
  var errors: String { String(decoding: contents(errorPath), as: UTF8.self) }

  /// The port it listens on; nil if it does not say so within ten seconds.
  func port() -> Int? {
    for _ in 0..<1000 {
      if let line = output.split(separator: "\n").first, output.contains("\n"),
        let port = line.split(separator: " ").dropFirst(2).first?.split(separator: ":").last
      {
        return Int(port.filter(\.isNumber))
      }
      usleep(10_000)
    }
    return nil
  }

  /// Whether its output contains a text within ten seconds.
  func prints(_ text: String) -> Bool {
    for _ in 0..<1000 {
      if output.contains(text) { return true }
      usleep(10_000)
    }
    return false
  }

  /// Its memory in kilobytes.
  var residentKilobytes: Int? {
    let status = String(decoding: contents("/proc/\(child.identifier)/status"), as: UTF8.self)
    return status.split(separator: "\n").first { $0.hasPrefix("VmRSS:") }.flatMap { Int($0.filter(\.isNumber)) }
  }

  /// Sends a signal.
  func signal(_ number: CInt) { child.signal(number) }

  /// The exit status; nil if it was ended by a signal or has not ended within ten seconds.
  func exitStatus() -> Int? {
    for _ in 0..<1000 {
      // As a shell says it: 128 and more is a signal.
      if let status = child.exitStatus { return status < 128 ? Int(status) : nil }
      usleep(10_000)
    }
    return nil
  }
}
