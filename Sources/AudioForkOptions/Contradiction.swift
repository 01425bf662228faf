// SPDX-License-Identifier: MIT

/// A rule that options break together, each of them good by itself.
package enum Contradiction: Sendable, Equatable, CaseIterable {
  /// Option T, and a URL without TLS.
  case plainURL
  /// Sub-protocols, and a dialect that is one.
  case subprotocol
  /// A confirmation that the dialect cannot express.
  case confirmation
  /// A certificate without a key, or a key without a certificate.
  case keyPair

  /// Whether the options break the rule.
  fileprivate func isBroken(by options: ForkOptions) -> Bool {
    switch self {
    case .plainURL: options.tls != .none && options.endpoints.contains { !$0.isSecure }
    case .subprotocol: options.dialect == .audiofork && options.subprotocols != nil
    case .confirmation: options.wantsPersisted && options.dialect != .audiofork
    case .keyPair: options.certificateFile.isEmpty != options.keyFile.isEmpty
    }
  }

  /// What is wrong.
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

  /// The refusal: what is wrong and what to do.
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

  /// The kinds of text that are left out if they were evaluated, the first choice first.
  package var yielding: [SettingKind] {
    switch self {
    case .plainURL: [.url, .tls]
    case .subprotocol: [.subprotocol, .dialect]
    case .confirmation: [.acknowledge, .dialect]
    case .keyPair: [.keyFile, .certificateFile]
    }
  }

  /// What was to be evaluated and has no fitting value, and what is of no use without it, which is then left out
  /// although it was written. Nil for TLS: no value of a channel may turn it off.
  package var needs: (needed: [SettingKind], dependent: [SettingKind])? {
    switch self {
    case .plainURL, .subprotocol: nil
    case .confirmation: ([.dialect], [.acknowledge])
    case .keyPair: ([.keyFile, .certificateFile], [.keyFile, .certificateFile])
    }
  }
}

extension ForkOptions {
  /// The first rule that the options break; nil if they fit together.
  package var contradiction: Contradiction? { Contradiction.allCases.first { $0.isBroken(by: self) } }

  /// What only shows when all is known. Throws where the parts don't fit together.
  package func check() throws(OptionError) {
    if let contradiction { throw contradiction.error(self) }
  }
}
