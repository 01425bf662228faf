// SPDX-License-Identifier: Apache-2.0
import AudioForkMedia
import AudioForkRing
import CAsterisk
import Testing

@Suite("Digits of a fork", .serialized)
struct DigitRealTimeTests {
  /// The digits in the ring, in their order.
  private func digits(_ reader: RingReader) -> String {
    var samples: [Int16] = []
    return (0..<reader.published).reduce(into: "") { text, sequence in
      guard case .digit(let digit) = reader.read(sequence, into: &samples) else { return }
      text.unicodeScalars.append(Unicode.Scalar(digit.digit))
    }
  }

  private func press(_ channel: OpaquePointer?, _ digits: String, _ direction: ast_audiohook_direction) {
    for digit in digits.utf8 { fake_digit(channel, direction, CChar(bitPattern: digit), 100) }
  }

  @Test("A muted direction's digits are not captured, nor those whose press may have begun in the mute")
  func muted() throws {
    let module = try LoadedModule()
    let channel = fake_channel("PJSIP/100-1", 8000)
    let id = try #require(module.start(channel, "ws://host/,D(stereo)w(audiofork)"))
    let reader = try module.ring(id)
    func mute(_ directions: String, _ state: String) {
      let answer = CaptureRealTimeTests.action(
        "Action: AudioForkMute\nChannel: PJSIP/100-1\nDirection: \(directions)\nState: \(state)")
      #expect(answer == "Response: Success\r\n\r\n")
    }
    press(channel, "1", AST_AUDIOHOOK_DIRECTION_READ)
    mute("read", "on")
    press(channel, "4111", AST_AUDIOHOOK_DIRECTION_READ)
    press(channel, "2", AST_AUDIOHOOK_DIRECTION_WRITE)
    mute("both", "on")
    press(channel, "4", AST_AUDIOHOOK_DIRECTION_WRITE)
    mute("both", "off")
    press(channel, "9", AST_AUDIOHOOK_DIRECTION_READ)
    let unmuted = ContinuousClock.now
    #expect(digits(reader) == "12")
    let isCaptured = soon {
      press(channel, "3", AST_AUDIOHOOK_DIRECTION_READ)
      return digits(reader) == "123"
    }
    #expect(isCaptured && ContinuousClock.now - unmuted >= .milliseconds(450))
    press(channel, "5", AST_AUDIOHOOK_DIRECTION_WRITE)
    #expect(digits(reader) == "1235")
    module.end([channel], [id])
  }

  @Test("Asterisk is asked for digits only where the server is told of them, and not with digits = no")
  func wanted() throws {
    let module = try LoadedModule("buffer=1\n[quiet]\nurl=ws://host/\ndialect=audiofork\ndigits=no")
    let channel = fake_channel("PJSIP/100-1", 8000)
    for (arguments, expected) in [("ws://host/,w(audiofork)", "7"), ("ws://host/", ""), ("quiet", "")] {
      let id = try #require(module.start(channel, arguments))
      let reader = try module.ring(id)
      // Only hooks that want digits are called.
      press(channel, "7", AST_AUDIOHOOK_DIRECTION_READ)
      #expect(digits(reader) == expected, "\(arguments)")
      _ = af_exec_stop(channel, "")
      module.engine.sayEnded(id)
    }
    module.end([channel], [])
  }
}
