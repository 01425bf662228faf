// SPDX-License-Identifier: Apache-2.0
import AudioForkMedia
import AudioForkEngine
import AudioForkEngineTestKit
import AudioForkRing
import AudioForkTestKit
import Testing

@Suite("Entry sources")
struct EntrySourceTests {
  /// Answers each number as it is told to.
  private struct FixedSource: EntrySource {
    let answer: SourcedEntry
    func read(_ sequence: UInt64, into samples: inout [Int16]) -> SourcedEntry {
      samples = [Int16(sequence)]
      return answer
    }
  }

  private let digit = SourcedEntry.digit(CapturedDigit(direction: .in, digit: UInt8(ascii: "1"), milliseconds: 1))

  private func read(_ first: SourcedEntry, then second: SourcedEntry?) -> SourcedEntry {
    var samples: [Int16] = []
    let source = LayeredSource(FixedSource(answer: first), then: second.map { FixedSource(answer: $0) })
    return source.read(7, into: &samples)
  }

  @Test("The second source is asked only for what the first one has lost")
  func layers() {
    for answer in [digit, .unknownKind, .notYet, .broken("b")] {
      #expect(read(answer, then: .broken("never asked")) == answer)
    }
    let lost = SourcedEntry.missing(next: 20)
    #expect(read(lost, then: nil) == lost)
    for answer in [digit, .loading, .broken("b")] { #expect(read(lost, then: answer) == answer) }
  }

  @Test("Where both have lost it, the stream goes to the first entry that either has")
  func firstOfBoth() {
    #expect(read(.missing(next: 20), then: .missing(next: nil)) == .missing(next: 20))
    #expect(read(.missing(next: 20), then: .missing(next: 9)) == .missing(next: 9))
    #expect(read(.missing(next: 20), then: .missing(next: 30)) == .missing(next: 20))
    #expect(read(.missing(next: nil), then: .missing(next: 30)) == .missing(next: 30))
    #expect(read(.missing(next: nil), then: .missing(next: nil)) == .missing(next: nil))
  }

  @Test("A ring's entries, their end, and what it has overwritten")
  func ring() throws {
    let directory = try ScratchFolder()
    let call = try TestCall(in: directory, url: "ws://x/", bufferSeconds: 1)
    let source = RingSource(RingGenerations(try RingReader(path: "\(directory.path)/\(call.id).ring")))
    var samples: [Int16] = []
    #expect(source.read(0, into: &samples) == .notYet)
    call.speak(frames: 1)
    guard case .audio(let entry) = source.read(0, into: &samples) else {
      Issue.record("no audio")
      return
    }
    #expect(entry.sequence == 0 && entry.count == 160 && samples.count == 160)
    call.speak(frames: 500)
    guard case .missing(let next?) = source.read(0, into: &samples) else {
      Issue.record("nothing was overwritten")
      return
    }
    #expect(next > 0 && next <= source.ring.published)
  }
}
