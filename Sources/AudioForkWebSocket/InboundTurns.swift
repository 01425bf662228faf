// SPDX-License-Identifier: Apache-2.0
internal import AudioForkMedia

/// Limits what servers can make one event loop do between two looks at its forks' audio.
///
/// Work is counted in units of about a microsecond. The loop begins a turn every 5 ms, after its forks have sent their
/// audio. In one turn all connections together get `unitsPerTurn`, and each of them `unitsPerConnection`. A connection
/// that finds one of the two used up stops reading and decoding, and waits in line for a later turn: what its server
/// sends meanwhile stays in the kernel's receive buffer, and then at the server. Confined to one event loop; no I/O and
/// no clock.
package final class InboundTurns {
  /// Units of one turn: 40 % of its 5 ms.
  package static let unitsPerTurn = 2000
  /// Units that a connection gets in each turn, and that it may have saved. An honest server that answers every message
  /// of 20 ms needs an eighth. While others wait for a turn nobody begins one with more than `unitsPerConnection`:
  /// those who have saved more would make the others wait for longer.
  package static let unitsPerConnection = 100
  package static let unitsSavedMax = 400
  /// Turns that one piece of work may cost in advance. The longest is a message of 1 MiB.
  private static let turnsOwedMax = 10

  /// Turns so far.
  fileprivate private(set) var number: UInt64 = 0
  fileprivate private(set) var unitsLeft = InboundTurns.unitsPerTurn
  private var waiting = Fifo<InboundShare>()
  private let onWork: () -> Void

  /// `onWork` is called with each piece of work that is counted.
  package init(onWork: @escaping () -> Void = {}) { self.onWork = onWork }

  /// Whether connections wait for a turn.
  package var hasWaiting: Bool { !waiting.isEmpty }

  /// Begins a turn: connections that wait go on, the one that has waited longest first, while there are units left.
  package func begin() {
    number &+= 1
    unitsLeft = min(InboundTurns.unitsPerTurn, unitsLeft + InboundTurns.unitsPerTurn)
    // Those that have to wait again are not asked twice.
    var rest = waiting.count
    while rest > 0, unitsLeft > 0, let share = waiting.first {
      rest -= 1
      waiting.dropFirst(1)
      share.turnBegan()
    }
  }

  fileprivate func spend(_ units: Int) {
    unitsLeft = max(unitsLeft - units, -InboundTurns.turnsOwedMax * InboundTurns.unitsPerTurn)
    onWork()
  }

  fileprivate func wait(_ share: InboundShare) { waiting.storage.append(share) }
}

/// What one connection may still do in this turn of its loop.
package final class InboundShare {
  /// Units for what a server's bytes cause.
  package enum Cost {
    /// A read from the socket while the connection is being set up: parsers and TLS cost more than frames.
    static let handshakeRead = 100
    /// A read from the socket.
    static let read = 5
    /// What a read of few bytes costs the connection's own share: a server that sends byte by byte is read less often,
    /// and then finds more bytes read at once.
    static let shortRead = 50
    static let shortReadBytes = 256
    /// A piece of bytes that reaches the frame decoder.
    static let piece = 2
    static let frame = 1
    /// Bytes that make one unit: of a read, and of a message that is looked through once it is whole.
    static let bytesPerUnit = 256
    /// The same of a read under TLS, and of one during the handshake: records and header fields may be short, and each
    /// costs as much as a long one.
    static let bytesPerUnitSecure = 32
    static let bytesPerUnitHandshake = 16
  }

  private let turns: InboundTurns
  private let isSecure: Bool
  private var unitsLeft = InboundTurns.unitsSavedMax
  private var number: UInt64
  private var isWaiting = false
  /// The connection has frames to decode that it did not get to.
  package var hasBacklog = false
  /// The connection is gone, and the kernel may hold last words: they are read at once. They are decoded as
  /// the share allows.
  package var isDraining = false
  /// The WebSocket connection is open: what is read now is frames.
  package var isOpen = false
  /// Decodes what is left, as far as the share goes. Set to nil by its owner at the end, as is `read`.
  package var decode: (() -> Void)?
  /// Reads from the socket, where that was held back.
  package var read: (() -> Void)?

  /// `isSecure`: what is read is TLS.
  package init(_ turns: InboundTurns, isSecure: Bool = false) {
    self.turns = turns
    self.isSecure = isSecure
    number = turns.number
  }

  /// Whether more may be done in this turn.
  package var mayWork: Bool {
    if number != turns.number {
      let turnsPassed = Int(clamping: min(turns.number &- number, 1000))
      let unitsMax = turns.hasWaiting ? InboundTurns.unitsPerConnection : InboundTurns.unitsSavedMax
      unitsLeft = min(unitsMax, unitsLeft + turnsPassed * InboundTurns.unitsPerConnection)
      number = turns.number
    }
    return unitsLeft > 0 && turns.unitsLeft > 0
  }

  /// Whether more may be read from the socket in this turn.
  package var mayRead: Bool { isDraining || !hasBacklog && mayWork }

  /// Counts a read of so many bytes.
  package func countRead(_ bytes: Int) {
    let units =
      isOpen
      ? Cost.read + bytes / (isSecure ? Cost.bytesPerUnitSecure : Cost.bytesPerUnit)
      : Cost.handshakeRead + bytes / Cost.bytesPerUnitHandshake
    spend(units, own: bytes < Cost.shortReadBytes ? max(units, Cost.shortRead) : units)
  }

  /// Counts a piece of bytes for the decoder.
  package func countPiece() { spend(Cost.piece, own: Cost.piece) }

  /// Counts a frame, and the bytes of the message that it completes.
  package func countFrame(messageBytes: Int = 0) {
    let units = Cost.frame + messageBytes / Cost.bytesPerUnit
    spend(units, own: units)
  }

  /// Waits for a turn. Call again: nothing.
  package func wait() {
    guard !isWaiting else { return }
    isWaiting = true
    turns.wait(self)
  }

  fileprivate func turnBegan() {
    isWaiting = false
    if hasBacklog, mayWork { decode?() }
    if mayRead { read?() }
    // Unless the connection is over.
    if hasBacklog || !mayRead, decode != nil || read != nil { wait() }
  }

  private func spend(_ units: Int, own: Int) {
    unitsLeft = max(unitsLeft - own, -1000 * InboundTurns.unitsPerConnection)
    turns.spend(units)
  }
}
