// SPDX-License-Identifier: Apache-2.0
internal import AudioForkBytes
internal import AudioForkMedia
internal import CSndfile
internal import Glibc

/// Why a recording could not be made or continued.
package struct RecordingError: Error, Equatable, Sendable {
  /// What happened, in the operator's words: operation, cause; no file name.
  package let reason: String
}

/// A WAV file that is being written: 16-bit linear, little-endian. Its header is rewritten after every append, so that
/// a copy made at any moment is a valid WAV. Made, used and released on one thread at a time, never on an event loop.
package struct WavFile: ~Copyable {
  private let sound: OpaquePointer
  private let descriptor: CInt
  private let frameBytes: Int
  /// Sample frames in the file.
  package private(set) var frameCount = 0

  /// Most bytes of samples: the header counts in 32 bits.
  package static let bytesMax = 4_294_000_000

  /// Begins a WAV in an empty file and writes its header.
  /// - Parameter descriptor: open for reading and writing; owned by this value from now on, even if it throws.
  package init(descriptor: CInt, rateHertz: Int, channelCount: Int) throws(RecordingError) {
    var form = SF_INFO()
    form.samplerate = CInt(clamping: rateHertz)
    form.channels = CInt(clamping: channelCount)
    form.format = CInt(SF_FORMAT_WAV) | CInt(SF_FORMAT_PCM_16)
    guard let opened = sf_open_fd(descriptor, CInt(SFM_WRITE), &form, CInt(SF_FALSE)) else {
      let reason = WavFile.failure(nil)
      Glibc.close(descriptor)
      throw RecordingError(reason: reason)
    }
    sf_command(opened, CInt(SFC_UPDATE_HEADER_NOW), nil, 0)
    guard sf_error(opened) == SF_ERR_NO_ERROR else {
      let reason = WavFile.failure(opened)
      sf_close(opened)
      Glibc.close(descriptor)
      throw RecordingError(reason: reason)
    }
    sf_command(opened, CInt(SFC_SET_UPDATE_HEADER_AUTO), nil, CInt(SF_TRUE))
    self.init(sound: opened, descriptor: descriptor, frameBytes: 2 * channelCount, frameCount: 0)
  }

  /// Goes on with a WAV that was written here before, or begins it in an empty file. What a killed process wrote behind
  /// the end that its header names is cut off: nobody was told that it was there.
  /// - Parameter descriptor: as in `init(descriptor:rateHertz:channelCount:)`.
  package init(continuing descriptor: CInt, rateHertz: Int, channelCount: Int) throws(RecordingError) {
    let found: Int?
    do {
      found = try WavFile.framesWritten(descriptor, rateHertz: rateHertz, channelCount: channelCount)
    } catch {
      Glibc.close(descriptor)
      throw error
    }
    guard let found else {
      try self.init(descriptor: descriptor, rateHertz: rateHertz, channelCount: channelCount)
      return
    }
    var form = SF_INFO()
    guard let opened = sf_open_fd(descriptor, CInt(SFM_RDWR), &form, CInt(SF_FALSE)) else {
      let reason = WavFile.failure(nil)
      Glibc.close(descriptor)
      throw RecordingError(reason: reason)
    }
    guard sf_seek(opened, sf_count_t(found), CInt(SEEK_SET) | CInt(SFM_WRITE)) == sf_count_t(found) else {
      let reason = WavFile.failure(opened)
      sf_close(opened)
      Glibc.close(descriptor)
      throw RecordingError(reason: reason)
    }
    sf_command(opened, CInt(SFC_SET_UPDATE_HEADER_AUTO), nil, CInt(SF_TRUE))
    self.init(sound: opened, descriptor: descriptor, frameBytes: 2 * channelCount, frameCount: found)
  }

  private init(sound: OpaquePointer, descriptor: CInt, frameBytes: Int, frameCount: Int) {
    self.sound = sound
    self.descriptor = descriptor
    self.frameBytes = frameBytes
    self.frameCount = frameCount
  }

  /// Bytes of the header that `init` writes.
  private static let headerBytes = 44

  /// Sample frames that the header of a file names and that are in it, whatever form they have. Nothing is changed. 0
  /// for what is no WAV.
  package static func frameCount(of descriptor: CInt) -> Int {
    var status = stat()
    var header = [UInt8](repeating: 0, count: headerBytes)
    guard fstat(descriptor, &status) == 0, pread(descriptor, &header, headerBytes, 0) == headerBytes else { return 0 }
    let frameBytes = max(2 * number(header, 22, 2), 1)
    return max(0, min(number(header, 40, 4), Int(status.st_size) - headerBytes) / frameBytes)
  }

  private static func number(_ header: [UInt8], _ offset: Int, _ count: Int) -> Int {
    Int(truncatingIfNeeded: LittleEndian.read(header, at: offset, byteCount: count))
  }

  /// Sample frames that the header of an existing file names, the file cut to them; nil for a file without a header,
  /// which is then empty.
  private static func framesWritten(
    _ descriptor: CInt, rateHertz: Int, channelCount: Int
  ) throws(RecordingError) -> Int? {
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw RecordingError(reason: String(cString: strerror(errno))) }
    var header = [UInt8](repeating: 0, count: headerBytes)
    guard status.st_size >= headerBytes, pread(descriptor, &header, headerBytes, 0) == headerBytes else {
      // Killed before its header was written: nothing was told to be in it.
      guard ftruncate(descriptor, 0) == 0 else { throw RecordingError(reason: String(cString: strerror(errno))) }
      return nil
    }
    func number(_ offset: Int, _ count: Int) -> Int { WavFile.number(header, offset, count) }
    let words = [(0, "RIFF"), (8, "WAVE"), (12, "fmt "), (36, "data")]
    guard words.allSatisfy({ Array($0.1.utf8) == Array(header[$0.0..<($0.0 + 4)]) }), number(20, 2) == 1,
      number(22, 2) == channelCount, number(24, 4) == rateHertz, number(34, 2) == 16
    else {
      throw RecordingError(
        reason: "it is no 16-bit WAV of \(rateHertz) Hz and \(channelCount) channels that was begun here; move it away")
    }
    let frameBytes = 2 * channelCount
    let frames = min(number(40, 4), Int(status.st_size) - headerBytes) / frameBytes
    guard ftruncate(descriptor, off_t(headerBytes + frames * frameBytes)) == 0 else {
      throw RecordingError(reason: String(cString: strerror(errno)))
    }
    return frames
  }

  /// Leaves silence up to this sample frame. It takes no room on the disk where the file system knows holes.
  package mutating func fill(to frame: Int) throws(RecordingError) {
    guard frame > frameCount else { return }
    guard frame <= WavFile.bytesMax / frameBytes else {
      throw RecordingError(reason: "position \(frame) lies beyond 4 GB, the most that a WAV holds")
    }
    guard sf_seek(sound, sf_count_t(frame), CInt(SEEK_SET) | CInt(SFM_WRITE)) == sf_count_t(frame) else {
      throw RecordingError(reason: WavFile.failure(sound))
    }
    // Nothing is written yet: the file gets longer, and its header says so, with the next samples.
    frameCount = frame
  }

  /// Forces what was written to the disk.
  package func sync() throws(RecordingError) {
    guard fsync(descriptor) == 0 else { throw RecordingError(reason: String(cString: strerror(errno))) }
  }

  /// Finalises the header and closes the file.
  deinit {
    sf_close(sound)
    Glibc.close(descriptor)
  }

  /// Appends samples, 16-bit little-endian; `bytes` is a whole number of sample frames. After an error the file
  /// holds what could be written, under a header that says so.
  package mutating func append(_ bytes: UnsafeRawBufferPointer) throws(RecordingError) {
    guard let address = bytes.baseAddress, !bytes.isEmpty else { return }
    guard frameCount * frameBytes + bytes.count <= WavFile.bytesMax else {
      throw RecordingError(reason: "the WAV file has reached 4 GB, the most that the format allows")
    }
    let count = Int(sf_write_raw(sound, address, sf_count_t(bytes.count)))
    frameCount += max(0, count) / frameBytes
    // The header is rewritten after the samples, which fails without a word in the count.
    guard count == bytes.count, sf_error(sound) == SF_ERR_NO_ERROR else {
      let reason = WavFile.failure(sound)
      sf_command(sound, CInt(SFC_UPDATE_HEADER_NOW), nil, 0)
      throw RecordingError(reason: reason)
    }
  }

  private static func failure(_ sound: OpaquePointer?) -> String {
    var text = sf_strerror(sound).map { String(cString: $0) }?[...] ?? "unknown error"
    let prefix = "System error : "
    if text.hasPrefix(prefix) { text = text.dropFirst(prefix.count) }
    if text.hasSuffix(".") { text = text.dropLast() }
    return String(text)
  }
}
