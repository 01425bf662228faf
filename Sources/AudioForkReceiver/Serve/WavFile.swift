// SPDX-License-Identifier: Apache-2.0
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
    sound = opened
    self.descriptor = descriptor
    frameBytes = 2 * channelCount
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
    guard count == bytes.count else {
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
