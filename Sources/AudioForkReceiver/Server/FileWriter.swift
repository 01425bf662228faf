// SPDX-License-Identifier: Apache-2.0
package import NIOCore

/// Decides when the audio of one connection is written to its file, forced to the disk, and the file completed. No I/O
/// and no clock: it asks for one operation at a time and hears its result.
package struct FileWriter: Sendable {
  /// Longest that audio waits in memory before it is written: several messages share the cost of a write.
  package static let flushDelay = TimeAmount.milliseconds(100)
  /// Audio that is written without waiting.
  package static let flushBytes = 16 * 1024
  /// Audio waiting for the disk at which reading from the network stops, so that a slow disk slows the sender and does
  /// not grow this process. Reading resumes below half of it.
  package static let pendingBytesMax = 256 * 1024
  /// Between two times that a file is forced to the disk, if the client asks for that.
  package static let syncDelay = TimeAmount.milliseconds(500)

  /// The file's life.
  enum State: Equatable {
    /// Not named yet: the client has not sent its `start`. Can transition to opening, and to finished if the input
    /// ends.
    case awaited
    /// Being opened. Can transition to idle and finished.
    case opening
    /// Open, and nothing is being done to it. Can transition to writing, syncing and finishing.
    case idle
    /// These bytes are being appended; the stream then ends at `end`. Can transition to idle and finishing.
    case writing(byteCount: Int, end: UInt64)
    /// What it has up to `end` is being forced to the disk. Can transition to idle and finishing.
    case syncing(end: UInt64)
    /// Being completed. Can transition to finished.
    case finishing
    /// Complete, or there is none.
    case finished
  }

  private(set) var state: State
  /// Nothing that comes from now on is recorded.
  private(set) var isInputOver = false
  /// Position behind all that was appended. 0 while the client doesn't say positions.
  private(set) var end: UInt64 = 0
  /// Position at which the client said that its stream ends.
  var streamEnd: UInt64?
  /// Bytes appended and bytes written, since the start of the connection.
  private(set) var acceptedBytes = 0
  private(set) var writtenBytes = 0

  /// Audio that is not written yet: one piece without a break, because positions don't jump.
  private var pending = ByteBuffer()
  /// Sample frame at which it begins; nil if the client doesn't say.
  private var pendingPosition: UInt64?
  private var isFlushScheduled = false
  private var isFlushDue = false
  /// Whether the client wants to hear what is on the disk.
  private var isPersisted = false
  private var written: UInt64 = 0
  private var synced: UInt64 = 0
  private var isSyncScheduled = false
  private var isSyncDue = false
  private var isReadingPaused = false

  /// A file that is being opened, or one that has no name yet.
  init(isAwaited: Bool) { state = isAwaited ? .awaited : .opening }

  /// Bytes held: waiting or being written.
  var heldBytes: Int {
    let writing = if case .writing(let byteCount, _) = state { byteCount } else { 0 }
    return pending.readableBytes + writing
  }

  /// Whether audio may be appended.
  var isOpened: Bool { state != .awaited && state != .opening }

  // MARK: - What the connection brings

  /// The file has its name now and is being opened.
  mutating func open(isPersisted: Bool) {
    state = .opening
    self.isPersisted = isPersisted
  }

  /// Puts audio behind what waits for the disk. `position`: the sample frame at which it begins, `end` the one behind
  /// it, if the client says positions.
  mutating func append(_ bytes: ByteBuffer, at position: UInt64? = nil, upTo end: UInt64 = 0) {
    self.end = end
    guard bytes.readableBytes > 0 else { return }
    acceptedBytes += bytes.readableBytes
    if pending.readableBytes == 0 {
      pending = bytes
      pendingPosition = position
    } else {
      // The only reference to the buffer is ours: appending copies no more than the new bytes.
      pending.writeImmutableBuffer(bytes)
    }
  }

  /// Writes what waits without waiting longer.
  mutating func flush() { isFlushDue = pending.readableBytes > 0 }

  /// Ends the input. What was appended is still written, unless it is to be dropped.
  mutating func endInput(dropsPending: Bool = false) {
    isInputOver = true
    if dropsPending { pending = ByteBuffer() }
  }

  // MARK: - What was done

  /// The file exists, and holds the stream up to `position`.
  mutating func opened(at position: UInt64 = 0) {
    guard state == .opening else { return }
    state = .idle
    end = position
    written = position
    synced = position
  }

  /// The file could not be created.
  mutating func openFailed() { state = .finished }

  /// Returns the position up to which the file has the stream now; nil if no write was asked for.
  mutating func writeDone() -> UInt64? {
    guard case .writing(let byteCount, let end) = state else { return nil }
    writtenBytes += byteCount
    state = .idle
    written = end
    return end
  }

  /// Returns the position up to which the disk has the stream now; nil if none was asked for.
  mutating func syncDone() -> UInt64? {
    guard case .syncing(let end) = state else { return nil }
    state = .idle
    synced = end
    return end
  }

  /// A write or a sync failed: the file is completed with what it has.
  mutating func failed(_ actions: inout [StreamAction]) {
    state = .finishing
    actions.append(.finish)
  }

  mutating func finished() { state = .finished }

  /// `flushDelay` has passed.
  mutating func flushDue() {
    isFlushScheduled = false
    flush()
  }

  /// `syncDelay` has passed.
  mutating func syncDue() {
    isSyncScheduled = false
    isSyncDue = true
  }

  // MARK: - What follows

  /// Asks for the next operation, and for the timers.
  mutating func advance(_ actions: inout [StreamAction]) {
    // Where no start came there is nothing to finish.
    if state == .awaited, isInputOver { state = .finished }
    if state == .idle { begin(&actions) }
    scheduleSync(&actions)
    if pending.readableBytes > 0, !isFlushScheduled, !isFlushDue, !isInputOver {
      isFlushScheduled = true
      actions.append(.scheduleFlush)
    }
  }

  /// Pauses and resumes reading by how much waits.
  mutating func pace(_ actions: inout [StreamAction]) {
    let waiting = pending.readableBytes
    if !isReadingPaused, !isInputOver, waiting >= FileWriter.pendingBytesMax {
      isReadingPaused = true
      actions.append(.pauseReading)
    } else if isReadingPaused, isInputOver || waiting < FileWriter.pendingBytesMax / 2 {
      isReadingPaused = false
      actions.append(.resumeReading)
    }
  }

  private mutating func begin(_ actions: inout [StreamAction]) {
    let waiting = pending.readableBytes
    if waiting > 0, isFlushDue || isInputOver || waiting >= FileWriter.flushBytes {
      state = .writing(byteCount: waiting, end: end)
      isFlushDue = false
      actions.append(.write(pending, position: pendingPosition))
      pending = ByteBuffer()
    } else if wantsSync {
      state = .syncing(end: written)
      isSyncDue = false
      actions.append(.sync)
    } else if isInputOver {
      state = .finishing
      actions.append(.finish)
    }
  }

  /// Whether the disk lacks audio that the client wants there.
  private var isUnsynced: Bool { isPersisted && written > synced }

  /// Whether the file is to be forced to the disk now: in its time, at the end of the stream, and before it is closed.
  private var wantsSync: Bool {
    isUnsynced && (isSyncDue || isInputOver || (streamEnd.map { $0 <= written } ?? false))
  }

  private mutating func scheduleSync(_ actions: inout [StreamAction]) {
    if case .syncing = state { return }
    guard isUnsynced, !isSyncScheduled, !isSyncDue, !isInputOver else { return }
    isSyncScheduled = true
    actions.append(.scheduleSync)
  }
}
