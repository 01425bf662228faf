// SPDX-License-Identifier: Apache-2.0
import AudioForkLink
import AudioForkRing
import AudioForkRingTestKit
import AudioForkTestKit
import CAudioForkABI
import Glibc
import Testing

/// Where a field stands and how long it is.
private struct Place: Equatable {
  let offset: Int
  let bytes: Int
}

/// docs/internals/ring-layout.md, read as tables.
private struct LayoutPage {
  private var sections: [String: [[String]]] = [:]

  init() throws {
    // .../Tests/AudioForkTapTests/this file
    let root = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
    let path = "/\(root)/docs/internals/ring-layout.md"
    let file = try #require(fopen(path, "r"), "\(path) cannot be opened")
    defer { fclose(file) }
    var section = ""
    var line = [CChar](repeating: 0, count: 1024)
    while fgets(&line, Int32(line.count), file) != nil {
      let text = String(decoding: line.prefix { $0 != 0 && $0 != 10 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
      if text.hasPrefix("#") {
        section = String(text.drop { $0 == "#" || $0 == " " })
      } else if text.hasPrefix("|") {
        let cells = text.dropFirst().dropLast().split(separator: "|", omittingEmptySubsequences: false)
        sections[section, default: []].append(cells.map { String($0.filter { $0 != " " && $0 != "`" }) })
      }
    }
  }

  /// The fields of a section's table with the columns offset, bytes, field.
  func fields(_ section: String) throws -> [String: Place] {
    let rows = try #require(sections[section], "the page has no section '\(section)'")
    var fields: [String: Place] = [:]
    for row in rows where row.count == 4 {
      guard let offset = Int(row[0]), let bytes = Int(row[1]) else { continue }
      #expect(fields[row[2]] == nil, "\(row[2]) stands there twice")
      fields[row[2]] = Place(offset: offset, bytes: bytes)
    }
    return fields
  }

  /// The flags' table: name to value.
  func flags(_ section: String) throws -> [String: UInt32] {
    let rows = try #require(sections[section])
    var flags: [String: UInt32] = [:]
    for row in rows where row.count == 3 { if let value = UInt32(row[0]) { flags[row[1]] = value } }
    return flags
  }
}

@Suite("docs/internals/ring-layout.md says what the compiler says")
struct RingLayoutDocumentTests {
  private func place<Root, Value>(_ path: KeyPath<Root, Value>) throws -> Place {
    Place(offset: try #require(MemoryLayout<Root>.offset(of: path)), bytes: MemoryLayout<Value>.size)
  }

  /// Every byte of a structure belongs to exactly one documented field.
  private func expectComplete(_ fields: [String: Place], size: Int) {
    var end = 0
    for field in fields.sorted(by: { $0.value.offset < $1.value.offset }) {
      #expect(field.value.offset == end, "before \(field.key)")
      end = field.value.offset + field.value.bytes
    }
    #expect(end == size)
  }

  @Test("Header")
  func header() throws {
    typealias Header = af_ring_header
    let fields = try LayoutPage().fields("Header: `af_ring_header`")
    #expect(
      try fields == [
        "magic": place(\Header.magic), "version": place(\Header.version), "header_bytes": place(\Header.header_bytes),
        "index_entries": place(\Header.index_entries), "area_offset": place(\Header.area_offset),
        "area_bytes": place(\Header.area_bytes), "epoch_monotonic_ns": place(\Header.epoch_monotonic_ns),
        "epoch_realtime_ns": place(\Header.epoch_realtime_ns), "facts_offset": place(\Header.facts_offset),
        "facts_bytes": place(\Header.facts_bytes), "secret": place(\Header.secret),
        "generation": place(\Header.generation), "first_sequence": place(\Header.first_sequence),
        "reserved": place(\Header.reserved),
        "published": place(\Header.published), "claimed": place(\Header.claimed), "closed": place(\Header.closed),
        "captured": place(\Header.captured), "ahead": place(\Header.ahead),
        "continued": place(\Header.continued),
        "reserved_words": place(\Header.reserved_words),
      ])
    expectComplete(fields, size: MemoryLayout<Header>.size)
    #expect(MemoryLayout<Header>.size == Int(AF_RING_FACTS_OFFSET))
  }

  @Test("Index entry")
  func entry() throws {
    typealias Entry = af_ring_entry
    let fields = try LayoutPage().fields("Index entry: `af_ring_entry`")
    #expect(
      try fields == [
        "sequence": place(\Entry.sequence), "start": place(\Entry.start), "run_ns": place(\Entry.run_ns),
        "run_index": place(\Entry.run_index), "arrival_ns": place(\Entry.arrival_ns),
        "captured": place(\Entry.captured), "rate_hz": place(\Entry.rate_hz), "samples": place(\Entry.samples),
        "direction": place(\Entry.direction), "kind": place(\Entry.kind), "ts": place(\Entry.ts),
        "sequence_number": place(\Entry.sequence_number), "detail": place(\Entry.detail), "flags": place(\Entry.flags),
      ])
    expectComplete(fields, size: Int(AF_RING_ENTRY_BYTES))
  }

  @Test("Flags")
  func flags() throws {
    #expect(
      try LayoutPage().flags("Index entry: `af_ring_entry`") == [
        "AF_ENTRY_RUN_START": AF_ENTRY_RUN_START.rawValue, "AF_ENTRY_MORE": AF_ENTRY_MORE.rawValue,
        "AF_ENTRY_MUTED": AF_ENTRY_MUTED.rawValue, "AF_ENTRY_CHANNEL": AF_ENTRY_CHANNEL.rawValue,
        "AF_ENTRY_AHEAD": AF_ENTRY_AHEAD.rawValue, "AF_ENTRY_TIMING": AF_ENTRY_TIMING.rawValue,
      ])
  }

