// SPDX-License-Identifier: Apache-2.0
package import AudioForkMedia
import AudioForkLink
import AudioForkRing
package import AudioForkTap
package import AudioForkTestKit
package import CAudioForkABI
import Glibc

extension ScratchFolder {
  package func write(_ bytes: [UInt8], to name: String) throws {
    let descriptor = open(file(name), O_WRONLY | O_CREAT | O_TRUNC, 0o600)
    guard descriptor >= 0 else { throw RingError(.system, "open failed: errno \(errno)") }
    defer { close(descriptor) }
    var done = 0
    while done < bytes.count {
      let put = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress.map { $0 + done }, bytes.count - done) }
      guard put > 0 else { throw RingError(.system, "write failed: errno \(errno)") }
      done += put
    }
  }

  package func read(_ name: String) throws -> [UInt8] {
    let descriptor = open(file(name), O_RDONLY)
    guard descriptor >= 0 else { throw RingError(.system, "open failed: errno \(errno)") }
    defer { close(descriptor) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 65536)
    while true {
      let got = Glibc.read(descriptor, &chunk, chunk.count)
      guard got >= 0 else { throw RingError(.system, "read failed: errno \(errno)") }
      if got == 0 { return bytes }
      bytes += chunk[..<got]
    }
  }
}

/// The capture module's side of one fork: the real writer on a real ring file.
package final class TestTap {
  package static let epoch: Int64 = 1_000_000_000_000
  package static let wall: Int64 = 1_700_000_000_000_000_000
  package let tap: UnsafeMutablePointer<af_tap>
  package let path: String
  /// Stands for the channel that carries the fork; compared only.
  package var channel = UnsafeRawPointer(bitPattern: 0x1000)

  package init(
    in folder: ScratchFolder, name: String = "fork.ring", size: RingSize = RingSize(seconds: 10, rate: 8000),
    facts: [UInt8] = TestTap.facts, directions: UInt64 = 3
  ) throws {
    path = folder.file(name)
    tap = .allocate(capacity: 1)
    tap.initialize(to: af_tap())
    let failure = createRing(
      tap, path: Array(path.utf8CString), size: size, facts: facts, directions: directions, now: TestTap.epoch,
      wall: TestTap.wall)
    // All is initialized here: after a throw deinit runs.
    guard failure == 0 else { throw RingError(.system, "createRing says \(failure)") }
  }

  deinit {
    unmapRing(tap)
    tap.deallocate()
  }

  package static var facts: [UInt8] {
    var fields = FieldWriter()
    fields.append(.id, Array("f-0001".utf8))
    fields.append(.url, Array("ws://user:secret@example.org/x".utf8))
    fields.append(.options, Array("D(both)".utf8))
    fields.append(.channel, Array("PJSIP/alice-00000001".utf8))
    fields.append(.uniqueID, Array("1700000000.1".utf8))
    fields.append(.linkedID, Array("1700000000.0".utf8))
    fields.append(.rate, number: 16000)
    fields.append(.drain, number: 7)
    return fields.bytes
  }

  /// Has capture go on in a further ring, of this name.
  package func continueRing(
    in folder: ScratchFolder, name: String, generation: UInt32, size: RingSize = RingSize(seconds: 10, rate: 8000)
  ) throws {
    var next = af_tap()
    let failure = createNextRing(
      &next, path: Array(folder.file(name).utf8CString), size: size, generation: generation, continuing: tap)
    guard failure == 0 else { throw RingError(.system, "createNextRing failed: errno \(failure)") }
    swapRing(tap, &next)
    unmapRing(&next)
  }

  /// Captures a frame; `at` is its arrival in nanoseconds since the epoch, `ts` its RTP time in milliseconds.
  package func capture(
    _ direction: Direction, _ samples: [Int16], rate: UInt32 = 8000, at arrival: Int64, ts: Int64? = nil
  ) {
    samples.withUnsafeBytes { bytes in
      guard let base = bytes.baseAddress else { return }
      let frame = CapturedFrame(
        direction: UInt32(direction.rawValue), samples: base, count: UInt32(samples.count), rate: rate,
        hasTiming: ts != nil, ts: ts ?? 0, sequenceNumber: 0)
      captureFrame(tap, frame, channel: channel, now: TestTap.epoch + arrival)
    }
  }

  /// Mutes these directions from the next frame on; bit 0 in, bit 1 out.
  package func mute(_ bits: UInt64) { af_word_store_relaxed(&tap.pointee.muted, bits) }

  /// Mutes these directions, or ends their mute, at a moment in nanoseconds since the epoch.
  package func mute(_ bits: UInt64, isOn: Bool, at moment: Int64) {
    muteTap(tap, bits, isOn: isOn, now: TestTap.epoch + moment)
  }

  /// Captures a digit that ends at `end`, in nanoseconds since the epoch, and that Asterisk says was `milliseconds`
  /// long.
  package func press(_ direction: Direction, _ digit: Character, milliseconds: UInt32, end: Int64) {
    captureDigit(
      tap, direction: UInt32(direction.rawValue), digit: digit.asciiValue ?? 0, milliseconds: milliseconds,
      now: TestTap.epoch + end)
  }

  package func close(at moment: Int64) { closeTap(tap, now: TestTap.epoch + moment) }
}
