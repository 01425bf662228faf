// SPDX-License-Identifier: Apache-2.0
package import AudioForkCore
package import AudioForkRing
package import NIOCore

/// What is to be said about a spool.
package enum SpoolNews: Equatable, Sendable {
  /// It cannot be used; tried again later.
  case failed(String)
  /// What was in it is gone: another fork's spool needed the room.
  case evicted
  /// There is no room for more, and no older spool to take it from.
  case full
}

/// One fork's spool: keeps what the ring is about to overwrite, and gives it back when the stream comes to it.
///
/// Confined to the fork's event loop; the file's blocking calls run on the store's threads. Entries are copied from the
/// ring while the server is away for longer than a part of the buffer; the stream reads the ring where it can, and the
/// spool where the ring has been overwritten. When all of it is confirmed the file is emptied.
package final class ForkSpool {
  /// Where it is and how much it may take.
  package struct Settings: Equatable, Sendable {
    package var folder: String
    /// Bytes that all forks' spools in the folder may take together.
    package var limit: Int
    /// Whether each write waits for the disk.
    package var isSynced: Bool

    package init(folder: String, limit: Int, isSynced: Bool) {
      self.folder = folder
      self.limit = limit
      self.isSynced = isSynced
    }
  }

  /// What reading gave.
  package enum Read: Equatable {
    case entry(SpooledEntry)
    /// It is on its way to the disk, or from there.
    case loading
    /// Not here; the next one that is.
    case missing(next: UInt64?)
  }

  /// Bytes that are written in one go, and how long fewer may wait for more.
  private static let batchBytes = 65_536
  private static let batchWait = Nanoseconds.milliseconds(250)
  /// Bytes that are fetched in one go.
  private static let windowBytes = 2 * SpoolRecord.bytesMax
  /// After the disk has failed, or is full.
  private static let retryWait = Nanoseconds.seconds(5)
  /// How often an earlier engine's file is looked for; audio waits meanwhile.
  private static let looksMax = 4

  private enum File {
    /// Nobody has looked yet whether an earlier engine left one.
    case unknown
    case none
    case open(SpoolFile)
    case closed
  }

  private let id: String
  private let path: String
  private let epoch: StreamEpoch
  private let settings: Settings
  private let store: SpoolStore
  private let loop: any EventLoop
  private let tell: (SpoolNews) -> Void
  private var file = File.unknown
  private var looks = 0
  /// Something that changes the file is under way on a thread.
  private var isBusy = false
  private var mustEmpty = false
  private var closing: (keeps: Bool, isDue: Bool) = (true, false)

  /// What is in the file. `places` has one record in each 64 KiB or so.
  private var places: [SpoolFile.Place] = []
  private var end = SpoolFile.headerBytes
  private var written: UInt64?
  /// Behind it: what is on its way to the file, and what waits to be.
  private var flying: (bytes: Int, places: [SpoolFile.Place])?
  private var batch: [UInt8] = []
  private var batchPlaces: [SpoolFile.Place] = []
  private var batchBegan = StreamTime.zero
  /// The next entry to copy.
  private var next: UInt64 = 0
  private var samples: [Int16] = []
  private var retryAt = StreamTime(nanoseconds: .min)
  private var lastNews: SpoolNews?

  /// A piece of the file, and where it begins.
  private var window: [UInt8] = []
  private var windowStart = 0
  private var isLoading = false
  /// Counts emptyings: what was fetched before one is of no use.
  private var generation = 0
  /// A place close before the entry that is probably asked for next.
  private var expected: SpoolFile.Place?

  /// Looks for what an earlier engine of the fork left.
  package init(
    id: String, settings: Settings, epoch: StreamEpoch, store: SpoolStore, loop: any EventLoop,
    tell: @escaping (SpoolNews) -> Void
  ) {
    self.id = id
    self.settings = settings
    self.epoch = epoch
    self.store = store
    self.loop = loop
    self.tell = tell
    path = "\(settings.folder)/\(id).spool"
    store.uses(settings.folder)
    open(creates: false, now: .zero)
  }

  /// The newest entry that is in the file or on its way there.
  private var newest: UInt64? {
    batchPlaces.last?.sequence ?? flying?.places.last?.sequence ?? written
  }

  /// Whether the entry is here, or may be.
  package func holds(_ sequence: UInt64) -> Bool {
    if case .unknown = file { return true }
    guard let newest, sequence <= newest else { return false }
    return true
  }

  private func report(_ news: SpoolNews) {
    guard news != lastNews else { return }
    lastNews = news
    tell(news)
  }

  // MARK: - The file

  private func open(creates: Bool, now: StreamTime) {
    isBusy = true
    let (path, epoch) = (path, epoch)
    store.perform(on: loop) { try SpoolFile.open(path: path, epoch, creates: creates) }
      .assumeIsolated().whenComplete { [self] result in
        isBusy = false
        switch result {
        case .success(let found?):
          file = .open(found.file)
          places = found.content.places
          end = found.content.end
          written = found.content.lastSequence
          if end > SpoolFile.headerBytes, !reserve(end - SpoolFile.headerBytes) { mustEmpty = true }
        case .success(nil): file = .none
        case .failure(let error):
          // What an earlier engine left there is not lost by that: it is looked for again, but not for ever.
          looks += 1
          if creates || looks >= ForkSpool.looksMax { file = .none } else { openLater() }
          failed(error, now)
        }
        settle()
      }
  }

  private func openLater() {
    let spool = NIOLoopBound(self, eventLoop: loop)
    loop.scheduleTask(in: .nanoseconds(ForkSpool.retryWait.count)) {
      guard case .unknown = spool.value.file, !spool.value.closing.isDue else { return }
      spool.value.open(creates: false, now: .zero)
    }
  }

  /// What has become due while the file was busy.
  private func settle() {
    guard !isBusy else { return }
    if closing.isDue {
      // A thread may be reading the file.
      if !isLoading { closeNow() }
      return
    }
    if mustEmpty { empty() }
  }

  private func failed(_ error: any Error, _ now: StreamTime) {
    retryAt = now + ForkSpool.retryWait
    report(.failed((error as? RingError)?.message ?? "\(error)"))
  }

  private func reserve(_ bytes: Int) -> Bool {
    let spool = NIOLoopBound(self, eventLoop: loop)
    return store.reserve(bytes, for: id, in: settings.folder, limit: settings.limit) {
      spool.eventLoop.execute { spool.value.evicted() }
    }
  }

  private func evicted() {
    report(.evicted)
    mustEmpty = true
    settle()
  }

  /// Takes away all that is in the file.
  private func empty() {
    mustEmpty = false
    places = []
    end = SpoolFile.headerBytes
    written = nil
    window = []
    expected = nil
    generation += 1
    store.release(id, isOver: false)
    guard case .open(let file) = file else { return }
    isBusy = true
    store.perform(on: loop) { try file.empty() }.assumeIsolated().whenComplete { [self] _ in
      isBusy = false
      settle()
    }
  }

  /// The fork ends, and its spool with it; or it goes on in another engine, which finds it.
  package func close(keeps: Bool) {
    closing = (keeps, true)
    settle()
  }

  private func closeNow() {
    guard case .open(let file) = file else {
      if case .unknown = file, !closing.keeps {
        let path = path
        _ = store.perform(on: loop) { SpoolFile.remove(path) }
      }
      file = .closed
      return
    }
    self.file = .closed
    let keeps = closing.keeps
    store.release(id, isOver: true)
    _ = store.perform(on: loop) {
      if !keeps { file.unlink() }
      file.close()
    }
  }

  // MARK: - Writing

  /// Copies from the ring what is not here yet, from entry `oldest` on.
  package func copy(from ring: RingReader, oldest: UInt64, now: StreamTime) {
    guard now >= retryAt, !closing.isDue else { return }
    if case .none = file, !isBusy { return open(creates: true, now: now) }
    guard case .open = file else { return }
    next = max(next, oldest, newest.map { $0 &+ 1 } ?? 0)
    fill(from: ring, now)
  }

  /// Writes what waits to be, once that is enough or old enough.
  package func tick(now: StreamTime) {
    guard case .open(let file) = file, !isBusy, !closing.isDue, !batch.isEmpty, now >= retryAt,
      batch.count >= ForkSpool.batchBytes || now - batchBegan >= ForkSpool.batchWait
    else { return }
    guard reserve(batch.count) else {
      report(.full)
      return giveUpBatch(now)
    }
    let bytes = batch
    let offset = end
    flying = (bytes.count, batchPlaces)
    batch = []
    batchPlaces = []
    isBusy = true
    let isSynced = settings.isSynced
    store.perform(on: loop) { try file.write(bytes, at: offset, isSynced: isSynced) }
      .assumeIsolated().whenComplete { [self] result in
        isBusy = false
        landed(result, now)
        settle()
      }
  }

  private func landed(_ result: Result<Void, any Error>, _ now: StreamTime) {
    guard let flying else { return }
    self.flying = nil
    switch result {
    case .success:
      for place in flying.places {
        let offset = end + place.offset
        guard places.last.map({ offset - $0.offset >= SpoolFile.placeSpacing }) ?? true else { continue }
        places.append(SpoolFile.Place(sequence: place.sequence, offset: offset))
      }
      end += flying.bytes
      written = flying.places.last?.sequence ?? written
      if case .failed? = lastNews { lastNews = nil }
    case .failure(let error):
      store.giveBack(flying.bytes, of: id)
      failed(error, now)
      giveUpBatch(now)
    }
  }

  /// What waits is copied again later, where the ring has it still.
  private func giveUpBatch(_ now: StreamTime) {
    retryAt = now + ForkSpool.retryWait
    batch = []
    batchPlaces = []
    next = written.map { $0 &+ 1 } ?? 0
  }

  private func fill(from ring: RingReader, _ now: StreamTime) {
    while batch.count < 2 * ForkSpool.batchBytes {
      let start = batch.count
      switch ring.read(next, into: &samples) {
      case .entry(let entry): SpoolRecord.append(entry, samples: samples, to: &batch)
      case .digit(let digit): SpoolRecord.append(digit, sequence: next, to: &batch)
      case .notAudio: break
      case .lapped(let oldest):
        next = max(oldest, next &+ 1)
        continue
      case .notYet, .broken: return
      }
      if batch.count > start {
        if start == 0 { batchBegan = now }
        batchPlaces.append(SpoolFile.Place(sequence: next, offset: start))
      }
      next &+= 1
    }
  }

  /// Nothing before this entry is asked for any more: the file is emptied when that is true of all that is in it.
  package func release(before sequence: UInt64) {
    if let last = batchPlaces.last?.sequence, last < sequence {
      batch = []
      batchPlaces = []
    }
    guard let newest, newest < sequence, flying == nil, batch.isEmpty, !isBusy else { return }
    lastNews = nil
    empty()
  }

  // MARK: - Reading

  /// The entry with this number; audio's samples go into `samples`.
  package func read(_ sequence: UInt64, into samples: inout [Int16]) -> Read {
    if case .unknown = file { return .loading }
    guard case .open = file, let newest, sequence <= newest, !mustEmpty else { return .missing(next: nil) }
    guard let written, sequence <= written else {
      let waiting = (flying?.places ?? []) + batchPlaces
      guard let found = waiting.first(where: { $0.sequence >= sequence }) else { return .missing(next: nil) }
      return found.sequence == sequence ? .loading : .missing(next: found.sequence)
    }
    guard let first = places.first else { return .missing(next: nil) }
    guard sequence >= first.sequence else { return .missing(next: first.sequence) }
    return find(sequence, from: place(before: sequence), into: &samples)
  }

  private func place(before sequence: UInt64) -> SpoolFile.Place {
    var low = 0
    var high = places.count
    while low + 1 < high {
      let middle = (low + high) / 2
      if places[middle].sequence <= sequence { low = middle } else { high = middle }
    }
    if let expected, expected.sequence <= sequence, expected.offset > places[low].offset { return expected }
    return places[low]
  }

  private func find(_ sequence: UInt64, from place: SpoolFile.Place, into samples: inout [Int16]) -> Read {
    var offset = place.offset
    while offset < end {
      guard offset >= windowStart, offset < windowStart + window.count,
        let found = SpoolRecord.find(in: window, at: offset - windowStart)
      else {
        guard offset != windowStart || window.isEmpty else { return damaged() }
        load(offset)
        return .loading
      }
      guard found.sequence >= sequence else {
        offset += found.length
        continue
      }
      guard found.sequence == sequence else { return .missing(next: found.sequence) }
      expected = SpoolFile.Place(sequence: sequence &+ 1, offset: offset + found.length)
      guard let entry = SpoolRecord.decode(found, in: window, at: offset - windowStart, into: &samples) else {
        return .missing(next: sequence &+ 1)
      }
      return .entry(entry)
    }
    return .missing(next: nil)
  }

  /// The file does not hold what was written: what it should have held is missing.
  private func damaged() -> Read {
    report(.failed("the spool file '\(path)' has changed on the disk: what was in it is lost"))
    mustEmpty = true
    settle()
    return .missing(next: nil)
  }

  private func load(_ offset: Int) {
    guard !isLoading, case .open(let file) = file else { return }
    isLoading = true
    let generation = generation
    store.perform(on: loop) { try file.read(at: offset, count: ForkSpool.windowBytes) }
      .assumeIsolated().whenComplete { [self] result in
        isLoading = false
        if closing.isDue { return settle() }
        guard generation == self.generation else { return }
        // Where that failed the empty window stands for what is damaged.
        window = (try? result.get()) ?? []
        windowStart = offset
        if window.isEmpty { _ = damaged() }
      }
  }
}
