// SPDX-License-Identifier: MIT
package import AudioForkBytes

/// One text from which a fork's options are made.
package struct ForkSource: Sendable {
  package enum Text: Sendable {
    case url(Bytes)
    /// A line of `audiofork.conf`.
    case setting(ProfileKey, Bytes)
    /// An option string in which nothing was evaluated.
    case options(Bytes)
    /// One option of a string with expressions.
    case option(EvaluatedOption)
  }

  package let text: Text
  /// Whether a value of the channel is in the text. Such a text is left out rather than the fork refused.
  package let isEvaluated: Bool
  /// For messages: where the text comes from, with a colon and a blank; may be empty.
  package let place: Bytes

  /// What the text sets; nil for an option string and for an option without an argument.
  package var kind: SettingKind? {
    switch text {
    case .url: .url
    case .setting(let key, _): key.kind
    case .options: nil
    case .option(let option): option.definition?.argument.kind
    }
  }

  /// The text for a message, without secrets.
  fileprivate var shown: Bytes {
    var shown = place
    switch text {
    case .url(let url):
      shown.append("url = '")
      shown.append(shown: (try? EndpointURL.parse(url))?.shown ?? EndpointURL.redacted(url))
      shown.append("'")
    case .setting(let key, let value):
      shown.append(key.name)
      shown.append(" = '")
      shown.append(shown: key.kind.isSecret ? Bytes(text: "...") : value)
      shown.append("'")
    case .options(let options): shown.append(shown: ForkOptions.shown(options: options))
    case .option(let option):
      shown.append("option ")
      shown.append(shown: ForkOptions.shown(evaluated: [option.letter] + option.argument))
    }
    return shown
  }
}

