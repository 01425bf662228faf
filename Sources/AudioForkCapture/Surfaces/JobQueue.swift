// SPDX-License-Identifier: GPL-2.0-or-later
import AudioForkBytes
import AudioForkSurface
import CAsterisk

/// What the jobs thread does, in the order in which it happened.
enum Job {
  case raise(ManagerEvent)
  /// A text of the server: variables, then the event. `variable`: of option x, empty: none.
  case response(ManagerEvent, variable: Bytes)
  /// Words that the server has recognized: variables where they are final, then the event.
  case transcript(ManagerEvent)
  /// The fork has ended: its beeps end, the event is raised, its command is run.
  case end(ManagerEvent, command: ForkCommand, beeps: Bytes)
  /// on_failure = hangup: the fork has failed, and its call is ended for this reason.
  case hangUp(ForkRow, reason: Bytes)
  /// The fork has ended: its hook is taken off the channel, which may have no further frame.
  case leave(ForkRow)

  /// The event where the job is about something that a server said.
  fileprivate var saidByServer: ManagerEvent? {
    switch self {
    case .response(let event, _), .transcript(let event): event
    case .raise, .end, .hangUp, .leave: nil
    }
  }
}

/// Work that waits for the jobs thread, in the order in which it came up. A fork's own texts come before its end; other
/// texts of servers wait until nothing else does.
struct JobQueue {
  private var waiting = [Job]()
  private var waitingTexts = [Job]()
  private var waitingTextBytes = 0
  private var textsLost = 0
  /// Whether the thread is to end when nothing waits any more.
  var isStopping = false

  /// Beyond it texts of servers are dropped: whatever takes the events is much too slow. Transcripts that may still
  /// change are dropped beyond half of it.
  private static let waitingTextBytesMax = 8_388_608
  /// What a text takes beside its own bytes: the copy of its fork's row, roughly.
  private static let rowBytes = 8192
  /// Texts that are done before something else is looked for.
  private static let textsAtOnce = 10

  /// Adds a job, under the lock under which the table has changed, so that the order is the same. `Jobs.wake` follows.
  mutating func add(_ job: Job) {
    if let event = job.saidByServer { return add(text: job, event) }
    if case .end(let event, _, _) = job { hasten(textsOf: event.row.id) }
    waiting.append(job)
  }

  private mutating func add(text job: Job, _ event: ManagerEvent) {
    let size = JobQueue.size(of: event)
    let isPartial = event.transcript.map { !$0.isFinal } ?? false
    guard waitingTextBytes &+ size <= JobQueue.waitingTextBytesMax / (isPartial ? 2 : 1) else {
      // The next result takes the place of a partial one.
      if !isPartial { textsLost &+= 1 }
      return
    }
    waitingTextBytes &+= size
    waitingTexts.append(job)
  }

  /// Puts a fork's texts before what follows.
  private mutating func hasten(textsOf id: Bytes) {
    guard !waitingTexts.isEmpty else { return }
    var others = [Job]()
    for job in waitingTexts {
      guard let event = job.saidByServer, event.row.id == id else {
        others.append(job)
        continue
      }
      waitingTextBytes &-= JobQueue.size(of: event)
      waiting.append(job)
    }
    waitingTexts = others
  }

  private static func size(of event: ManagerEvent) -> Int {
    event.response.count &+ (event.transcript?.text.count ?? 0) &+ JobQueue.rowBytes
  }

  /// Takes the next jobs. Nil if there are none and the thread is to end.
  mutating func take() -> [Job]? {
    guard waiting.isEmpty else {
      let taken = waiting
      waiting = []
      return taken
    }
    guard !waitingTexts.isEmpty else { return isStopping ? nil : [] }
    var taken = [Job]()
    for job in waitingTexts.prefix(JobQueue.textsAtOnce) {
      if let event = job.saidByServer { waitingTextBytes &-= JobQueue.size(of: event) }
      taken.append(job)
    }
    waitingTexts.removeFirst(taken.count)
    return taken
  }

  /// Returns how many texts were dropped since the last call.
  mutating func takeLostCount() -> Int {
    defer { textsLost = 0 }
    return textsLost
  }
}
