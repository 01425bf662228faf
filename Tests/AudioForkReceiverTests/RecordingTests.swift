// SPDX-License-Identifier: Apache-2.0
import AudioForkBytes
import AudioForkMedia
import AudioForkSurface
import AudioForkReceiver
import Glibc
import NIOCore
import Testing

private func ramp(_ byteCount: Int) -> [UInt8] { (0..<byteCount).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) } }

@Suite("Recordings")
struct RecordingTests {
  @Test("The file is a valid WAV with every sample at every moment", arguments: [1, 2])
  func validMeanwhile(channelCount: Int) throws {
    let folder = try TemporaryFolder()
    let recording = try Recording(
      in: RecordingFolder(preparing: folder.path), stem: "a", rateHertz: 16000, channelCount: channelCount)
    #expect(recording.path == folder.path + "/a.wav")
    #expect(ParsedWav(contents(recording.path))?.samples == [])
    let all = ramp(320 * 50)
    for end in stride(from: 320, through: all.count, by: 320) {
      let appended = try recording.append(ByteBuffer(bytes: all[(end - 320)..<end]))
      #expect(appended.frameCount == end / 2 / channelCount)
      let wav = try #require(ParsedWav(contents(recording.path)))
      #expect(wav.samples == Array(all[..<end]))
      #expect(wav.rateHertz == 16000)
      #expect(wav.channelCount == channelCount)
    }
    let (frameCount, bytesLeftOver) = recording.finish()
    #expect(frameCount == all.count / 2 / channelCount)
    #expect(bytesLeftOver == 0)
    #expect(ParsedWav(contents(recording.path))?.samples == all)
  }

  @Test("Sample frames that messages cut in two are put together")
  func cut() throws {
    let folder = try TemporaryFolder()
    let recording = try Recording(
      in: RecordingFolder(preparing: folder.path), stem: "a", rateHertz: 8000, channelCount: 2)
    let all = ramp(1001)
    var start = 0
    for size in [1, 1, 1, 3, 5, 0, 7, 2, 981] {
      _ = try recording.append(ByteBuffer(bytes: all[start..<start + size]))
      start += size
    }
    #expect(recording.finish().bytesLeftOver == 1)
    #expect(ParsedWav(contents(recording.path))?.samples == Array(all[..<1000]))
  }

  @Test("The level of what was appended is told")
  func level() throws {
    let folder = try TemporaryFolder()
    let recording = try Recording(
      in: RecordingFolder(preparing: folder.path), stem: "a", rateHertz: 8000, channelCount: 1)
    let silence = try recording.append(ByteBuffer(repeating: 0, count: 320))
    #expect(silence.level.count == 160)
    #expect(silence.level.rootMeanSquare == nil)
    // -32768, and half of full scale.
    let loud = try recording.append(ByteBuffer(bytes: [0x00, 0x80, 0x00, 0x40]))
    #expect(loud.level.peakLevel == 0)
    #expect(abs((loud.level.rootMeanSquare ?? 0) + 2.04) < 0.01)
  }

  @Test("An existing file is never opened: the next free number is taken")
  func collision() throws {
    let folder = try TemporaryFolder()
    try write([1, 2, 3], to: folder.path + "/a.wav")
    #expect(symlink(folder.path + "/elsewhere", folder.path + "/a-2.wav") == 0)
    let place = try RecordingFolder(preparing: folder.path)
    let first = try Recording(in: place, stem: "a", rateHertz: 8000, channelCount: 1)
    let second = try Recording(in: place, stem: "a", rateHertz: 8000, channelCount: 1)
    #expect([first.path, second.path] == [folder.path + "/a-3.wav", folder.path + "/a-4.wav"])
    #expect(contents(folder.path + "/a.wav") == [1, 2, 3])
    #expect(folder.names == ["a-2.wav", "a-3.wav", "a-4.wav", "a.wav"])
  }

  @Test("A disk that takes nothing is an error that says so")
  func deviceFull() throws {
    let descriptor = open("/dev/full", O_RDWR)
    #expect(descriptor >= 0)
    let error = #expect(throws: RecordingError.self) {
      var file = try WavFile(descriptor: descriptor, rateHertz: 8000, channelCount: 1)
      try [UInt8](repeating: 1, count: 320).withUnsafeBytes { try file.append($0) }
    }
    #expect(error?.reason == "No space left on device")
  }

  @Test("The folder is created where its parent exists")
  func folderCreated() throws {
    let parent = try TemporaryFolder()
    #expect(try RecordingFolder(preparing: parent.path + "/new").path == parent.path + "/new")
    #expect(parent.names == ["new"])
    #expect(try RecordingFolder(preparing: parent.path + "/new").path == parent.path + "/new")
  }

  @Test("A folder that cannot be one is refused by name and cause")
  func folderRefused() throws {
    let parent = try TemporaryFolder()
    try write([], to: parent.path + "/file")
    func reason(_ path: String) -> String? {
      #expect(throws: RecordingError.self) { try RecordingFolder(preparing: path) }?.reason
    }
    #expect(reason("/dev/null/x") == "cannot create the folder /dev/null/x: Not a directory")
    #expect(
      reason(parent.path + "/a/b")
        == "cannot create the folder \(parent.path)/a/b: No such file or directory; create its parent folder first")
    #expect(reason(parent.path + "/file") == "\(parent.path)/file is not a folder; give another one with --out")
  }

  @Test("µ-law and A-law are stored as linear samples, however the messages cut the frames")
  func companded() throws {
    for (encoding, decode) in [
      (SampleEncoding.muLaw, { (code: UInt8) in G711.linear(muLaw: code) }), (.aLaw, { G711.linear(aLaw: $0) }),
    ] {
      let folder = try TemporaryFolder()
      let recording = try Recording(
        in: RecordingFolder(preparing: folder.path), stem: "a", rateHertz: 8000, channelCount: 2, encoding: encoding)
      let codes = [UInt8](UInt8.min...UInt8.max)
      #expect(try recording.append(ByteBuffer(bytes: codes[..<101])).frameCount == 50)
      #expect(try recording.append(ByteBuffer(bytes: codes[101...])).frameCount == 128)
      #expect(recording.finish() == (128, 0))
      let wav = try #require(ParsedWav(contents(recording.path)))
      #expect(wav.channelCount == 2)
      #expect(
        wav.samples
          == codes.flatMap { code in
            let sample = decode(code)
            return [UInt8(truncatingIfNeeded: sample), UInt8(truncatingIfNeeded: sample >> 8)]
          })
    }
  }
}
