// SPDX-License-Identifier: Apache-2.0
package import AudioForkMedia
internal import CAudioForkABI

/// How the rings of a fork are called in its instance's directory.
package enum RingName {
  /// Rings that a fork has at a time, at most.
  package static let aliveMax = UInt32(AF_RING_GENERATIONS_ALIVE)
  /// The highest generation.
  package static let generationMax = UInt32(AF_RING_GENERATION_MAX)
  private static let suffix = ".ring"

  /// `ID.ring` for generation 0, `ID.N.ring` for generation N.
  package static func name(of id: String, _ generation: UInt32) -> String {
    generation == 0 ? "\(id)\(suffix)" : "\(id).\(generation)\(suffix)"
  }

  /// The fork and the generation of a file's name; nil for a name that is no ring's.
  package static func parse(_ name: String) -> (id: String, generation: UInt32)? {
    guard name.hasSuffix(suffix) else { return nil }
    let parts = name.dropLast(suffix.count).split(separator: ".", omittingEmptySubsequences: false)
    switch parts.count {
    case 1: return (String(parts[0]), 0)
    case 2:
      guard let generation = UInt32(parts[1]), (1...generationMax).contains(generation), "\(generation)" == parts[1]
      else { return nil }
      return (String(parts[0]), generation)
    default: return nil
    }
  }
}

