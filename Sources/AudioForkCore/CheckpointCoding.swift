// SPDX-License-Identifier: Apache-2.0

/// Encoded form, little-endian: magic, version, configuration, decision state, counters, two parts, clock decisions.
/// The cursor file adds the checksum.
extension Checkpoint {
  private static let magic: UInt32 = 0x5043_4641  // "AFCP"
  private static let version: UInt8 = 3
  /// More than the longest filter: 192 kHz to 8 kHz takes 1176.
  private static let historyMax = 8_192
  private static let renderedMax = 1 << 24
  private static let blockMax = (RenderLimit.timeMax - .zero) / RenderLimit.blockLength

  /// Bytes for the cursor.
  package func encode() -> [UInt8] {
    var writer = ByteWriter()
    writer.bytes.reserveCapacity(320 + 2 * (`in`.history.count + out.history.count) + 24 * clockDecisions.count)
    writer.append(Checkpoint.magic)
    writer.append(Checkpoint.version)
    writer.append(configuration.directions.rawValue)
    writer.append(UInt8((configuration.fill ? 1 : 0) | (configuration.isStereo ? 2 : 0)))
    writer.append(Int8(clamping: configuration.gainIn.steps))
    writer.append(Int8(clamping: configuration.gainOut.steps))
    writer.append(UInt32(clamping: configuration.wireRateHertz))
    writer.append(sequence)
    writer.append(block)
    writer.append(newestArrival.nanoseconds)
    writer.append(resumedArrival.nanoseconds)
    writer.append(counters.position.frames)
    writer.append(counters.refused)
    for direction in Direction.allCases {
      writer.append(counters[direction].rendered)
      writer.append(counters[direction].overrun)
      writer.append(counters[direction].ahead)
      writer.append(counters[direction].fill)
      encode(self[direction], into: &writer)
    }
    writer.append(UInt16(clamping: clockDecisions.count))
    for decision in clockDecisions {
      writer.append(decision.sequence)
      writer.append(decision.from)
      writer.append(decision.to)
    }
    return writer.bytes
  }

  private func encode(_ part: Part, into writer: inout ByteWriter) {
    writer.append(part.firstSequence)
    writer.append(UInt32(clamping: part.renderedOfFirst))
    writer.append(part.lastArrival.nanoseconds)
    writer.append(UInt32(clamping: part.historyEnd?.rateHertz ?? 0))
    writer.append(part.historyEnd?.runStart.nanoseconds ?? 0)
    writer.append(part.historyEnd?.runIndex ?? 0)
    writer.append(UInt16(clamping: part.history.count))
    for sample in part.history { writer.append(sample) }
  }

  /// Nil for anything that `encode` cannot have written. Never traps.
  package init?(decoding bytes: [UInt8]) {
    var reader = ByteReader(bytes)
    guard reader.next(UInt32.self) == Checkpoint.magic, reader.next(UInt8.self) == Checkpoint.version,
      let directions = reader.next(UInt8.self), directions > 0, directions <= 3,
      let layout = reader.next(UInt8.self), layout <= 3, layout & 2 == 0 || directions == 3,
      let gainIn = Checkpoint.gain(&reader), let gainOut = Checkpoint.gain(&reader),
      let rate = reader.next(UInt32.self), RenderLimit.isUsable(rateHertz: Int(rate)),
      let sequence = reader.next(UInt64.self), sequence <= UInt64.max / 4,
      let block = reader.next(Int64.self), block >= 0, block <= Checkpoint.blockMax,
      let newest = Checkpoint.time(&reader), newest >= .zero, let resumed = Checkpoint.time(&reader),
      let position = reader.next(UInt64.self), position <= UInt64(block) * UInt64(rate),
      let refused = reader.next(UInt64.self),
      let (inCounters, inPart) = Checkpoint.direction(&reader, sequence: sequence),
      let (outCounters, outPart) = Checkpoint.direction(&reader, sequence: sequence),
      let decisions = Checkpoint.decisions(&reader), reader.isAtEnd
    else { return nil }
    var counters = RenderCounters()
    counters.position = Position(position)
    counters.refused = refused
    counters.in = inCounters
    counters.out = outCounters
    self.init(
      configuration: RenderConfiguration(
        directions: DirectionSet(rawValue: directions), wireRateHertz: Int(rate), fill: layout & 1 == 1,
        isStereo: layout & 2 == 2, gainIn: gainIn, gainOut: gainOut),
      sequence: sequence, block: block, newestArrival: newest, resumedArrival: resumed, counters: counters,
      in: inPart, out: outPart, clockDecisions: decisions)
  }