  @Test("Cursor, as the code that writes it says and as it stands in a file")
  func cursor() throws {
    let page = try LayoutPage()
    let header = try page.fields("Cursor header")
    #expect(
      header == [
        "magic": Place(offset: 0, bytes: 8), "version": Place(offset: 8, bytes: 4),
        "slot_bytes": Place(offset: 12, bytes: 4),
        "slot0": Place(offset: CursorLayout.offset(ofSlot: 0), bytes: CursorLayout.slotBytes),
        "slot1": Place(offset: CursorLayout.offset(ofSlot: 1), bytes: CursorLayout.slotBytes),
      ])
    let slot = try page.fields("Cursor slot")
    #expect(
      slot == [
        "generation": Place(offset: 0, bytes: 8), "checksum": Place(offset: CursorLayout.checksumOffset, bytes: 8),
        "length": Place(offset: CursorLayout.lengthOffset, bytes: 4),
        "payload": Place(offset: CursorLayout.payloadOffset, bytes: CursorFile.payloadBytesMax),
      ])

    let folder = try ScratchFolder()
    let cursor = try CursorFile(path: folder.file("fork.cursor"))
    cursor.save([0xA1, 0xA2])
    cursor.save([0xB1, 0xB2, 0xB3])
    let bytes = try folder.read("fork.cursor")
    #expect(bytes.count == CursorLayout.fileBytes && bytes.count == 135_168)
    func number(_ offset: Int, _ place: Place?) throws -> UInt64 {
      let place = try #require(place)
      let field = bytes.dropFirst(offset + place.offset).prefix(place.bytes)
      return field.reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }
    #expect(Array(bytes.prefix(8)) == Array("AFCURSR1".utf8))
    #expect(try number(0, header["version"]) == 1)
    #expect(try number(0, header["slot_bytes"]) == 65536)
    let saves: [(String, UInt64, [UInt8])] = [("slot0", 1, [0xA1, 0xA2]), ("slot1", 2, [0xB1, 0xB2, 0xB3])]
    for (name, generation, payload) in saves {
      let start = try #require(header[name]).offset
      #expect(try number(start, slot["generation"]) == generation)
      #expect(try number(start, slot["length"]) == UInt64(payload.count))
      let payloadStart = start + (try #require(slot["payload"])).offset
      #expect(Array(bytes[payloadStart..<payloadStart + payload.count]) == payload)
      // FNV-1a as its authors define it, over the bytes that the page names.
      var sum: UInt64 = 14_695_981_039_346_656_037
      for byte in [UInt8(generation), 0, 0, 0, 0, 0, 0, 0, UInt8(payload.count), 0, 0, 0] + payload {
        sum = (sum ^ UInt64(byte)) &* 1_099_511_628_211
      }
      #expect(try number(start, slot["checksum"]) == sum)
    }
  }

  @Test("A ring file begins with the documented bytes")
  func ringFile() throws {
    let folder = try ScratchFolder()
    let tap = try TestTap(in: folder)
    withExtendedLifetime(tap) {}
    let bytes = try folder.read("fork.ring")
    #expect(Array(bytes.prefix(12)) == Array("AFFRING1".utf8) + [1, 0, 0, 0])
    #expect(bytes.count == 4096 + 2048 * 64 + 524_288)
    #expect(bytes[512] == UInt8(LinkField.id.rawValue))
  }
}