/// All rings of a fork as one: entries are numbered through them.
///
/// Begins with the oldest ring that still exists. A ring that is continued is read to its end, then the next one is
/// opened. An old ring stays open until `release(before:)` says that no replay needs it. Entries of a ring that has
/// lost its name before it could be opened are missing. A ring that cannot be opened for another reason is tried again.
/// Not Sendable: one owner.
package final class RingGenerations {
  /// How many entries may be looked at between two attempts to open a ring that is not there.
  private static let attemptInterval = 100

  /// Opens a generation. It throws `missing` or `unfinished` if there is no such ring.
  private let open: (UInt32) throws(RingError) -> RingReader
  /// Removes a generation's file.
  private let remove: (UInt32) -> Void
  /// The oldest one first. Never empty.
  private var rings: [RingReader]
  /// The last of `rings`.
  private var newest: RingReader
  private var looksUntilAttempt = 0
  /// The last attempt to open the ring that continues the newest one failed although the ring may be there.
  private var hasFailedToOpen = false
  /// Whether a further generation was opened since this was set to false.
  package var hasAdvanced = false

  package var epoch: StreamEpoch { rings[0].epoch }
  package var secret: (UInt64, UInt64) { rings[0].secret }
  package var facts: RingFacts { rings[0].facts }

  /// One ring that nothing continues.
  package convenience init(_ ring: RingReader) {
    self.init(
      ring,
      open: { generation throws(RingError) in
        throw RingError(.missing, "there is no generation \(generation)")
      }, remove: { _ in })
  }

  /// Begins with `ring`. `open` opens a later generation, `remove` removes the file of one that was released.
  package init(
    _ ring: RingReader, open: @escaping (UInt32) throws(RingError) -> RingReader, remove: @escaping (UInt32) -> Void
  ) {
    rings = [ring]
    newest = ring
    self.open = open
    self.remove = remove
  }

  /// Opens the oldest ring of a fork that there is. `told`: the newest generation that the module has told of.
  package convenience init(
    told: UInt32, open: @escaping (UInt32) throws(RingError) -> RingReader, remove: @escaping (UInt32) -> Void
  ) throws(RingError) {
    self.init(try RingGenerations.oldest(told, open), open: open, remove: remove)
  }

  private static func oldest(
    _ told: UInt32, _ open: (UInt32) throws(RingError) -> RingReader
  ) throws(RingError) -> RingReader {
    let told = min(told, RingName.generationMax)
    let first = told - min(told, RingName.aliveMax - 1)
    // The module may have made further ones since.
    let last = min(told + RingName.aliveMax, RingName.generationMax)
    var failure = RingError(.missing, "the fork has no ring")
    for generation in first...last {
      do throws(RingError) {
        return try open(generation)
      } catch {
        guard error.code == .missing || error.code == .unfinished else { throw error }
        if generation == told || error.code == .unfinished { failure = error }
      }
    }
    throw failure
  }

  /// The generation of the oldest ring that is open.
  package var oldestGeneration: UInt32 { rings[0].generation }
  /// The newest generation that was opened.
  package var newestGeneration: UInt32 { newest.generation }

  /// Unmaps all rings.
  package func close() { for ring in rings { ring.close() } }

  /// Opens the generations that continue the newest one, if there are any.
  private func advance() {
    while let next = newest.continuedIn {
      if looksUntilAttempt > 0 {
        looksUntilAttempt -= 1
        return
      }
      guard let ring = following(next) else {
        looksUntilAttempt = RingGenerations.attemptInterval
        return
      }
      rings.append(ring)
      newest = ring
      hasAdvanced = true
    }
  }

  /// The ring of the next generation, or of a later one if that has lost its name. nil: none, or one that may be opened
  /// later (`hasFailedToOpen`).
  private func following(_ next: UInt32) -> RingReader? {
    hasFailedToOpen = false
    guard next > newest.generation else { return nil }
    var generation = next
    while generation <= min(next &+ RingName.aliveMax, RingName.generationMax) {
      do throws(RingError) {
        let ring = try open(generation)
        if continues(ring, generation) { return ring }
        ring.close()
      } catch {
        switch error.code {
        case .missing, .unfinished, .foreign, .version, .damaged: break
        // No descriptors, no memory, no permission: a later ring would skip this one's audio.
        case .notPermitted, .inUse, .noSpace, .system:
          hasFailedToOpen = true
          return nil
        }
      }
      generation &+= 1
    }
    return nil
  }

  /// Whether `ring` is the fork's ring of this generation and lies behind the newest one.
  private func continues(_ ring: RingReader, _ generation: UInt32) -> Bool {
    ring.generation == generation && ring.epoch == epoch && ring.secret == secret
      && ring.firstSequence >= newest.published
  }

  /// Whether a ring continues the newest one, and could not be opened at the last attempt although it may be there.
  package var isBlocked: Bool { hasFailedToOpen && newest.continuedIn != nil }

  /// Opens the ring that continues the newest one, without waiting for the next attempt. Returns false if there may be
  /// one that cannot be opened now.
  package func openRest() -> Bool {
    looksUntilAttempt = 0
    advance()
    return !isBlocked
  }

  /// Number of the entry that will be written next.
  package var published: UInt64 {
    advance()
    return newest.published
  }

  /// When capture ended; nil while it continues. See `RingReader`.
  package var closedAt: StreamTime? {
    advance()
    return newest.closedAt
  }

  /// Samples of this direction captured so far. See `RingReader`.
  package func captured(_ direction: Direction) -> UInt64 { newest.captured(direction) }

  /// Of the captured samples, those refused as more than two seconds ahead of the clock.
  package func ahead(_ direction: Direction) -> UInt64 { newest.ahead(direction) }

  /// Reads entry number `sequence`. See `RingReader`.
  package func read(_ sequence: UInt64, into samples: inout [Int16]) -> RingRead {
    // Nearly always there is one ring, or the newest has the entry.
    if sequence >= newest.firstSequence || rings.count == 1 {
      let found = newest.read(sequence, into: &samples)
      guard found == .notYet, newest.continuedIn != nil else { return found }
      return readContinued(sequence, into: &samples)
    }
    let place = place(of: sequence)
    let found = rings[place].read(sequence, into: &samples)
    // Behind the last entry of a ring whose successor lost its name.
    return found == .notYet ? .lapped(oldest: rings[place + 1].firstSequence) : found
  }

  /// The newest ring did not have the entry and is continued. That was seen after the read, so it is read again.
  private func readContinued(_ sequence: UInt64, into samples: inout [Int16]) -> RingRead {
    let last = newest
    let found = last.read(sequence, into: &samples)
    guard found == .notYet else { return found }
    advance()
    guard newest !== last else { return .notYet }
    return read(sequence, into: &samples)
  }

  /// Index of the ring that has, or had, the entry.
  private func place(of sequence: UInt64) -> Int { rings.lastIndex { $0.firstSequence <= sequence } ?? 0 }

  /// Whether the entry with this number was there and is no more.
  package func isOverwritten(_ sequence: UInt64) -> Bool {
    if sequence >= newest.firstSequence { return newest.isOverwritten(sequence) }
    let ring = rings[place(of: sequence)]
    return ring.isOverwritten(sequence) || sequence >= ring.published
  }

  /// Prefetches what the next two reads access.
  package func prefetch(_ sequence: UInt64) { newest.prefetch(sequence) }

  /// Whether there is a ring that the next `release` may close.
  package var hasOld: Bool { rings.count > 1 }

  /// Number of the first entry that the oldest ring does not have; nil if there is one ring.
  package var secondFirstSequence: UInt64? { rings.count > 1 ? rings[1].firstSequence : nil }

  /// No entry before this one is needed any more: closes and removes the rings that have no later ones.
  package func release(before sequence: UInt64) {
    while rings.count > 1, rings[1].firstSequence <= sequence {
      let old = rings.removeFirst()
      old.close()
      remove(old.generation)
    }
  }
}
