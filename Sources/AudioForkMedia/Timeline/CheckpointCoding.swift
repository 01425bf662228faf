// SPDX-License-Identifier: Apache-2.0
internal import AudioForkBytes

/// Encoded form, little-endian: magic, version, configuration, decision state, counters, two parts, clock decisions.
/// The cursor file adds the checksum. Version 4 has `align` in the configuration. Version 3 means 160 ms, and is
/// written for 160 ms, so that earlier engines can read it.
extension Checkpoint {
  private static let magic: UInt32 = 0x5043_4641 // "AFCP"
  private static let versionWithoutAlign: UInt8 = 3
  private static let version: UInt8 = 4
  /// More than the longest filter: 192 kHz to 8 kHz takes 1176.
  fileprivate static let historyMax = 8_192
  fileprivate static let renderedMax = 1 << 24
  private static let blockMax = (RenderLimit.timeMax - .zero) / RenderLimit.blockLength

  /// Bytes for the cursor.
  package func encode() -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(320 + 2 * (`in`.history.count + out.history.count) + 24 * clockDecisions.count)
    bytes.append(littleEndian: Checkpoint.magic)
    let hasAlign = configuration.alignMilliseconds != RenderLimit.alignMillisecondsDefault
    bytes.append(hasAlign ? Checkpoint.version : Checkpoint.versionWithoutAlign)
    bytes.append(configuration.directions.rawValue)
    bytes.append(UInt8((configuration.fill ? 1 : 0) | (configuration.isStereo ? 2 : 0)))
    bytes.append(UInt8(bitPattern: Int8(clamping: configuration.gainIn.steps)))
    bytes.append(UInt8(bitPattern: Int8(clamping: configuration.gainOut.steps)))
    bytes.append(littleEndian: UInt32(clamping: configuration.wireRateHertz))
    if hasAlign { bytes.append(littleEndian: UInt16(clamping: configuration.alignMilliseconds)) }
    bytes.append(littleEndian: sequence)
    bytes.append(littleEndian: block)
    bytes.append(littleEndian: newestArrival.nanoseconds)
    bytes.append(littleEndian: resumedArrival.nanoseconds)
    bytes.append(littleEndian: counters.position.frames)
    bytes.append(littleEndian: counters.refused)
    for direction in Direction.allCases {
      bytes.append(littleEndian: counters[direction].rendered)
      bytes.append(littleEndian: counters[direction].overrun)
      bytes.append(littleEndian: counters[direction].ahead)
      bytes.append(littleEndian: counters[direction].fill)
      encode(self[direction], into: &bytes)
    }
    bytes.append(littleEndian: UInt16(clamping: clockDecisions.count))
    for decision in clockDecisions {
      bytes.append(littleEndian: decision.sequence)
      bytes.append(littleEndian: decision.from)
      bytes.append(littleEndian: decision.to)
    }
    return bytes
  }

  private func encode(_ part: Part, into bytes: inout [UInt8]) {
    bytes.append(littleEndian: part.firstSequence)
    bytes.append(littleEndian: UInt32(clamping: part.renderedOfFirst))
    bytes.append(littleEndian: part.lastArrival.nanoseconds)
    bytes.append(littleEndian: UInt32(clamping: part.historyEnd?.rateHertz ?? 0))
    bytes.append(littleEndian: part.historyEnd?.runStart.nanoseconds ?? 0)
    bytes.append(littleEndian: part.historyEnd?.runIndex ?? 0)
    bytes.append(littleEndian: UInt16(clamping: part.history.count))
    bytes.append(littleEndian: part.history[...])
  }

  /// Reads what `encode` has written. Throws for anything else, with the first field that is wrong. Never traps.
  package init(decoding bytes: [UInt8]) throws(CheckpointError) {
    var reader = CheckpointReader(bytes)
    _ = try reader.read(UInt32.self, .magic) { $0 == Checkpoint.magic }
    let version = try reader.read(UInt8.self, .version) {
      $0 == Checkpoint.version || $0 == Checkpoint.versionWithoutAlign
    }
    let configuration = try RenderConfiguration(&reader, hasAlign: version == Checkpoint.version)
    let sequence = try reader.read(UInt64.self, .sequence) { $0 <= UInt64.max / 4 }
    let block = try reader.read(Int64.self, .block) { $0 >= 0 && $0 <= Checkpoint.blockMax }
    let newest = try reader.readTime(.newestArrival) { $0 >= .zero }
    let resumed = try reader.readTime(.resumedArrival)
    var counters = RenderCounters()
    let positionMax = UInt64(block) * UInt64(configuration.wireRateHertz)
    counters.position = Position(try reader.read(UInt64.self, .position) { $0 <= positionMax })
    counters.refused = try reader.read(UInt64.self, .refused)
    counters.in = try DirectionCounters(&reader)
    let inPart = try Part(&reader, sequence: sequence)
    counters.out = try DirectionCounters(&reader)
    let outPart = try Part(&reader, sequence: sequence)
    let decisions = try Checkpoint.decisions(&reader)
    guard reader.isAtEnd else { throw CheckpointError(.end, .isOutOfRange) }
    self.init(
      configuration: configuration, sequence: sequence, block: block, newestArrival: newest, resumedArrival: resumed,
      counters: counters, in: inPart, out: outPart, clockDecisions: decisions)
  }

  private static func decisions(_ reader: inout CheckpointReader) throws(CheckpointError) -> [ClockDecision] {
    let count = try reader.read(UInt16.self, .clockDecisionCount) { Int($0) <= RenderLimit.clockDecisionsMax }
    var decisions: [ClockDecision] = []
    for _ in 0..<count {
      let sequence = try reader.read(UInt64.self, .clockDecision)
      let from = try reader.read(Int64.self, .clockDecision) { $0 >= 0 }
      let to = try reader.read(Int64.self, .clockDecision) { $0 >= from && $0 <= Checkpoint.blockMax }
      decisions.append(ClockDecision(sequence: sequence, from: from, to: to))
    }
    return decisions
  }
}

