// SPDX-License-Identifier: Apache-2.0
package import NIOCore
package import NIOHTTP1

/// Reads the server's answer to the upgrade request, or a proxy's to CONNECT, out of its bytes (RFC 9112 sections 4 to
/// 7). Without I/O or clock; one byte after the other, so that it does not matter how the network cuts them.
///
/// Of a refusal it also keeps the beginning of the body, because servers say there what is wrong. It never asks for
/// more than `headBytesMax` and `bodyBytesMax` together.
package struct AnswerReader {
  /// Longest head, answers 1xx before it included: ample for cookies and policies that proxies add.
  package static let headBytesMax = 16_384
  /// Most header lines.
  package static let fieldsMax = 100
  /// So much of a refusal's body is read at most, chunk sizes included.
  package static let bodyBytesMax = 4096

  /// What was asked.
  package enum Question: Sendable {
    case upgrade
    /// CONNECT, which any 2xx grants. Such an answer has no body, whatever it says (RFC 9110 section 9.3.6).
    case tunnel
  }

  package enum Answer {
    /// Granted: 101, or 2xx of a proxy. What is left in the buffer is of the other protocol.
    case switching(HTTPResponseHead)
    /// Anything else, with the beginning of its body.
    case refusal(HTTPResponseHead, body: [UInt8])
  }

  private enum Phase {
    case statusLine
    case fields(HTTPVersion, HTTPResponseStatus)
    case body(HTTPResponseHead, BodyReader)
    case over
  }

  private let question: Question
  private var phase = Phase.statusLine
  private var line: [UInt8] = []
  private var headBytes = 0
  /// Whether the server speaks TLS and not HTTP.
  package private(set) var isTLS = false
  private var names: [String] = []
  private var values: [[UInt8]] = []

  package init(of question: Question = .upgrade) { self.question = question }

  /// Whether nothing has been read yet.
  package var isUntouched: Bool { headBytes == 0 }

  /// The refusal as far as its body has been read; nil before its head is whole.
  package var refusalSoFar: Answer? {
    guard case .body(let head, let body) = phase else { return nil }
    return .refusal(head, body: body.content)
  }

  /// Takes bytes and returns the answer once there is no more to read of it. What belongs to it is taken out of the
  /// buffer. Throws with the reason when the bytes are no answer.
  package mutating func take(_ buffer: inout ByteBuffer) throws(ConnectionFailure) -> Answer? {
    while let byte = buffer.readInteger(as: UInt8.self) {
      if let answer = try take(byte) {
        phase = .over
        return answer
      }
    }
    return nil
  }

  /// The connection has ended: the refusal, if its head was whole. Throws with the reason otherwise.
  package func ended() throws(ConnectionFailure) -> Answer {
    if let refusalSoFar { return refusalSoFar }
    throw ConnectionFailure(
      isUntouched
        ? "http: the connection closed without an answer" : "http: the connection closed in the middle of the answer")
  }

  private mutating func take(_ byte: UInt8) throws(ConnectionFailure) -> Answer? {
    if case .body(let head, var body) = phase {
      // One owner at a time, or each byte would copy what there is.
      phase = .over
      let isOver = body.take(byte)
      phase = .body(head, body)
      return isOver ? .refusal(head, body: body.content) : nil
    }
    headBytes += 1
    guard headBytes <= AnswerReader.headBytesMax else {
      throw ConnectionFailure("http: the answer's head is longer than \(AnswerReader.headBytesMax) bytes")
    }
    guard byte == UInt8(ascii: "\n") else {
      line.append(byte)
      if case .statusLine = phase { try checkBeginning() }
      return nil
    }
    guard line.last == UInt8(ascii: "\r") else {
      if case .statusLine = phase, line.count < AnswerReader.protocolName.count { throw AnswerReader.notHTTP }
      throw ConnectionFailure(
        """
        http: a line of the answer ends with a line feed alone; HTTP wants carriage return and line feed \
        (RFC 9112 2.2)
        """
      )
    }
    line.removeLast()
    defer { line.removeAll(keepingCapacity: true) }
    switch phase {
    case .statusLine:
      try readStatusLine()
      return nil
    case .fields(let version, let status):
      guard line.isEmpty else {
        try readField()
        return nil
      }
      return headEnded(version, status)
    case .body, .over: return nil
    }
  }

  // MARK: - Head

  private static let protocolName = Array("HTTP/".utf8)
  private static let notHTTP = ConnectionFailure("http: the answer is not HTTP")

  /// Throws as soon as the first bytes are no HTTP: a server that speaks something else may never end its line.
  private mutating func checkBeginning() throws(ConnectionFailure) {
    guard line.count <= AnswerReader.protocolName.count else { return }
    // The first bytes of a record: alert or handshake, and the protocol's major version (RFC 8446 section 5.1).
    if line.first == 0x15 || line.first == 0x16 {
      guard line.count > 1 else { return }
      isTLS = line[1] == 0x03
      if isTLS { throw ConnectionFailure("http: the server answered with a TLS record and not with HTTP") }
    }
    guard AnswerReader.protocolName.starts(with: line) else { throw AnswerReader.notHTTP }
  }

  /// `HTTP/1.1 101 Switching Protocols`; the phrase may be missing, and its blank too.
  private mutating func readStatusLine() throws(ConnectionFailure) {
    let rest = Array(line.dropFirst(AnswerReader.protocolName.count))
    guard line.starts(with: AnswerReader.protocolName), rest.count >= 7, let major = digit(rest[0]),
      rest[1] == UInt8(ascii: "."),
      let minor = digit(rest[2]), rest[3] == UInt8(ascii: " "), let hundreds = digit(rest[4]), hundreds > 0,
      let tens = digit(rest[5]), let ones = digit(rest[6]), rest.count == 7 || rest[7] == UInt8(ascii: " ")
    else { throw AnswerReader.notHTTP }
    let code = hundreds * 100 + tens * 10 + ones
    let phrase = String(decoding: rest.dropFirst(8), as: UTF8.self)
    // The server's own words, where it has some.
    let status =
      code == 101 || phrase.isEmpty
      ? HTTPResponseStatus(statusCode: code) : HTTPResponseStatus.custom(code: UInt(code), reasonPhrase: phrase)
    phase = .fields(HTTPVersion(major: major, minor: minor), status)
  }

  private func digit(_ byte: UInt8) -> Int? { (48...57).contains(byte) ? Int(byte) - 48 : nil }

  private mutating func readField() throws(ConnectionFailure) {
    // Characters that no value has (RFC 9110 section 5.5); one that a log would act on is not worth a diagnosis.
    guard line.allSatisfy({ $0 >= 32 && $0 != 127 || $0 == UInt8(ascii: "\t") }) else {
      throw ConnectionFailure("http: the answer has a control character in its headers")
    }
    if line.first == UInt8(ascii: " ") || line.first == UInt8(ascii: "\t") {
      // A folded line belongs to the one before it (RFC 9112 section 5.2).
      guard let last = values.indices.last else { throw noHeader() }
      let more = withoutBlanks(line[...])
      if !more.isEmpty { values[last] += (values[last].isEmpty ? [] : [UInt8(ascii: " ")]) + more }
      return
    }
    guard let colon = line.firstIndex(of: UInt8(ascii: ":")), colon > 0,
      line[..<colon].allSatisfy(isTokenCharacter)
    else { throw noHeader() }
    guard names.count < AnswerReader.fieldsMax else {
      throw ConnectionFailure("http: the answer has more than \(AnswerReader.fieldsMax) header lines")
    }
    names.append(String(decoding: line[..<colon], as: UTF8.self))
    values.append(Array(withoutBlanks(line[(colon + 1)...])))
  }

  private func noHeader() -> ConnectionFailure {
    // Not with its text: a server that repeats our request would have our secrets shown.
    ConnectionFailure("http: line \(names.count + 2) of the answer is no header")
  }

  /// Without the blanks around it (RFC 9110 section 5.5).
  private func withoutBlanks(_ value: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
    var value = value
    while let first = value.first, first == UInt8(ascii: " ") || first == UInt8(ascii: "\t") { value.removeFirst() }
    while let last = value.last, last == UInt8(ascii: " ") || last == UInt8(ascii: "\t") { value.removeLast() }
    return value
  }

  /// RFC 9110 section 5.6.2.
  private func isTokenCharacter(_ byte: UInt8) -> Bool {
    switch byte {
    case 48...57, 65...90, 97...122: true
    default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
    }
  }

  private mutating func headEnded(_ version: HTTPVersion, _ status: HTTPResponseStatus) -> Answer? {
    let fields = zip(names, values).map { ($0, String(decoding: $1, as: UTF8.self)) }
    let head = HTTPResponseHead(version: version, status: status, headers: HTTPHeaders(fields))
    names = []
    values = []
    switch status.code {
    case 101 where question == .upgrade: return .switching(head)
    case 101: return .refusal(head, body: [])
    case 200..<300 where question == .tunnel: return .switching(head)
    // More is to come (RFC 9110 section 15.2).
    case 100..<200:
      phase = .statusLine
      return nil
    // What a redirect's body says its Location says too.
    case 204, 300..<400: return .refusal(head, body: [])
    default:
      let body = BodyReader(head.headers)
      guard !body.isEmpty else { return .refusal(head, body: []) }
      phase = .body(head, body)
      return nil
    }
  }
}

