// SPDX-License-Identifier: MIT

/// What a setting's value is, in an option or in a profile. Each kind is parsed in one place,
/// `ForkOptions.set(_:to:)`.
package enum SettingKind: Sendable {
  case url, header, headers, parameters
  case direction, format, dialect, subprotocol, align
  case gainIn, gainOut, gainBoth
  case beepInterval
  case idVariable, textVariable
  case tls, verify, caFile, certificateFile, keyFile
  case tokenFile, headerFile, redirects, proxy, noProxy
  case reconnectMaxWait, reconnectAttempts, outage, connectTimeout, silence, onClose
  case buffer, drain
  case ping, acknowledge, replay, digits, onFailure
  case message, catchUp, firstText, lastText, linger
  case spool, spoolTime, spoolLimit, spoolSync

  /// Whether the value may be a secret, so that messages don't show it.
  package var isSecret: Bool {
    switch self {
    case .header, .headers, .parameters, .proxy, .firstText, .lastText: true
    default: false
    }
  }

  /// Whether a caller's words may be in the value: `^{…}` is accepted. False where they could choose which of
  /// Asterisk's files is sent to a server, or who carries the audio there.
  package var takesExpressions: Bool {
    switch self {
    case .tokenFile, .headerFile, .proxy, .noProxy, .redirects: false
    default: true
    }
  }

  /// What the engine opens where the value is a path; nil for other values.
  package var pathUse: PathUse? {
    switch self {
    case .caFile, .certificateFile, .keyFile, .tokenFile, .headerFile: .file
    case .spool: .folder
    default: nil
    }
  }
}

/// What the engine does with a path that a setting names.
package enum PathUse: Sendable {
  /// It reads the file.
  case file
  /// It keeps files in the folder.
  case folder
}
