// SPDX-License-Identifier: Apache-2.0
import Glibc

/// The executable `audiofork`, built beside these tests, as a process. Ended and reaped with this value.
final class ServeProcess {
  private var process: pid_t = 0
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
    let command = ["/bin/sh", "-c", limit + "exec \"$@\" >\(outputPath) 2>\(errorPath)", "sh", executable] + arguments
    var strings: [UnsafeMutablePointer<CChar>?] = command.map { strdup($0) } + [nil]
    defer { for string in strings { free(string) } }
    guard posix_spawn(&process, "/bin/sh", nil, nil, &strings, environ) == 0 else {
      throw SystemCallFailed(what: "posix_spawn")
    }
  }

  deinit {
    if process > 0 {
      kill(process, SIGKILL)
      waitpid(process, nil, 0)
    }
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
  func tells(_ text: String) -> Bool {
    for _ in 0..<1000 {
      if output.contains(text) { return true }
      usleep(10_000)
    }
    return false
  }

  /// Its memory in kilobytes.
  var residentKilobytes: Int? {
    let status = String(decoding: contents("/proc/\(process)/status"), as: UTF8.self)
    return status.split(separator: "\n").first { $0.hasPrefix("VmRSS:") }.flatMap { Int($0.filter(\.isNumber)) }
  }

  /// Sends a signal.
  func signal(_ number: CInt) { kill(process, number) }

  /// The exit status; nil if it was ended by a signal or has not ended within ten seconds.
  func exitStatus() -> Int? {
    for _ in 0..<1000 {
      var status: CInt = 0
      if waitpid(process, &status, WNOHANG) == process {
        process = 0
        return status & 0x7F == 0 ? Int(status >> 8 & 0xFF) : nil
      }
      usleep(10_000)
    }
    return nil
  }
}
