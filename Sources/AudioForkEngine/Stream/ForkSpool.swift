// SPDX-License-Identifier: Apache-2.0
package import AudioForkMedia
package import AudioForkRing
package import NIOCore

/// What a spool reports.
package enum SpoolNews: Equatable, Sendable {
  /// The spool cannot be used now and is tried again later. The reason is for the log.
  case failed(String)
  /// The spool was emptied because another fork's spool needed the room.
  case evicted
  /// There is no room for more, and no older spool that could be emptied.
  case full
}

/// One fork's spool: a file with audio that the ring may overwrite before it is confirmed.
///
/// Confined to the fork's event loop. Blocking calls run on the store's threads. Entries are copied from the ring
/// during an outage longer than a part of the buffer (`SpoolTrigger`). The stream reads the spool when the ring has
/// overwritten an entry. Once everything in the file is confirmed, the file is emptied.
///
/// `SpoolStateMachine` decides what may be done with the file, `SpoolContents` knows what is in it.
package final class ForkSpool {
  /// Where the file is, and the room that it may take.
  package struct Settings: Equatable, Sendable {
    package var folder: String
    /// Maximum bytes of all forks' spools in the folder together.
    package var limit: Int
    /// Whether each write waits for the disk.
    package var isSynced: Bool

    package init(folder: String, limit: Int, isSynced: Bool) {
      self.folder = folder
      self.limit = limit
      self.isSynced = isSynced
    }
  }

  /// How long to wait after the disk has failed, or is full.
  private static let retryWait = Nanoseconds.seconds(5)

  private let id: String
  private let path: String
  private let epoch: StreamEpoch
  private let settings: Settings
  private let store: SpoolStore
  private let loop: any EventLoop
  private let onNews: (SpoolNews) -> Void
  private var machine = SpoolStateMachine()
  private var contents = SpoolContents()
  /// From the moment it is open until it is closed.
  private var file: SpoolFile?
  /// The next entry to copy.
  private var next: UInt64 = 0
  private var samples: [Int16] = []
  private var retryAt = StreamTime(nanoseconds: .min)
  private var lastNews: SpoolNews?
  /// The file has lost its content, and what the ring still has of that is to be copied again.
  private var wasEvicted = false
  /// Not before this time: forks with too small a limit would evict each other in turn.
  private var copyAgainAt = StreamTime(nanoseconds: .min)

  /// Starts to look for the file of an earlier engine of the fork. `onNews`: called on the event loop.
  package init(
    id: String, settings: Settings, epoch: StreamEpoch, store: SpoolStore, loop: any EventLoop,
    onNews: @escaping (SpoolNews) -> Void
  ) {
    self.id = id
    self.settings = settings
    self.epoch = epoch
    self.store = store
    self.loop = loop
    self.onNews = onNews
    path = "\(settings.folder)/\(id).spool"
    store.uses(settings.folder)
    open(creates: false, now: .zero)
  }

  /// Whether the spool has the entry, or may have it.
  package func holds(_ sequence: UInt64) -> Bool {
    machine.isLooking || contents.newest.map { sequence <= $0 } ?? false
  }

  /// Whether the file has the entries from `oldest` on that are before `end`, as far as they could be read.
  package func isWritten(from oldest: UInt64, before end: UInt64) -> Bool {
    machine.isReadable && contents.isWritten(from: oldest, before: end)
  }

  private func report(_ news: SpoolNews) {
    guard news != lastNews else { return }
    lastNews = news
    onNews(news)
  }

  private func reportFailure(_ error: any Error, _ now: StreamTime) {
    retryAt = now + ForkSpool.retryWait
    report(.failed((error as? RingError)?.message ?? "\(error)"))
  }

  // MARK: - The file

  private func handle(_ input: SpoolStateMachine.Input) {
    if let action = machine.handle(input) { perform(action) }
  }

  private func perform(_ action: SpoolStateMachine.Action) {
    switch action {
    case .look: open(creates: false, now: .zero)
    case .scheduleLook: scheduleLook()
    case .empty: empty()
    case .close(let keeps): closeFile(keeps: keeps)
    case .remove: _ = store.perform(on: loop) { [path] in SpoolFile.remove(path) }
    // `copy`, `tick`, `fetch` and `pageFetched` do these themselves.
    case .create, .write, .fetch, .usePage: break
    }
  }

  private func open(creates: Bool, now: StreamTime) {
    let (path, epoch) = (path, epoch)
    store.perform(on: loop) { try SpoolFile.open(path: path, epoch, creates: creates) }
      .assumeIsolated().whenComplete { [self] result in
        switch result {
        case .success(let found?):
          file = found.file
          contents = SpoolContents(found.content)
          let isTooLarge = contents.recordBytes > 0 && !reserve(contents.recordBytes)
          handle(.opened(isTooLarge: isTooLarge))
        case .success(nil): handle(.foundNothing)
        case .failure(let error):
          reportFailure(error, now)
          handle(.openFailed)
        }
      }
  }

  private func scheduleLook() {
    loop.assumeIsolated().scheduleTask(in: .nanoseconds(ForkSpool.retryWait.count)) { self.handle(.lookTimerFired) }
  }

  private func reserve(_ bytes: Int) -> Bool {
    let spool = NIOLoopBound(self, eventLoop: loop)
    return store.reserve(bytes, for: id, in: settings.folder, limit: settings.limit) {
      spool.eventLoop.execute { spool.value.evict() }
    }
  }

  private func evict() {
    report(.evicted)
    wasEvicted = true
    handle(.empty)
  }

  private func empty() {
    contents.clearFile()
    store.release(id, isOver: false)
    guard let file else { return }
    store.perform(on: loop) { try file.empty() }.assumeIsolated().whenComplete { [self] _ in handle(.emptied) }
  }

  /// Closes the spool. `keeps`: the file stays, because the fork continues in another engine. Otherwise it is removed.
  package func close(keeps: Bool) { handle(.close(keeps: keeps)) }

  private func closeFile(keeps: Bool) {
    guard let file else { return }
    self.file = nil
    store.release(id, isOver: true)
    _ = store.perform(on: loop) {
      if !keeps { file.unlink() }
      file.close()
    }
  }

  // MARK: - Writing

  /// Copies entries from the ring that the spool does not have, from entry `oldest` on.
  package func copy(from ring: RingGenerations, oldest: UInt64, now: StreamTime) {
    guard now >= retryAt else { return }
    if machine.handle(.create) == .create { return open(creates: true, now: now) }
    guard machine.isOpen else { return }
    guard !wasEvicted || copyAgain(from: ring, now) else { return }
    next = max(next, oldest, contents.newest.map { $0 &+ 1 } ?? 0)
    fill(from: ring, now)
  }

  /// Copies again from the start what the ring still has of an evicted file. Returns false if that has to wait.
  private func copyAgain(from ring: RingGenerations, _ now: StreamTime) -> Bool {
    if now < copyAgainAt { retryAt = copyAgainAt }
    // A write that was under way when the file was evicted ends first.
    guard now >= copyAgainAt, machine.isReadable else { return false }
    wasEvicted = false
    // A file has its entries in order: those that wait come from the ring again too, or nothing does.
    let hasWaiting = contents.waiting.oldest.map { !ring.isOverwritten($0) } ?? true
    guard contents.isFileEmpty, hasWaiting else { return true }
    contents.waiting = SpoolBatch()
    next = 0
    copyAgainAt = now + ForkSpool.retryWait
    return true
  }

  private func fill(from ring: RingGenerations, _ now: StreamTime) {
    while !contents.waiting.isFull {
      switch ring.read(next, into: &samples) {
      case .entry(let entry): contents.waiting.append(entry, samples: samples, now: now)
      case .digit(let digit): contents.waiting.append(digit, sequence: next, now: now)
      case .notAudio: break
      case .lapped(let oldest):
        next = max(oldest, next &+ 1)
        continue
      case .notYet, .broken: return
      }
      next &+= 1
    }
  }

  /// Writes the waiting entries, once there are enough or they are old enough.
  package func tick(now: StreamTime) {
    guard machine.isIdle, let file, now >= retryAt, contents.waiting.isDue(now: now) else { return }
    guard reserve(contents.waiting.bytes.count) else {
      report(.full)
      return giveUpWaiting(now)
    }
    guard machine.handle(.write) == .write else { return }
    let bytes = contents.beginWriting().bytes
    let (offset, isSynced) = (contents.end, settings.isSynced)
    store.perform(on: loop) { try file.write(bytes, at: offset, isSynced: isSynced) }
      .assumeIsolated().whenComplete { [self] result in
        writeCompleted(result, now)
        handle(.written)
      }
  }

  private func writeCompleted(_ result: Result<Void, any Error>, _ now: StreamTime) {
    switch result {
    case .success:
      contents.writeSucceeded()
      if case .failed? = lastNews { lastNews = nil }
    case .failure(let error):
      store.giveBack(contents.writeFailed(), of: id)
      reportFailure(error, now)
      giveUpWaiting(now)
    }
  }

  /// Drops the waiting entries. They are copied again later, if the ring still has them.
  private func giveUpWaiting(_ now: StreamTime) {
    retryAt = now + ForkSpool.retryWait
    contents.waiting = SpoolBatch()
    next = contents.written.map { $0 &+ 1 } ?? 0
  }

  /// No entry before this one is needed any more. Empties the file if it has no later ones.
  package func release(before sequence: UInt64) {
    if let newest = contents.waiting.newest, newest < sequence { contents.waiting = SpoolBatch() }
    guard let newest = contents.newest, newest < sequence, contents.isAllWritten, machine.isIdle else { return }
    lastNews = nil
    handle(.empty)
  }

  // MARK: - Reading

  /// Returns the entry with this number. Its samples go to the front of `samples`, which only grows.
  package func read(_ sequence: UInt64, into samples: inout [Int16]) -> SourcedEntry {
    if machine.isLooking { return .loading }
    guard machine.isReadable else { return .missing(next: nil) }
    switch contents.find(sequence, into: &samples) {
    case .entry(.audio(let entry)): return .audio(entry)
    case .entry(.digit(let digit)): return .digit(digit)
    case .onItsWay: return .loading
    case .inFile(let offset):
      fetch(offset)
      return .loading
    case .missing(let next): return .missing(next: next)
    case .damaged:
      discardDamaged()
      return .missing(next: nil)
    }
  }

  private func fetch(_ offset: Int) {
    guard let file, machine.handle(.fetch) == .fetch else { return }
    store.perform(on: loop) { try file.read(at: offset, count: SpoolContents.pageBytes) }
      .assumeIsolated().whenComplete { [self] result in pageFetched((try? result.get()) ?? [], at: offset) }
  }

  /// A page was read. It is empty if it could not be read, or if the file was cut before it.
  private func pageFetched(_ page: [UInt8], at offset: Int) {
    guard let action = machine.handle(.fetched) else { return }
    guard action == .usePage else { return perform(action) }
    contents.take(page: page, at: offset)
    if page.isEmpty { discardDamaged() }
  }

  /// Empties a file that does not hold what was written. What it should have held is lost.
  private func discardDamaged() {
    report(.failed("the spool file '\(path)' has changed on the disk: what was in it is lost"))
    handle(.empty)
  }
}
