// SPDX-License-Identifier: MIT
package import AudioForkBytes

/// The values that an engine-wide key of `[general]` takes.
package enum EngineValue: Sendable, Equatable {
  case number(ClosedRange<Int>)
  /// yes or no, in Asterisk's words.
  case truth
  /// Text of at most so many bytes, without control characters.
  case text(bytesMax: Int)

  fileprivate func accepts(_ value: Bytes) -> Bool {
    switch self {
    case .number(let range): decimal(value).map { range.contains($0) } ?? false
    case .truth: ForkOptions.truth(value) != nil
    case .text(let bytesMax): value.count <= bytesMax && !value.contains { $0.isControl }
    }
  }
}

/// The engine-wide keys of `[general]` that are set, and their values.
///
/// `GeneralKey.all` declares which keys these are (`GeneralKind.engineWide`, and `allow`). The module checks them and
/// sends them to the engine: to each new one, and again when a reload has changed them.
package struct EngineSettings: Sendable, Equatable {
  private struct Setting: Sendable, Equatable {
    let name: Bytes
    let value: Bytes
  }

  /// All lines `allow` have to fit into one message of the control link.
  private static let allowBytesMax = 200_000
  /// What a line takes there besides its value, at most.
  private static let allowLineBytes = 16

  private var settings = [Setting]()
  /// Patterns for the URLs that forks may go to; empty: every URL. The module checks a fork's own, the engine those
  /// that a server's redirect leads to.
  package private(set) var allow = [AllowPattern]()
  private var allowBytes = 0
  private var allowsNothing = false

  /// None is set: every key has its default.
  package init() {}

  /// Reads lines "key=value" of the control link. Leaves out what this release does not know or accept. `keys`: those
  /// there are.
  package init(lines: [Bytes], of keys: [GeneralKey] = GeneralKey.all) {
    for line in lines {
      guard let sign = firstIndex(of: UInt8(ascii: "="), in: line) else { continue }
      let name = slice(line, 0, sign)
      guard let key = keys.first(where: { equal(name, ignoringCase: $0.name) }) else { continue }
      guard !set(key, slice(line, sign &+ 1, line.count)), case .allow = key.kind else { continue }
      // A pattern of a later release: what it allows is not known.
      allowsNothing = true
    }
  }

  /// The lines for the control link.
  package var lines: [Bytes] { settings.map { $0.name + Bytes(text: "=") + $0.value } }

  /// Sets an engine-wide key, or adds a line `allow`. Returns false if the key is none or does not take the value.
  package mutating func set(_ key: GeneralKey, _ value: Bytes) -> Bool {
    let name = Bytes(text: key.name)
    switch key.kind {
    case .engineWide(let form):
      guard form.accepts(value) else { return false }
      settings.removeAll { $0.name == name }
    case .allow:
      guard let pattern = AllowPattern(value), allowBytes &+ value.count <= EngineSettings.allowBytesMax else {
        return false
      }
      allow.append(pattern)
      allowBytes = allowBytes &+ value.count &+ EngineSettings.allowLineBytes
    default: return false
    }
    settings.append(Setting(name: name, value: value))
    return true
  }

  /// Returns whether forks to this URL are allowed.
  package func allows(_ url: EndpointURL) -> Bool {
    allow.contains { $0.allows(url) } || (allow.isEmpty && !allowsNothing)
  }

  /// The value of a key; nil if it is not set.
  package func text(_ key: GeneralKey) -> Bytes? {
    let name = Bytes(text: key.name)
    return settings.first { $0.name == name }?.value
  }

  /// The number that a key is set to; nil if it is not set.
  package func number(_ key: GeneralKey) -> Int? { text(key).flatMap { decimal($0) } }

  /// Whether a key is set to yes; nil if it is not set.
  package func truth(_ key: GeneralKey) -> Bool? { text(key).flatMap { ForkOptions.truth($0) } }
}