  private static func gain(_ reader: inout ByteReader) -> Gain? {
    guard let steps = reader.next(Int8.self), abs(Int(steps)) <= Gain.stepsMax else { return nil }
    return Gain(Int(steps))
  }

  /// A time that can be subtracted from another without overflow.
  private static func time(_ reader: inout ByteReader) -> StreamTime? {
    guard let nanoseconds = reader.next(Int64.self) else { return nil }
    let time = StreamTime(nanoseconds: nanoseconds)
    return time >= never && time <= RenderLimit.timeMax ? time : nil
  }

  private static func direction(_ reader: inout ByteReader, sequence: UInt64) -> (DirectionCounters, Part)? {
    guard let rendered = reader.next(UInt64.self), let overrun = reader.next(UInt64.self),
      let ahead = reader.next(UInt64.self), let fill = reader.next(UInt64.self),
      rendered <= UInt64.max / 4, overrun <= UInt64.max / 4, ahead <= UInt64.max / 4,
      let first = reader.next(UInt64.self), first <= sequence,
      let renderedOfFirst = reader.next(UInt32.self), renderedOfFirst <= renderedMax,
      let lastArrival = time(&reader),
      let rate = reader.next(UInt32.self), rate == 0 || RenderLimit.isUsable(rateHertz: Int(rate)),
      let run = reader.next(Int64.self), let runIndex = reader.next(UInt64.self),
      runIndex <= RenderLimit.runIndexMax * 2,
      let count = reader.next(UInt16.self), Int(count) <= historyMax, UInt64(count) <= runIndex
    else { return nil }
    var history: [Int16] = []
    history.reserveCapacity(Int(count))
    for _ in 0..<count {
      guard let sample = reader.next(Int16.self) else { return nil }
      history.append(sample)
    }
    var counters = DirectionCounters()
    counters.rendered = rendered
    counters.overrun = overrun
    counters.ahead = ahead
    counters.fill = fill
    let end = rate == 0 ? nil : RunPoint(rateHertz: Int(rate), runStart: StreamTime(nanoseconds: run), runIndex: runIndex)
    guard end != nil || history.isEmpty else { return nil }
    return (
      counters,
      Part(
        firstSequence: first, renderedOfFirst: Int(renderedOfFirst), lastArrival: lastArrival, historyEnd: end,
        history: history)
    )
  }

  private static func decisions(_ reader: inout ByteReader) -> [ClockDecision]? {
    guard let count = reader.next(UInt16.self), Int(count) <= RenderLimit.clockDecisionsMax else { return nil }
    var decisions: [ClockDecision] = []
    for _ in 0..<count {
      guard let sequence = reader.next(UInt64.self), let from = reader.next(Int64.self),
        let to = reader.next(Int64.self), from >= 0, from <= to, to <= blockMax
      else { return nil }
      decisions.append(ClockDecision(sequence: sequence, from: from, to: to))
    }
    return decisions
  }
}

/// Appends integers in little-endian order.
private struct ByteWriter {
  var bytes: [UInt8] = []

  mutating func append<Value: FixedWidthInteger>(_ value: Value) {
    var rest = value
    for _ in 0..<(Value.bitWidth / 8) {
      bytes.append(UInt8(truncatingIfNeeded: rest))
      if Value.bitWidth > 8 { rest &>>= 8 }
    }
  }
}

/// Reads integers in little-endian order; nil at the end.
private struct ByteReader {
  private let bytes: [UInt8]
  private var index = 0

  init(_ bytes: [UInt8]) { self.bytes = bytes }

  var isAtEnd: Bool { index == bytes.count }

  mutating func next<Value: FixedWidthInteger>(_: Value.Type) -> Value? {
    let length = Value.bitWidth / 8
    guard bytes.count - index >= length else { return nil }
    var value: Value = 0
    for offset in (0..<length).reversed() {
      if Value.bitWidth > 8 { value &<<= 8 }
      value |= Value(truncatingIfNeeded: bytes[index + offset])
    }
    index += length
    return value
  }
}