extension RenderConfiguration {
  fileprivate init(_ reader: inout CheckpointReader, hasAlign: Bool) throws(CheckpointError) {
    let directions = try reader.read(UInt8.self, .directions) { $0 > 0 && $0 <= 3 }
    // Bit 0: fill. Bit 1: stereo, which takes both directions.
    let layout = try reader.read(UInt8.self, .layout) { $0 <= 3 && ($0 & 2 == 0 || directions == 3) }
    let gainIn = try reader.read(Int8.self, .gainIn) { abs(Int($0)) <= Gain.stepsMax }
    let gainOut = try reader.read(Int8.self, .gainOut) { abs(Int($0)) <= Gain.stepsMax }
    let rate = try reader.read(UInt32.self, .wireRate) { RenderLimit.isUsable(rateHertz: Int($0)) }
    var align = RenderLimit.alignMillisecondsDefault
    if hasAlign {
      align = Int(try reader.read(UInt16.self, .align) { RenderLimit.alignMillisecondsRange.contains(Int($0)) })
    }
    self.init(
      directions: DirectionSet(rawValue: directions), wireRateHertz: Int(rate), fill: layout & 1 == 1,
      isStereo: layout & 2 == 2, gainIn: Gain(Int(gainIn)), gainOut: Gain(Int(gainOut)),
      alignMilliseconds: align)
  }
}

extension DirectionCounters {
  fileprivate init(_ reader: inout CheckpointReader) throws(CheckpointError) {
    self.init()
    rendered = try reader.read(UInt64.self, .rendered) { $0 <= UInt64.max / 4 }
    overrun = try reader.read(UInt64.self, .overrun) { $0 <= UInt64.max / 4 }
    ahead = try reader.read(UInt64.self, .ahead) { $0 <= UInt64.max / 4 }
    fill = try reader.read(UInt64.self, .fill)
  }
}

extension Checkpoint.Part {
  fileprivate init(_ reader: inout CheckpointReader, sequence: UInt64) throws(CheckpointError) {
    firstSequence = try reader.read(UInt64.self, .firstSequence) { $0 <= sequence }
    renderedOfFirst = Int(try reader.read(UInt32.self, .renderedOfFirst) { $0 <= Checkpoint.renderedMax })
    lastArrival = try reader.readTime(.lastArrival)
    // 0: nothing was converted.
    let rate = try reader.read(UInt32.self, .historyRate) { $0 == 0 || RenderLimit.isUsable(rateHertz: Int($0)) }
    let run = try reader.read(Int64.self, .historyRun)
    let runIndex = try reader.read(UInt64.self, .historyIndex) { $0 <= RenderLimit.runIndexMax * 2 }
    let count = try reader.read(UInt16.self, .historyCount) {
      Int($0) <= Checkpoint.historyMax && UInt64($0) <= runIndex && (rate != 0 || $0 == 0)
    }
    history = []
    history.reserveCapacity(Int(count))
    for _ in 0..<count { history.append(try reader.read(Int16.self, .history)) }
    historyEnd =
      rate == 0
      ? nil : RunPoint(rateHertz: Int(rate), runStart: StreamTime(nanoseconds: run), runIndex: runIndex)
  }
}

/// Why bytes are no checkpoint.
package struct CheckpointError: Error, Equatable, Sendable {
  /// The fields in their order; those of a direction are there twice.
  package enum Field: Sendable {
    case magic, version, directions, layout, gainIn, gainOut, wireRate, align, sequence, block, newestArrival
    case resumedArrival, position, refused
    case rendered, overrun, ahead, fill
    case firstSequence, renderedOfFirst, lastArrival, historyRate, historyRun, historyIndex, historyCount, history
    case clockDecisionCount, clockDecision
    /// Behind the last field.
    case end
  }

  package enum Problem: Sendable {
    /// The bytes end before it.
    case isMissing
    /// No encoder writes this value there.
    case isOutOfRange
  }

  package let field: Field
  package let problem: Problem

  package init(_ field: Field, _ problem: Problem) {
    self.field = field
    self.problem = problem
  }
}

/// Reads fields, each with a check.
private struct CheckpointReader {
  private var integers: LittleEndianReader

  init(_ bytes: [UInt8]) { integers = LittleEndianReader(bytes) }

  var isAtEnd: Bool { integers.isAtEnd }

  /// The next field's value, which has to fulfil the condition.
  mutating func read<Value: FixedWidthInteger>(
    _: Value.Type, _ field: CheckpointError.Field, where isAllowed: (Value) -> Bool = { _ in true }
  ) throws(CheckpointError) -> Value {
    guard let bits = integers.next(byteCount: Value.bitWidth / 8) else { throw CheckpointError(field, .isMissing) }
    let value = Value(truncatingIfNeeded: bits)
    guard isAllowed(value) else { throw CheckpointError(field, .isOutOfRange) }
    return value
  }

  /// A time that can be subtracted from another without overflow.
  mutating func readTime(
    _ field: CheckpointError.Field, where isAllowed: (StreamTime) -> Bool = { _ in true }
  ) throws(CheckpointError) -> StreamTime {
    let nanoseconds = try read(Int64.self, field) {
      let time = StreamTime(nanoseconds: $0)
      return time >= Checkpoint.never && time <= RenderLimit.timeMax && isAllowed(time)
    }
    return StreamTime(nanoseconds: nanoseconds)
  }
}
