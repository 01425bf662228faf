// SPDX-License-Identifier: Apache-2.0
internal import AudioForkMedia
internal import AudioForkEngine
internal import AudioForkRing
internal import Glibc

/// A cursor from who knows where: a record with a right checksum, or a damaged file; and a stream that goes on from it.
func fuzzCursor(_ bytes: [UInt8]) {
  var input = Decisions(bytes)
  let cursorPath = path("cursor")
  unlink(cursorPath)
  let what = input.byte()
  do {
    var cursor = try CursorFile(path: cursorPath)
    if what & 3 == 3 {
      cursor.save([1, 2, 3])
      cursor.save(goodRecord)
      cursor.close()
      var file = load(cursorPath)
      input.damage(&file, records: 4096, recordBytes: 65_536)
      store(file, at: cursorPath)
      cursor = try CursorFile(path: cursorPath)
      if let found = cursor.load() {
        demand(found == goodRecord || found == [1, 2, 3], "a wrong payload passes: \(found)")
      }
    } else {
      let steps = input.piece(Int(what >> 2))
      let payload = what & 3 == 0 ? merged(&input) : input.remainder()
      roundTrip(payload)
      demand(cursor.save(payload) && cursor.load() == payload, "saved, and something else was there")
      input = Decisions(steps)
    }
    let ringPath = path("cursor.ring")
    store(goodRing, at: ringPath)
    stream(try RingReader(path: ringPath), cursor: cursor, &input)
  } catch {
    demand(false, "\(error)")
  }
}

/// A record as an engine leaves it in the middle of the good ring.
private let goodRecord: [UInt8] = {
  let (ringPath, cursorPath) = (path("good.cursor.ring"), path("good.cursor"))
  store(goodRing, at: ringPath)
  defer {
    unlink(ringPath)
    unlink(cursorPath)
  }
  do {
    let cursor = try CursorFile(path: cursorPath)
    let stream = ForkStream(
      ring: RingGenerations(try RingReader(path: ringPath)), cursor: cursor,
      configuration: RenderConfiguration(directions: .both, wireRateHertz: 16_000))
    for _ in 0..<10 { _ = try stream.nextBlock(now: StreamTime(nanoseconds: 500_000_000)) }
    stream.connectionOpened()
    stream.confirmAll()
    return cursor.load() ?? []
  } catch {
    return []
  }
}()

/// The good record, with bytes of the input over it.
private func merged(_ input: inout Decisions) -> [UInt8] {
  var record = goodRecord
  demand(record.count > 300, "the good record is none")
  while !input.isOver {
    let place = Int(input.number(bytes: 2)) % record.count
    for (index, byte) in input.piece(Int(input.byte() & 7) + 1).enumerated() where place + index < record.count {
      record[place + index] = byte
    }
  }
  return record
}

/// What can be read is written the same way.
private func roundTrip(_ payload: [UInt8]) {
  if let record = CursorRecord(decoding: payload) {
    let again = record.encode()
    demand(CursorRecord(decoding: again) == record, "\(record) became \(again)")
  }
  if let checkpoint = try? Checkpoint(decoding: payload) {
    demand((try? Checkpoint(decoding: checkpoint.encode())) == checkpoint, "\(checkpoint)")
  }
}
