// SPDX-License-Identifier: Apache-2.0
internal import NIOCore
internal import NIOPosix

/// The file of a connection: each operation runs on the blocking pool, and its result goes to the machine.
extension StreamHandler {
  /// Opens the file of a connection without a protocol of ours.
  func openRaw() {
    let (folder, request, clock) = (shared.folder, facts.request, shared.unixSeconds)
    onPool {
      let stem = RecordingName.stem(path: request.path, forkID: request.forkID, unixSeconds: clock())
      return try Recording(
        in: folder, stem: stem, rateHertz: request.rateHertz, channelCount: request.channelCount,
        encoding: request.encoding)
    } then: { handler, result in
      handler.opened(result)
    }
  }

  /// Opens the fork's file once no older connection has it.
  func open(_ start: ForkStart) {
    guard let context else { return }
    let stem = RecordingName.stem(path: facts.request.path, fork: start, client: client)
    facts.start = start
    claim = stem
    let folder = shared.folder
    let claimed = shared.claims.claim(stem, number: facts.number, channel: context.channel)
    claimed.assumeIsolated().whenComplete { [self] result in
      if case .failure(let error) = result { return opened(.failure(error)) }
      onPool {
        try Recording(of: start, in: folder, stem: stem)
      } then: { handler, result in
        handler.opened(result)
      }
    }
  }

  private func opened(_ result: Result<Recording, any Error>) {
    switch result {
    case .success(let recording):
      self.recording = recording
      let position = recording.frameCount
      progress.frameCount = position
      shared.emit(.started(facts, file: recording.path))
      scheduleProgress()
      run(facts.start == nil ? machine.opened() : machine.opened(at: UInt64(position)))
    case .failure(let error):
      trouble = StreamHandler.reason(error)
      run(machine.openFailed("the recording cannot be made"))
    }
  }

  func sync() {
    guard let recording else { return }
    onPool {
      try recording.sync()
    } then: { handler, result in
      switch result {
      case .success: handler.run(handler.machine.synced())
      case .failure(let error):
        handler.trouble = StreamHandler.reason(error)
        handler.run(handler.machine.writeFailed("the recording cannot be kept"))
      }
    }
  }

  func write(_ bytes: ByteBuffer, at position: UInt64?) {
    guard let recording else { return }
    onPool {
      if let position { try recording.fill(to: position) }
      return try recording.append(bytes)
    } then: { handler, result in
      switch result {
      case .success(let appended):
        handler.progress.frameCount = appended.frameCount
        handler.progress.level.add(appended.level)
        handler.levelSinceTold.add(appended.level)
        handler.run(handler.machine.written())
        handler.weigh()
      case .failure(let error):
        handler.trouble = StreamHandler.reason(error)
        handler.run(handler.machine.writeFailed("the recording cannot be continued"))
      }
    }
  }

  func finish() {
    guard let recording else { return }
    onPool {
      recording.finish()
    } then: { handler, result in
      if case .success(let (frameCount, bytesLeftOver)) = result {
        handler.progress.frameCount = frameCount
        if bytesLeftOver > 0, handler.trouble == nil {
          handler.trouble = "the stream ended inside a sample; its last \(bytesLeftOver) bytes are not in the file"
        }
      }
      handler.run(handler.machine.finished())
    }
  }

  /// Runs blocking work on the pool and comes back to the loop with its result.
  private func onPool<Value: Sendable>(
    _ work: @escaping @Sendable () throws -> Value,
    then: @escaping (StreamHandler, Result<Value, any Error>) -> Void
  ) {
    shared.pool.runIfActive(eventLoop: loop, work).assumeIsolated().whenComplete { then(self, $0) }
  }

  private static func reason(_ error: any Error) -> String {
    (error as? RecordingError)?.reason ?? "\(error)"
  }
}
