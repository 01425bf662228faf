// SPDX-License-Identifier: GPL-2.0-or-later
import AudioForkBytes
import AudioForkLink
import AudioForkSurface
import CAsterisk

/// An AMI event about a fork, complete but for the channel's current name.
struct ManagerEvent {
  let definition: EventDefinition
  var row: ForkRow
  /// Why: of a gap, of the end. Else the row's.
  var reason: Bytes?
  var gapDirection = Bytes()
  var gapStart = 0
  var gapCount = 0
  var gapPosition = 0
  var response = Bytes()
  var responseLength = 0
  var transcript: TranscriptReport?
  var muteDirection = Bytes()
  var isMuted = false

  init(_ definition: EventDefinition, _ row: ForkRow) {
    self.definition = definition
    self.row = row
  }

  /// Its fields as AMI has them: a line each. Nothing from outside can begin a line.
  var body: Bytes {
    var body = Bytes()
    for field in definition.fields {
      body.append(field.name)
      body.append(": ")
      body += escaped(value(field.kind))
      body.append("\r\n")
    }
    return body
  }

  private func value(_ kind: EventFieldKind) -> Bytes {
    switch kind {
    case .channel: row.channel
    case .uniqueID: row.uniqueID
    case .linkedID: row.linkedID
    case .forkID: row.id
    case .server: row.url
    case .direction: row.direction
    case .format: row.format
    case .verification: row.verification
    case .state: row.state
    case .reason: reason ?? row.reason
    case .counter(let counter): row.text(counter)
    case .duration: text(.number(Int(truncatingIfNeeded: row.duration / 1_000_000_000)))
    case .gapDirection: gapDirection
    case .gapStart: text(.number(gapStart))
    case .gapCount: text(.number(gapCount))
    case .gapPosition: text(.number(gapPosition))
    case .response: response
    case .responseLength: text(.number(responseLength))
    case .speaker: transcript.map { Bytes(text: $0.speaker.word) } ?? []
    case .transcript: transcript?.text ?? []
    case .transcriptLength: text(.number(Int(truncatingIfNeeded: transcript?.length ?? 0)))
    case .isFinal: Bytes(text: transcript?.isFinal == true ? "yes" : "no")
    case .transcriptStart: seconds(transcript?.start)
    case .transcriptEnd: seconds(transcript?.end)
    case .confidence: transcript?.confidence.map(hundredths) ?? []
    case .muteDirection: muteDirection
    case .muteState: Bytes(text: isMuted ? "1" : "0")
    }
  }

  private func seconds(_ value: UInt64?) -> Bytes {
    value.map { milliseconds(Int64(truncatingIfNeeded: $0)) } ?? []
  }

  /// Raises it: on AMI, and for Stasis where that is asked for. `channel` is the live channel, not locked; nil: gone.
  mutating func raise(_ channel: OpaquePointer?) {
    if let channel { row.look(at: channel) }
    let body = cString(body)
    af_event(channel, definition.name.utf8Pointer, body)
    guard Control.settings?.raisesStasisEvents == true else { return }
    Snapshots.with(row.id) { snapshot in af_event_stasis(channel, &snapshot, definition.name.utf8Pointer, body) }
  }
}

/// The last snapshot of each fork's channel, for what is told when the channel is gone. Belongs to the jobs thread.
enum Snapshots {
  private struct Entry {
    let id: Bytes
    var snapshot: UnsafeMutableRawPointer?
  }
  nonisolated(unsafe) private static var entries = [Entry]()

  static func with(_ id: Bytes, _ body: (inout UnsafeMutableRawPointer?) -> Void) {
    let index: Int
    if let found = entries.firstIndex(where: { $0.id == id }) {
      index = found
    } else {
      index = entries.count
      entries.append(Entry(id: id))
    }
    body(&entries[index].snapshot)
  }

  /// The fork is over.
  static func forget(_ id: Bytes) {
    guard let index = entries.firstIndex(where: { $0.id == id }) else { return }
    af_snapshot_release(entries[index].snapshot)
    entries.remove(at: index)
  }

  static func forgetAll() {
    for entry in entries { af_snapshot_release(entry.snapshot) }
    entries = []
  }
}
