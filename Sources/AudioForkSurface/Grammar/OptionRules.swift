// SPDX-License-Identifier: MIT
package import AudioForkBytes

/// A rule that options can only break together, while each of them is valid.
package enum OptionRule: Sendable, Equatable, CaseIterable {
  /// Option T needs wss:// URLs.
  case plainURL
  /// A dialect that is a sub-protocol takes no others.
  case subprotocol
  /// `acknowledge = persisted` needs a dialect that can express it.
  case confirmation
  /// Servers of a dialect understand certain formats.
  case format
  /// A certificate needs its key, and a key its certificate.
  case keyPair
  /// A dialect that says itself how a stream begins and ends takes no texts for that.
  case firstText, lastText
  /// Servers of a dialect understand certain lengths of a message.
  case messageLength
  /// Servers of a dialect understand one channel of audio.
  case stereo

  /// Returns whether the options break the rule.
  package func isBroken(by options: ForkOptions, _ dialect: DialectTraits) -> Bool {
    switch self {
    case .plainURL: options.tls != .none && options.endpoints.contains { !$0.isSecure }
    case .subprotocol: options.subprotocols != nil && !dialect.takes(.subprotocol)
    case .confirmation: options.wantsPersisted && !dialect.takes(.acknowledge)
    case .format: !dialect.takes(options.format)
    case .keyPair: options.certificateFile.isEmpty != options.keyFile.isEmpty
    case .firstText: !options.firstText.isEmpty && !dialect.takes(.firstText)
    case .lastText: !options.lastText.isEmpty && !dialect.takes(.lastText)
    case .messageLength: options.messageMillisecondsGiven.map { !dialect.messageRange.contains($0) } ?? false
    case .stereo: options.direction.channelCount > dialect.channelsMax
    }
  }

  /// What is wrong, for a warning.
  package func reason(_ options: ForkOptions, _ dialect: DialectTraits) -> Bytes {
    var reason = Bytes()
    switch self {
    case .plainURL: reason.append("option T asks for TLS, but the URL begins with ws://")
    case .subprotocol:
      reason.append("subprotocol cannot be chosen with dialect ")
      reason.append(dialect.name)
      reason.append(", which is the sub-protocol ")
      reason.append(dialect.subprotocol ?? dialect.name)
    case .confirmation:
      reason.append("acknowledge = persisted needs dialect = ")
      if let other = DialectTraits.all.first(where: { $0.takes(.acknowledge) }) { reason.append(other.name) }
      reason.append(": with ")
      reason.append(dialect.name)
      reason.append(" a server cannot say it")
    case .format:
      reason.append("dialect ")
      reason.append(dialect.name)
      reason.append(" does not take format ")
      reason.append(options.format.name)
    case .keyPair:
      reason.append("cert_file and key_file belong together: a certificate is of use only with its key")
    case .firstText, .lastText:
      reason.append(self == .firstText ? "first_text" : "last_text")
      reason.append(" cannot be given with dialect ")
      reason.append(dialect.name)
      reason.append(", which says itself how a stream begins and ends")
    case .messageLength:
      reason.append("dialect ")
      reason.append(dialect.name)
      reason.append(" takes messages of ")
      reason.append(decimal: dialect.messageRange.lowerBound)
      reason.append(" to ")
      reason.append(decimal: dialect.messageRange.upperBound)
      reason.append(" ms, not of ")
      reason.append(decimal: options.messageMilliseconds)
    case .stereo:
      reason.append("dialect ")
      reason.append(dialect.name)
      reason.append(" has one channel, not the two of D(stereo)")
    }
    return reason
  }

  /// Returns the error for the log: what is wrong and what to do.
  fileprivate func error(_ options: ForkOptions) -> OptionError {
    var message = reason(options, options.dialectTraits)
    switch self {
    case .plainURL:
      message.append("; write wss:// or leave T out (given: '")
      if let endpoint = options.endpoints.first(where: { !$0.isSecure }) { message.append(shown: endpoint.shown) }
      message.append("')")
    case .subprotocol, .firstText, .lastText: message.append("; leave it out")
    case .format:
      message.append("; it takes ")
      for (index, format) in options.dialectTraits.formats.enumerated() {
        if index > 0 { message.append(", ") }
        message.append(format.name)
      }
    case .stereo: message.append("; use two forks, one with D(in) and one with D(out)")
    case .confirmation, .keyPair, .messageLength: break
    }
    return OptionError(message: message)
  }

  /// The kinds of evaluated texts that are left out if the rule is broken, the first choice first.
  package var yielding: [SettingKind] {
    switch self {
    case .plainURL: [.url, .tls]
    case .subprotocol: [.subprotocol, .dialect]
    case .confirmation: [.acknowledge, .dialect]
    case .format: [.format, .dialect]
    case .keyPair: [.keyFile, .certificateFile]
    case .firstText: [.firstText, .dialect]
    case .lastText: [.lastText, .dialect]
    case .messageLength: [.message, .dialect]
    case .stereo: [.direction, .dialect]
    }
  }

  /// If one of the `needed` texts was evaluated and has no fitting value, the `dependent` ones are left out, although
  /// they are written. Nil for option T: no value of a channel may turn TLS off.
  package var needs: (needed: [SettingKind], dependent: [SettingKind])? {
    switch self {
    case .plainURL, .subprotocol, .format, .messageLength, .stereo: nil
    case .confirmation: ([.dialect], [.acknowledge])
    case .firstText: ([.dialect], [.firstText])
    case .lastText: ([.dialect], [.lastText])
    case .keyPair: ([.keyFile, .certificateFile], [.keyFile, .certificateFile])
    }
  }
}

extension ForkOptions {
  /// The first rule that the options break; nil if they break none.
  package var brokenRule: OptionRule? {
    let dialect = dialectTraits
    return OptionRule.allCases.first { $0.isBroken(by: self, dialect) }
  }

  /// Throws if the options break a rule. Call it when all texts have been applied.
  package func check() throws(OptionError) {
    if let brokenRule { throw error(for: brokenRule) }
  }

  /// Returns the error for a rule that the options break.
  func error(for rule: OptionRule) -> OptionError { rule.error(self) }

  /// Returns why the options break a rule, for a warning.
  func reason(for rule: OptionRule) -> Bytes { rule.reason(self, dialectTraits) }
}
