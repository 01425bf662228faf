// SPDX-License-Identifier: Apache-2.0
import AudioForkEngine
import AudioForkSurface
import AudioForkTestKit
import AudioForkWebSocket
import Foundation
import Testing

@Suite("Files with credentials")
struct CredentialFilesTests {
  private func options(_ lines: (String, String)...) throws -> ForkOptions {
    var options = ForkOptions()
    for (key, value) in lines {
      try options.apply(#require(ProfileKey.named(Array(key.utf8))), Array(value.utf8))
    }
    return options
  }

  @Test(
    "A token is the first line without blanks around it",
    arguments: [
      ("abc", "abc"), ("abc\n", "abc"), (" \tabc\r\nsecond\n", "abc"), ("a b\n", "a b"),
      (String(repeating: "x", count: 8192) + "\nmore", String(repeating: "x", count: 8192)),
    ])
  func token(text: String, expected: String) throws {
    #expect(try CredentialFiles.token(in: Array(text.utf8)) == Array(expected.utf8))
  }

  @Test(
    "What is no token is named without what it is",
    arguments: [
      ("", "it is empty"), ("\n", "its first line is empty"), (" \r\nabc\n", "its first line is empty"),
      ("a\u{0}b", "its first line has a control character"), ("a\tb\n", "its first line has a control character"),
      (String(repeating: "x", count: 8193), "its first line is longer than 8192 bytes"),
    ])
  func noToken(text: String, reason: String) throws {
    #expect(throws: CredentialFiles.CredentialError(reason: reason)) {
      try CredentialFiles.token(in: Array(text.utf8))
    }
  }

  @Test("A file has a header in each line, and the last one of a name counts")
  func headers() throws {
    let headers = try CredentialFiles.headers(
      in: Array("X-Key: one\r\n\n  Authorization:  Basic eA== \nx-key: two\n".utf8))
    #expect(headers.map(\.name) == ["Authorization", "x-key"])
    #expect(headers.map { String(decoding: $0.value, as: UTF8.self) } == ["Basic eA==", "two"])
  }

  @Test(
    "What is no header is named by its line and not shown",
    arguments: [
      ("", "it has no header"), ("\n\n", "it has no header"), ("s3cret", "line 1 is no header"),
      ("X: y\ns3cret\n", "line 2 is no header"), ("Host: s3cret", "line 1 is no header"),
      ("Sec-WebSocket-Key: s3cret", "line 1 is no header"), ("X: a\u{1}b", "line 1 is no header"),
      ("X: " + String(repeating: "a", count: 8193), "line 1 is no header"),
      (String(repeating: "X: y\n", count: 4000), "it is longer than 16384 bytes"),
    ])
  func noHeaders(text: String, reason: String) throws {
    let error = #expect(throws: CredentialFiles.CredentialError.self) {
      try CredentialFiles.headers(in: Array(text.utf8))
    }
    #expect(try #require(error).reason.hasPrefix(reason))
    #expect(try !#require(error).reason.contains("s3cret"))
  }

  @Test("Files are read each time, the token takes the place of an Authorization in the other file")
  func files() throws {
    let folder = try ScratchFolder()
    let token = "\(folder.path)/token"
    let headers = "\(folder.path)/headers"
    let files = try #require(CredentialFiles(try options(("token_file", token), ("header_file", headers))))
    for (word, first) in [("one", "1"), ("two", "2")] {
      try Data("\(word)\n".utf8).write(to: URL(filePath: token))
      try Data("X-First: \(first)\nauthorization: Basic eA==\n".utf8).write(to: URL(filePath: headers))
      let read = try files.read()
      #expect(read.map(\.name) == ["X-First", "Authorization"])
      #expect(read.map { String(decoding: $0.value, as: UTF8.self) } == [first, "Bearer \(word)"])
    }
    #expect(try CredentialFiles(options(("redirects", "no"))) == nil)
  }

  @Test("A file that is missing, of another kind, empty or too long is a failure that passes, with its name")
  func failures() throws {
    let folder = try ScratchFolder()
    let pipe = "\(folder.path)/pipe"
    #expect(mkfifo(pipe, 0o600) == 0)
    let empty = "\(folder.path)/empty"
    try Data().write(to: URL(filePath: empty))
    let long = "\(folder.path)/long"
    try Data(repeating: 120, count: 1 << 20).write(to: URL(filePath: long))
    for (path, words) in [
      ("\(folder.path)/none", "cannot be read: No such file or directory"), (pipe, "cannot be read: it is not a file"),
      (folder.path, "cannot be read: it is not a file"), (empty, "cannot be used: it is empty"),
      (long, "cannot be used: its first line is longer than 8192 bytes"),
    ] {
      let files = try #require(CredentialFiles(try options(("token_file", path))))
      let failure = #expect(throws: ConnectionFailure.self) { try files.read() }

      #expect(failure == ConnectionFailure("credentials: token_file '\(path)' \(words)"))
    }
    let files = try #require(CredentialFiles(try options(("header_file", long))))
    #expect(
      throws: ConnectionFailure("credentials: header_file '\(long)' cannot be used: it is longer than 16384 bytes")
    ) {
      try files.read()
    }
  }
}
