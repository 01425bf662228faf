// SPDX-License-Identifier: GPL-2.0-or-later
import AudioForkBytes
import AudioForkSurface
import CAsterisk

/// What CLI commands may know of the engine. The control thread keeps it up to date.
struct EngineStatus {
  /// As the engine says it; empty before it is ready.
  var version = Bytes()
  /// 0 while no engine is ready.
  var process = 0
  var loops = 0
  /// What it may still do, as it says it; empty: it was given no rules, or does not say.
  var confinement = Bytes()
  /// CLOCK_MONOTONIC of the moment it was ready.
  var readyAt: Int64 = 0
  /// Engines of this load that were ready, this one included.
  var engines = 0
  /// CLOCK_MONOTONIC of the last word of an engine, this one or one before it.
  var heardAt: Int64 = 0
  /// None runs, and the last one could not be started or died before it was ready.
  var isMissing = false

  /// While there are forks at work an engine speaks once a second.
  private static let silenceMax: Int64 = 3_000_000_000

  /// Why the engine's reports about a fork that began at `begun` are not of now. Nil: they are.
  func silence(_ now: Int64, since begun: Int64) -> Bytes? {
    if isMissing {
      return Bytes(text: "engine: cannot be started; see Asterisk's log, then 'audiofork engine restart'")
    }
    let silence = now &- max(heardAt, begun)
    guard silence > EngineStatus.silenceMax else { return nil }
    return text("engine: no report for ", .number(Int(silence / 1_000_000_000)), " seconds")
  }

  /// An engine serves from now on.
  mutating func ready(version: Bytes, process: UInt64, loops: UInt64, confinement: Bytes, now: Int64) {
    self.version = version
    self.confinement = confinement
    self.process = Int(truncatingIfNeeded: process & 0x7fff_ffff)
    self.loops = Int(truncatingIfNeeded: loops & 0x7fff_ffff)
    readyAt = now
    heardAt = now
    isMissing = false
    engines &+= 1
  }

  /// There is none any more.
  mutating func gone() {
    process = 0
    confinement = []
  }
}

/// What the system says about a process: CPU time in milliseconds, resident memory in bytes.
package struct ProcessUse {
  package let cpuMilliseconds: Int64
  package let residentBytes: Int64

  /// Nil where there is no such process.
  package init?(of process: Int) {
    guard let stat = ProcessUse.read(process, "stat"), let memory = ProcessUse.read(process, "statm"),
      let use = ProcessUse(
        stat: stat, memory: memory, ticksPerSecond: Int64(af_clock_ticks()), pageBytes: Int64(af_page_bytes()))
    else { return nil }
    self = use
  }

  /// From the lines of /proc/PID/stat and statm (proc(5)); nil where they are not that.
  package init?(stat: Bytes, memory: Bytes, ticksPerSecond: Int64, pageBytes: Int64) {
    // The second field is the program's name in parentheses and may contain anything, parentheses too.
    guard ticksPerSecond > 0, let end = stat.lastIndex(of: UInt8(ascii: ")")) else { return nil }
    let fields = parts(of: trimmed(slice(stat, end &+ 1, stat.count)), separatedBy: 32)
    let pages = parts(of: trimmed(memory), separatedBy: 32)
    // Behind the name: state is field 3, utime 14, stime 15; resident is the second of statm.
    guard fields.count > 12, let user = decimal(fields[11]), let system = decimal(fields[12]), pages.count > 1,
      let resident = decimal(pages[1])
    else { return nil }
    cpuMilliseconds = (Int64(user) &+ Int64(system)) &* 1000 / max(ticksPerSecond, 1)
    residentBytes = Int64(resident) &* pageBytes
  }

  private static func read(_ process: Int, _ name: StaticString) -> Bytes? {
    withCString(text("/proc/", .number(process), "/", .literal(name))) { path in
      withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 1) { buffer in
        let count = af_read_file(path, buffer.baseAddress, buffer.count)
        guard count > 0 else { return nil }
        return Bytes(UnsafeRawBufferPointer(start: buffer.baseAddress, count: min(Int(count), buffer.count)))
      }
    }
  }
}

/// The lines of `audiofork show engine`.
func engineLines() -> [Bytes] {
  let (facts, forks, memory) = withState { ($0.engine, $0.forks.count, $0.forks.memory) }
  guard facts.process > 0 else {
    return [
      text("The engine is not running; ", .number(forks), forks == 1 ? " fork waits for it." : " forks wait for it.")
    ]
  }
  let uptime = max(0, af_now_ns() &- facts.readyAt) / 1_000_000
  var lines = [
    text("Version: ", .bytes(escaped(facts.version))),
    text("Process: ", .number(facts.process)),
    text("Uptime: ", .bytes(tenths(uptime)), " s"),
    text("Restarts: ", .number(facts.engines &- 1)),
    text("Loops: ", .number(facts.loops)),
    text("Forks: ", .number(forks)),
    text("Rings locked: ", .number(memory.locked), " of ", .number(memory.mapped)),
  ]
  if !facts.confinement.isEmpty { lines.append(text("Confinement: ", .bytes(escaped(facts.confinement)))) }
  if let use = ProcessUse(of: facts.process) {
    lines.append(
      text(
        "CPU: ", .bytes(tenths(use.cpuMilliseconds &* 100_000 / max(uptime, 1))), " % of a core since its start, ",
        .bytes(milliseconds(use.cpuMilliseconds)), " s"))
    lines.append(text("Memory: ", .number(Int(truncatingIfNeeded: use.residentBytes / 1024)), " kB"))
  }
  return lines
}
