// SPDX-License-Identifier: Apache-2.0
import AudioForkMedia
import AudioForkResampling
import Testing

@Suite("The bytes of a checkpoint")
struct CheckpointCodingTests {
  /// A checkpoint of a call of both directions in which one of them is converted.
  private static let bytes = bytes(align: 160)

  private static func bytes(align: Int) -> [UInt8] {
    var call = RenderedCall<SpeexConverter>(.both, align: align)
    for index in 0..<5 {
      let samples = [Int16](repeating: Int16(index), count: 320)
      call.capture(.in, samples, rate: 16_000)
      call.capture(.out, samples, rate: 16_000)
    }
    return call.renderer.checkpoint.encode()
  }

  private static func error(_ bytes: [UInt8]) -> CheckpointError? {
    do throws(CheckpointError) {
      _ = try Checkpoint(decoding: bytes)
      return nil
    } catch {
      return error
    }
  }

  @Test(
    "A damaged byte is found in its field",
    arguments: [
      (0, 0, CheckpointError.Field.magic), (4, 99, .version), (5, 0, .directions), (5, 4, .directions), (6, 4, .layout),
      (7, 100, .gainIn), (8, 100, .gainOut), (12, 1, .wireRate), (20, 0x80, .sequence), (28, 0xFF, .block),
      (36, 0xFF, .newestArrival), (44, 0x7F, .resumedArrival), (52, 1, .position), (68, 0x7F, .rendered),
      (76, 0x7F, .overrun), (84, 0x7F, .ahead), (100, 1, .firstSequence), (104, 0xFF, .renderedOfFirst),
      (112, 0x7F, .lastArrival), (116, 0xFF, .historyRate), (132, 0xFF, .historyIndex), (134, 0xFF, .historyCount),
    ])
  func damaged(place: Int, value: UInt8, field: CheckpointError.Field) throws {
    var bytes = Self.bytes
    #expect(Self.error(bytes) == nil)
    bytes[place] = value
    #expect(Self.error(bytes) == CheckpointError(field, .isOutOfRange))
  }

  @Test("How long a direction waits is kept; version 3, of earlier releases, means 160 ms and is written for it")
  func align() throws {
    #expect(Self.bytes[4] == 3)
    #expect(try Checkpoint(decoding: Self.bytes).configuration.alignMilliseconds == 160)
    for milliseconds in [20, 60, 500] {
      var bytes = Self.bytes(align: milliseconds)
      #expect(bytes[4] == 4)
      #expect(bytes.count == Self.bytes.count + 2)
      let checkpoint = try Checkpoint(decoding: bytes)
      #expect(checkpoint.configuration.alignMilliseconds == milliseconds)
      #expect(checkpoint.encode() == bytes)
      for wrong: [UInt8] in [[19, 0], [0xF5, 1], [0xFF, 0xFF]] {
        bytes.replaceSubrange(13..<15, with: wrong)
        #expect(Self.error(bytes) == CheckpointError(.align, .isOutOfRange))
      }
      for count in 0..<bytes.count { #expect(Self.error(Array(bytes.prefix(count))) != nil) }
    }
    // The same state but for the wait is another stream.
    let (short, long) = (try Checkpoint(decoding: Self.bytes(align: 60)), try Checkpoint(decoding: Self.bytes))
    #expect(short.configuration != long.configuration)
    #expect(short.configuration.aligned(as: long.configuration) == long.configuration)
  }

  @Test("Bytes that end too early lack a field, and one more than there should be is found")
  func length() {
    for count in 0..<Self.bytes.count {
      #expect(Self.error(Array(Self.bytes.prefix(count)))?.problem == .isMissing, "\(count) bytes")
    }
    #expect(Self.error(Self.bytes + [0]) == CheckpointError(.end, .isOutOfRange))
  }
}
