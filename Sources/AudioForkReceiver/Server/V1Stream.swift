// SPDX-License-Identifier: Apache-2.0
internal import AudioForkSurface
internal import AudioForkWebSocket
internal import NIOCore

/// A connection of `audiofork.v1` (docs/receiving/audiofork-v1.md).
///
/// It begins with the client's `start`: then its fork's file is opened, and the client hears from which position on to
/// send. Every position is written once, and acknowledged when that is done.
struct V1Stream: StreamProtocol {
  /// How far the conversation is.
  private enum State {
    /// Nothing has come. Can transition to started.
    case silent
    /// The fork is known. `expected`: where the next message of this connection has to begin; nil before the first.
    /// Can transition to stopped.
    case started(ForkStart, expected: UInt64?)
    /// The client said `stop`: only text messages may follow.
    case stopped(ForkStart)
  }

  private var state = State.silent
  /// The binary message that is arriving, its position included.
  private var message = ByteBuffer()
  private(set) var duplicates: UInt64 = 0

  var partialBytes: Int { message.readableBytes }

  mutating func dropPartial() { message = ByteBuffer() }

  // MARK: - Audio

  mutating func binary(
    _ bytes: ByteBuffer, endsMessage: Bool, file: inout FileWriter
  ) throws(ProtocolViolation) -> [StreamAction] {
    message.writeImmutableBuffer(bytes)
    guard endsMessage else { return [] }
    var whole = message
    message = ByteBuffer()
    let start: ForkStart
    let expected: UInt64?
    switch state {
    case .started(let known, let position) where file.isOpened: (start, expected) = (known, position)
    case .stopped where file.isOpened: throw V1Stream.protocolError("audio came behind stop")
    case .silent, .started, .stopped: throw V1Stream.protocolError("audio came before the stream was resumed")
    }
    let frameBytes = start.encoding.bytesPerSample * start.channelCount
    guard let position = whole.readInteger(as: UInt64.self), position <= ForkMessage.positionMax,
      whole.readableBytes % frameBytes == 0
    else { throw V1Stream.protocolError("a binary message is no position and whole sample frames") }
    let frames = UInt64(whole.readableBytes / frameBytes)
    guard frames > 0 else { throw V1Stream.protocolError("a binary message without samples") }
    // What the fork has delivered elsewhere may be missing here, once, in front of the first message.
    let isExpected = expected.map { $0 == position } ?? (position <= max(file.end, start.position))
    guard isExpected else { throw V1Stream.protocolError("a position that is not where the stream goes on") }
    let end = position &+ frames
    state = .started(start, expected: end)
    // Not again what the file has.
    let known = position > file.end ? 0 : min(file.end &- position, frames)
    duplicates &+= known
    guard known < frames else { return [] }
    whole.moveReaderIndex(forwardBy: Int(known) * frameBytes)
    file.append(whole, at: position &+ known, upTo: end)
    return []
  }

  // MARK: - Messages

  mutating func text(_ text: String, file: inout FileWriter) throws(ProtocolViolation) -> [StreamAction] {
    let message: ForkMessage
    do throws(ForkMessage.Nonsense) {
      message = try ForkMessage(text)
    } catch {
      throw V1Stream.protocolError(error.reason)
    }
    switch (state, message) {
    case (.silent, .start(let start)):
      state = .started(start, expected: nil)
      file.open(isPersisted: start.wantsPersisted)
      return [.open(start)]
    case (.silent, _): throw V1Stream.protocolError("the first message has to be start")
    case (_, .start): throw V1Stream.protocolError("a second start")
    case (.started(let start, _), .stop(let position, _)), (.stopped(let start), .stop(let position, _)):
      state = .stopped(start)
      file.streamEnd = position
      file.flush()
      return [.message(message)]
    default: return [.message(message)]
    }
  }

  func resumed(at position: UInt64) -> String? { ForkMessage.resume(position: position) }

  func written(upTo position: UInt64) -> String? {
    ForkMessage.acknowledgement(position: position, isPersisted: false)
  }

  func synced(upTo position: UInt64) -> String? {
    ForkMessage.acknowledgement(position: position, isPersisted: true)
  }

  private static func protocolError(_ reason: String) -> ProtocolViolation {
    ProtocolViolation(code: CloseCode.protocolError, reason: reason)
  }
}
