// SPDX-License-Identifier: Apache-2.0
package import AudioForkMedia
package import AudioForkRing

/// The result of reading one entry from a source.
package enum SourcedEntry: Equatable, Sendable {
  /// Audio. Its samples are in the array that was passed to `read`.
  case audio(CapturedEntry)
  /// A digit that was pressed.
  case digit(CapturedDigit)
  /// An entry of a kind that this engine does not know.
  case unknownKind
  /// The source does not have this entry. `next`: the first later one that it may have; nil if it knows of none.
  case missing(next: UInt64?)
  /// A thread is writing or reading it. Ask again at the next tick.
  case loading
  /// It has not been captured yet.
  case notYet
  /// The source is damaged and cannot be read any further. The reason is for the log.
  case broken(String)
}

/// A place from which a stream reads captured entries by their numbers.
///
/// The stream names the concrete type, so that each call is a direct one. Never store `any EntrySource`.
package protocol EntrySource {
  /// The entry with this number. Samples of audio go to the front of `samples`, which only grows.
  func read(_ sequence: UInt64, into samples: inout [Int16]) -> SourcedEntry
}

/// The fork's rings in memory: the newest `buffer` seconds of audio.
package struct RingSource: EntrySource {
  package let ring: RingGenerations

  package init(_ ring: RingGenerations) { self.ring = ring }

  package func read(_ sequence: UInt64, into samples: inout [Int16]) -> SourcedEntry {
    switch ring.read(sequence, into: &samples) {
    case .entry(let entry): .audio(entry)
    case .digit(let digit): .digit(digit)
    case .notAudio: .unknownKind
    case .lapped(let oldest): .missing(next: oldest)
    case .notYet: .notYet
    case .broken(let reason): .broken(reason)
    }
  }
}

/// The fork's spool on disk: audio that the ring overwrote before it was confirmed.
package struct SpoolSource: EntrySource {
  package let spool: ForkSpool

  package init(_ spool: ForkSpool) { self.spool = spool }

  package func read(_ sequence: UInt64, into samples: inout [Int16]) -> SourcedEntry {
    spool.read(sequence, into: &samples)
  }
}

/// Two sources of the same entries. The second one is asked only for what the first one has lost.
package struct LayeredSource<First: EntrySource, Second: EntrySource>: EntrySource {
  package let first: First
  package let second: Second?

  package init(_ first: First, then second: Second?) {
    self.first = first
    self.second = second
  }

  package func read(_ sequence: UInt64, into samples: inout [Int16]) -> SourcedEntry {
    let found = first.read(sequence, into: &samples)
    guard case .missing(let next) = found, let second else { return found }
    let older = second.read(sequence, into: &samples)
    guard case .missing(let nextOlder) = older else { return older }
    guard let next, let nextOlder else { return .missing(next: next ?? nextOlder) }
    return .missing(next: min(next, nextOlder))
  }
}