/// Reads the beginning of a body: by Content-Length, in chunks (RFC 9112 section 7.1), or until the connection closes.
/// What is wrong with a length or a chunk ends it there.
private struct BodyReader {
  private enum Part {
    case content(left: Int)
    case chunkSize(line: [UInt8])
    case chunk(left: Int)
    /// The line end behind a chunk.
    case chunkEnd
  }

  /// Longest line with a chunk's size.
  private static let chunkLineMax = 256

  private(set) var content: [UInt8] = []
  private var part: Part
  private var bytesRead = 0

  init(_ headers: HTTPHeaders) {
    let codings = headers["Transfer-Encoding"].joined(separator: ",").lowercased().split(separator: ",")
    if let last = codings.last?.filter({ $0 != " " && $0 != "\t" }) {
      part = last == "chunked" ? .chunkSize(line: []) : .content(left: .max)
    } else if let text = headers.first(name: "Content-Length"), text.utf8.count <= 18,
      let length = Int(text), length >= 0
    {
      part = .content(left: length)
    } else {
      part = .content(left: .max)
    }
  }

  var isEmpty: Bool {
    if case .content(left: 0) = part { return true }
    return false
  }

  /// Takes one byte; true when nothing more is wanted.
  mutating func take(_ byte: UInt8) -> Bool {
    bytesRead += 1
    return isLast(byte) || bytesRead >= AnswerReader.bodyBytesMax
  }

  private mutating func isLast(_ byte: UInt8) -> Bool {
    switch part {
    case .content(let left):
      content.append(byte)
      part = .content(left: left - 1)
      return left <= 1
    case .chunkSize(var line):
      guard byte == UInt8(ascii: "\n") else {
        line.append(byte)
        part = .chunkSize(line: line)
        return line.count > BodyReader.chunkLineMax
      }
      // An extension may follow the size.
      let digits = String(decoding: line.prefix { $0 != UInt8(ascii: ";") && $0 > 32 }, as: UTF8.self)
      guard digits.utf8.count <= 8, let size = Int(digits, radix: 16), size > 0 else { return true }
      part = .chunk(left: size)
      return false
    case .chunk(let left):
      content.append(byte)
      part = left > 1 ? .chunk(left: left - 1) : .chunkEnd
      return false
    case .chunkEnd:
      if byte == UInt8(ascii: "\n") { part = .chunkSize(line: []) }
      return byte != UInt8(ascii: "\n") && byte != UInt8(ascii: "\r")
    }
  }
}
