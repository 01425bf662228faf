// SPDX-License-Identifier: Apache-2.0
internal import AudioForkBytes
internal import AudioForkMedia
package import AudioForkSurface
internal import Glibc
package import NIOCore
internal import Synchronization

/// One stream's file and what is known about it. Every method writes to the disk and may block: call it from the
/// blocking pool, one call at a time.
package final class Recording: Sendable {
  /// What one append has added.
  package struct Appended: Equatable, Sendable {
    /// Sample frames in the file now.
    package let frameCount: Int
    /// Level of the samples appended.
    package let level: LevelMeter
  }

  private struct State: ~Copyable {
    var file: WavFile?
    var frameCount = 0
    /// Bytes of a sample frame whose rest has not arrived: a frame may be cut by a message's end.
    var remainder = ByteBuffer()
  }

  /// Absolute path of the file.
  package let path: String
  /// Bytes of a sample frame on the wire.
  private let frameBytes: Int
  private let encoding: SampleEncoding
  private let state: Mutex<State>

  /// Creates the file, with a header that says that it is empty.
  package init(
    in folder: RecordingFolder, stem: String, rateHertz: Int, channelCount: Int, encoding: SampleEncoding = .linear
  ) throws(RecordingError) {
    let (descriptor, path) = try folder.create(stem: stem)
    do {
      let file = try WavFile(descriptor: descriptor, rateHertz: rateHertz, channelCount: channelCount)
      state = Mutex(State(file: file))
    } catch {
      unlink(path)
      throw RecordingError(reason: "cannot begin \(path): \(error.reason)")
    }
    self.path = path
    frameBytes = encoding.bytesPerSample * channelCount
    self.encoding = encoding
  }

  /// How far a fork's file can be ahead of the position of its `start`: a fork sends at most five seconds of audio that
  /// is not acknowledged. What lies further ahead did not come from this stream.
  package static let secondsAheadMax = 10

  /// Goes on with the fork's file, or creates it. A file that has more than the fork can have sent is left alone, and
  /// the fork gets a new one: told to go on at a position that it has not reached, it would never get through.
  package init(of fork: ForkStart, in folder: RecordingFolder, stem: String) throws(RecordingError) {
    let framesMax = fork.position + UInt64(Recording.secondsAheadMax * fork.rateHertz)
    let (descriptor, path) = try folder.openOrCreate(stem: stem) { UInt64(WavFile.frameCount(of: $0)) <= framesMax }
    do {
      let file = try WavFile(continuing: descriptor, rateHertz: fork.rateHertz, channelCount: fork.channelCount)
      // `resume` says of all that is in the file that it need not be sent again: a receiver that was killed may have
      // left some of it to the kernel.
      // Its name has to outlive a power failure too.
      if fork.wantsPersisted {
        try file.sync()
        try folder.sync()
      }
      var begun = State(file: nil)
      begun.frameCount = file.frameCount
      begun.file = consume file
      state = Mutex(begun)
    } catch {
      throw RecordingError(reason: "cannot go on with \(path): \(error.reason)")
    }
    self.path = path
    frameBytes = fork.encoding.bytesPerSample * fork.channelCount
    encoding = fork.encoding
  }

  /// Sample frames in the file: the position that comes next.
  package var frameCount: Int { state.withLock { $0.frameCount } }

  /// Leaves silence up to a position that lies ahead: what is before it another server has.
  package func fill(to position: UInt64) throws(RecordingError) {
    try onState { (state) throws(RecordingError) in try state.file?.fill(to: Int(clamping: position)) }
  }

  /// Forces what was written to the disk.
  package func sync() throws(RecordingError) {
    try onState { (state) throws(RecordingError) in try state.file?.sync() }
  }

  private func onState(_ work: (inout State) throws(RecordingError) -> Void) throws(RecordingError) {
    let failure: RecordingError? = state.withLock { state in
      do throws(RecordingError) {
        try work(&state)
        state.frameCount = state.file?.frameCount ?? state.frameCount
        return nil
      } catch {
        return error
      }
    }
    if let failure { throw RecordingError(reason: "cannot write \(path): \(failure.reason); what was written is kept") }
  }

  /// Appends what arrived; bytes of an unfinished sample frame are kept for the next call.
  package func append(_ bytes: ByteBuffer) throws(RecordingError) -> Appended {
    do {
      return try state.withLock { state in
        var whole = bytes
        if state.remainder.readableBytes > 0 {
          whole = state.remainder
          whole.writeImmutableBuffer(bytes)
        }
        let length = whole.readableBytes - whole.readableBytes % frameBytes
        let samples = linear(whole.readSlice(length: length) ?? ByteBuffer())
        state.remainder = whole.readableBytes > 0 ? ByteBuffer(whole.readableBytesView) : ByteBuffer()
        var level = LevelMeter()
        try samples.withUnsafeReadableBytes { raw in
          try state.file?.append(raw)
          level.add(
            stride(from: 0, to: raw.count, by: 2).lazy.map {
              Int16(littleEndian: raw.loadUnaligned(fromByteOffset: $0, as: Int16.self))
            })
        }
        state.frameCount = state.file?.frameCount ?? state.frameCount
        return Appended(frameCount: state.frameCount, level: level)
      }
    } catch let error as RecordingError {
      throw RecordingError(reason: "cannot write \(path): \(error.reason); what was written is kept")
    } catch {
      throw RecordingError(reason: "cannot write \(path): \(error)")
    }
  }

  /// The samples as the file has them: 16-bit linear.
  private func linear(_ samples: ByteBuffer) -> ByteBuffer {
    guard encoding != .linear else { return samples }
    var linear = ByteBuffer()
    linear.reserveCapacity(samples.readableBytes * 2)
    for code in samples.readableBytesView {
      let sample = encoding == .muLaw ? G711.linear(muLaw: code) : G711.linear(aLaw: code)
      linear.writeInteger(sample, endianness: .little)
    }
    return linear
  }

  /// Finalises and closes the file.
  /// - Returns: sample frames in it, and bytes of an unfinished one that are not.
  package func finish() -> (frameCount: Int, bytesLeftOver: Int) {
    state.withLock { state in
      state.frameCount = state.file?.frameCount ?? state.frameCount
      state.file = nil
      return (state.frameCount, state.remainder.readableBytes)
    }
  }
}
