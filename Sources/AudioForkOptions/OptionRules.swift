// SPDX-License-Identifier: MIT

/// A rule that options can only break together, while each of them is valid.
package enum OptionRule: Sendable, Equatable, CaseIterable {
  /// Option T needs wss:// URLs.
  case plainURL
  /// A dialect that is a sub-protocol takes no others.
  case subprotocol
  /// `acknowledge = persisted` needs a dialect that can express it.
  case confirmation
  /// A certificate needs its key, and a key its certificate.
  case keyPair

  /// Returns whether the options break the rule.
  fileprivate func isBroken(by options: ForkOptions) -> Bool {
    switch self {
    case .plainURL: options.tls != .none && options.endpoints.contains { !$0.isSecure }
    case .subprotocol: options.dialect == .audiofork && options.subprotocols != nil
    case .confirmation: options.wantsPersisted && options.dialect != .audiofork
    case .keyPair: options.certificateFile.isEmpty != options.keyFile.isEmpty
    }
  }

  /// What is wrong, for a warning.
  package var reason: Bytes {
    switch self {
    case .plainURL: Bytes(text: "option T asks for TLS, but the URL begins with ws://")
    case .subprotocol:
      Bytes(text: "subprotocol cannot be chosen with dialect audiofork, which is the sub-protocol audiofork.v1")
    case .confirmation:
      Bytes(text: "acknowledge = persisted needs dialect = audiofork: with raw a server cannot say it")
    case .keyPair:
      Bytes(text: "cert_file and key_file belong together: a certificate is of use only with its key")
    }
  }

  /// Returns the error for the log: what is wrong and what to do.
  package func error(_ options: ForkOptions) -> OptionError {
    var message = reason
    switch self {
    case .plainURL:
      message.append("; write wss:// or leave T out (given: '")
      if let endpoint = options.endpoints.first(where: { !$0.isSecure }) { message.append(shown: endpoint.shown) }
      message.append("')")
    case .subprotocol: message.append("; leave it out")
    case .confirmation, .keyPair: break
    }
    return OptionError(message: message)
  }

  /// The kinds of evaluated texts that are left out if the rule is broken, the first choice first.
  package var yielding: [SettingKind] {
    switch self {
    case .plainURL: [.url, .tls]
    case .subprotocol: [.subprotocol, .dialect]
    case .confirmation: [.acknowledge, .dialect]
    case .keyPair: [.keyFile, .certificateFile]
    }
  }

  /// If one of the `needed` texts was evaluated and has no fitting value, the `dependent` ones are left out, although they
  /// are written. Nil for option T: no value of a channel may turn TLS off.
  package var needs: (needed: [SettingKind], dependent: [SettingKind])? {
    switch self {
    case .plainURL, .subprotocol: nil
    case .confirmation: ([.dialect], [.acknowledge])
    case .keyPair: ([.keyFile, .certificateFile], [.keyFile, .certificateFile])
    }
  }
}

extension ForkOptions {
  /// The first rule that the options break; nil if they break none.
  package var brokenRule: OptionRule? { OptionRule.allCases.first { $0.isBroken(by: self) } }

  /// Throws if the options break a rule. Call it when all texts have been applied.
  package func check() throws(OptionError) {
    if let brokenRule { throw brokenRule.error(self) }
  }
}