/// The texts from which a fork's options are made, in the order in which they apply, and the options.
///
/// A text that is invalid as written is refused. A text with an evaluated value that is invalid, or contradicts another
/// text, is left out with a warning: callers must not decide whether their call is recorded.
package struct ForkSources: Sendable {
  package private(set) var options = ForkOptions()
  package private(set) var sources = [ForkSource]()
  /// The kinds of all evaluated texts, including those that were left out.
  private var evaluatedKinds = [SettingKind]()

  package init() {}

  /// Adds a URL, its values already in place.
  package mutating func add(url: Bytes, isEvaluated: Bool = false) throws(OptionError) {
    try options.apply(url: url)
    append(ForkSource(text: .url(url), isEvaluated: isEvaluated, place: []))
  }

  /// Adds a line of the configuration, its values already in place. Throws if the line as written is invalid.
  /// `place`: see `ForkSource`.
  package mutating func add(
    _ key: ProfileKey, _ value: Bytes, isEvaluated: Bool, place: Bytes
  ) throws(OptionError) {
    do {
      try options.apply(key, value)
    } catch {
      guard isEvaluated else { throw error }
      leaveOut(key, place, error)
      return
    }
    let text: ForkSource.Text = if case .url = key.kind { .url(value) } else { .setting(key, value) }
    append(ForkSource(text: text, isEvaluated: isEvaluated, place: place))
  }

  /// Leaves a line of the configuration out because its evaluated value is invalid.
  package mutating func leaveOut(_ key: ProfileKey, _ place: Bytes, _ error: OptionError) {
    evaluatedKinds.append(key.kind)
    var warning = place + error.message
    warning.append("; the line is left out")
    options.warnings.append(warning)
    guard case .onFailure = key.kind else { return }
    // As strict as may have been meant.
    let strict = Bytes(text: "hangup")
    try? options.apply(key, strict)
    append(ForkSource(text: .setting(key, strict), isEvaluated: false, place: place))
  }

  /// Adds an option string in which `^{…}` is text.
  package mutating func add(options text: Bytes) throws(OptionError) {
    try options.apply(options: text)
    append(ForkSource(text: .options(text), isEvaluated: false, place: []))
  }

  /// Adds an option string in which each `^{…}` stands for what `evaluate` returns. Throws if the string as written is
  /// invalid.
  package mutating func add(
    options text: Bytes, evaluating evaluate: (ChannelCall) -> Bytes
  ) throws(OptionError) {
    let accepted = try options.apply(options: text, evaluating: evaluate)
    evaluatedKinds += try ForkOptions.evaluatedKinds(in: text)
    for option in accepted {
      append(ForkSource(text: .option(option), isEvaluated: option.isEvaluated, place: []))
    }
  }

  private mutating func append(_ source: ForkSource) {
    sources.append(source)
    if source.isEvaluated, let kind = source.kind { evaluatedKinds.append(kind) }
  }

  // MARK: - Contradictions

  /// Leaves evaluated texts out until the rest breaks no rule. Throws if the texts contradict each other as written.
  package mutating func settle() throws(OptionError) {
    while let broken = options.brokenRule {
      let isMended =
        broken.yielding.contains { leaveOutEvaluated($0, because: broken) } || leaveOutDependent(on: broken)
      guard isMended else { throw options.error(for: broken) }
    }
  }

  /// Leaves evaluated texts of this kind out, the last one first, until the rule is not broken any more. Changes
  /// nothing and returns false if it is still broken without all of them.
  private mutating func leaveOutEvaluated(_ kind: SettingKind, because broken: OptionRule) -> Bool {
    var trial = self
    while trial.options.brokenRule == broken {
      let index = trial.sources.lastIndex { source in
        guard source.isEvaluated, source.kind == kind else { return false }
        guard case .url(let url) = source.text else { return true }
        return (try? EndpointURL.parse(url))?.isSecure == false
      }
      guard let index, trial.leaveOut(at: index, because: trial.options.reason(for: broken)) else { return false }
    }
    self = trial
    return true
  }

  /// Leaves out the texts that depend on an evaluated one (`OptionRule.needs`). Returns whether there were any.
  private mutating func leaveOutDependent(on broken: OptionRule) -> Bool {
    guard let (needed, dependent) = broken.needs, needed.contains(where: { evaluatedKinds.contains($0) })
    else { return false }
    var isLeftOut = false
    while let index = sources.lastIndex(where: { $0.kind.map { dependent.contains($0) } ?? false }) {
      guard leaveOut(at: index, because: options.reason(for: broken)) else { return isLeftOut }
      isLeftOut = true
    }
    return isLeftOut
  }

  /// Leaves this endpoint out if its URL was evaluated and is not the only one. Returns whether it was left out.
  package mutating func leaveOut(_ endpoint: EndpointURL, because reason: Bytes) -> Bool {
    let index = sources.lastIndex { source in
      guard source.isEvaluated, case .url(let url) = source.text else { return false }
      return (try? EndpointURL.parse(url)) == endpoint
    }
    return index.map { leaveOut(at: $0, because: reason) } ?? false
  }

  /// Leaves the last evaluated text of this kind out. Returns false if there is none.
  package mutating func leaveOutEvaluated(_ kind: SettingKind, because reason: Bytes) -> Bool {
    guard let index = sources.lastIndex(where: { $0.isEvaluated && $0.kind == kind }) else { return false }
    return leaveOut(at: index, because: reason)
  }

  /// Makes the options anew without this text, and adds a warning. Changes nothing and returns false if it is the only
  /// URL.
  private mutating func leaveOut(at index: Int, because reason: Bytes) -> Bool {
    let source = sources[index]
    if case .url = source.text, options.endpoints.count < 2 { return false }
    let alone = ForkSources.resolved([source])
    var warnings = options.warnings
    warnings.removeAll { alone.warnings.contains($0) }
    var warning = source.shown
    warning.append(" is left out: ")
    warnings.append(warning + reason)
    sources.remove(at: index)
    options = ForkSources.resolved(sources)
    options.warnings = warnings
    return true
  }

  /// The options that these sources make. Each has been accepted before.
  private static func resolved(_ sources: [ForkSource]) -> ForkOptions {
    (try? ForkSettings.resolve(sources.map { $0.text })) ?? ForkOptions()
  }
}
