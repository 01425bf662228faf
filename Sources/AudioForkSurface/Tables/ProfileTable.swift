// SPDX-License-Identifier: MIT
package import AudioForkBytes

/// One key of a profile in `audiofork.conf`. The table drives parsing, messages and documentation.
package struct ProfileKey: Sendable {
  package let name: StaticString
  package let kind: SettingKind
  /// The accepted form of its value.
  package var form: Bytes {
    switch texts {
    case .literal(let form, _): Bytes(text: form)
    case .composed(let form, _): form
    }
  }
  package var help: Bytes {
    switch texts {
    case .literal(_, let help): Bytes(text: help)
    case .composed(_, let help): help
    }
  }
  /// Whether several lines add up. Of other keys the last line counts.
  package let isRepeatable: Bool
  /// Whether `[general]` takes it too, as the default of every fork.
  package let isGeneral: Bool
  private let texts: Texts

  /// Literals take no memory of the module's, which a load that has ended does not give back.
  private enum Texts: Sendable {
    case literal(form: StaticString, help: StaticString)
    case composed(form: Bytes, help: Bytes)
  }

  private init(name: StaticString, kind: SettingKind, form: Bytes, help: Bytes, isGeneral: Bool = false) {
    self.name = name
    self.kind = kind
    texts = .composed(form: form, help: help)
    isRepeatable = false
    self.isGeneral = isGeneral
  }

  private init(
    name: StaticString, kind: SettingKind, form: StaticString, help: StaticString, isRepeatable: Bool = false,
    isGeneral: Bool = false
  ) {
    self.name = name
    self.kind = kind
    texts = .literal(form: form, help: help)
    self.isRepeatable = isRepeatable
    self.isGeneral = isGeneral
  }
}

extension ProfileKey {
  /// Every key of a profile, in the order of the documentation.
  package static let all: [ProfileKey] = [
    ProfileKey(
      name: "url", kind: .url, form: "ws://host[:port][/path] or wss://host[:port][/path]",
      help:
        """
        Where the audio goes. Further lines are tried in order when one fails, and there is a wait only when all have.
        """,
      isRepeatable: true),
    ProfileKey(
      name: "header", kind: .header, form: "Name: value",
      help:
        """
        A header for the request that opens the connection. Variables and functions in it are evaluated when the fork \
        starts; control characters in their values are percent-encoded.
        """,
      isRepeatable: true),
    ProfileKey(
      name: "token_file", kind: .tokenFile, form: "an absolute path without .. and without ^{...}",
      help:
        """
        File whose first line is sent as Authorization: Bearer, read again for each attempt to connect, so that a \
        token may expire. It takes the place of any other Authorization.
        """
    ),
    ProfileKey(
      name: "header_file", kind: .headerFile, form: "an absolute path without .. and without ^{...}",
      help:
        """
        File with a header in each line, read again for each attempt to connect. A header in it takes the place of \
        one of the same name.
        """
    ),
    ProfileKey(
      name: "ca_file", kind: .caFile, form: "an absolute path",
      help: "PEM file of the certificate authorities to trust. Default: those of the system."),
    ProfileKey(
      name: "cert_file", kind: .certificateFile, form: "an absolute path",
      help:
        """
        PEM file of the certificate, and its chain, with which the fork identifies itself, where a server wants one. \
        Needs key_file.
        """
    ),
    ProfileKey(
      name: "key_file", kind: .keyFile, form: "an absolute path", help: "PEM file of the private key to cert_file."),
    ProfileKey(
      name: "verify", kind: .verify, form: "yes or no",
      help: "Whether the server's certificate and name are verified. Default: yes."),
    ProfileKey(
      name: "dialect", kind: .dialect, form: DialectTraits.settingForm,
      help: DialectTraits.settingHelp),
    ProfileKey(
      name: "format", kind: .format, form: "slin, slin12, slin16, slin24, slin32, slin44, slin48, ulaw or alaw",
      help: "Audio format on the wire, as option f. Default: slin."),
    ProfileKey(
      name: "direction", kind: .direction, form: "in, out, both or stereo",
      help: "Which audio, as option D. Default: both."),
    ProfileKey(
      name: "align", kind: .align, form: Bytes(text: "a whole number of milliseconds from 20 to 500"),
      help: DialectTraits.alignHelp, isGeneral: true),
    ProfileKey(
      name: "message", kind: .message, form: "a number of milliseconds from 20 to 1000 in steps of 20",
      help: "Length of one binary message, as option m. Default: 20."),
    ProfileKey(
      name: "first_text", kind: .firstText, form: "a text of at most 8192 bytes in UTF-8, or nothing",
      help:
        """
        With dialect raw: a text message for the server before any audio of each connection, also after a reconnect. \
        Where the line begins with { or [ it is JSON: what variables and functions in it give is escaped, so that it \
        stays inside of the string in which it stands. In any other text control characters of a value become \
        blanks. Default: none.
        """
    ),
    ProfileKey(
      name: "last_text", kind: .lastText, form: "a text of at most 8192 bytes in UTF-8, or nothing",
      help:
        """
        With dialect raw: a text message for the server behind the last audio, by which it knows that no more comes. \
        Variables and functions as in first_text; they are evaluated when the fork starts. Default: none.
        """
    ),
    ProfileKey(
      name: "linger", kind: .linger, form: "a whole number of seconds from 0 to 60",
      help:
        """
        With dialect raw: how long the server may still answer after the last audio is delivered, before the fork \
        closes the connection. Its texts count until then; its Close ends the wait. The call does not wait, the \
        fork's command does. This time comes on top of drain. Default: 0.
        """,
      isGeneral: true),
    ProfileKey(
      name: "subprotocol", kind: .subprotocol, form: "names separated by commas, or nothing",
      help:
        """
        WebSocket sub-protocols to offer; none where the value is empty. A server that wants another one refuses, \
        often with 400. Default: echo.
        """
    ),
    ProfileKey(
      name: "acknowledge", kind: .acknowledge, form: "received or persisted",
      help:
        """
        With dialect audiofork: which word of the server counts as delivery, that it has taken the audio or that it is \
        on its disk. Default: received.
        """
    ),
    ProfileKey(
      name: "ping", kind: .ping, form: "yes or no",
      help:
        """
        Whether the server is pinged; its pongs confirm delivery. With audio on its way about once a second; up to \
        four times a second for 30 seconds after a break, and with a buffer of less than 10 seconds; every 20 seconds \
        without audio, so that proxies leave an idle connection alone. With no, or where it answers none, its kernel's \
        acknowledgement has to do. Default: yes.
        """,
      isGeneral: true),
    ProfileKey(
      name: "replay", kind: .replay, form: "unacked or none",
      help:
        """
        With dialect raw: what a server is sent again after a break. unacked: what it has not confirmed, so that \
        nothing is missing and up to two seconds may come twice. none: nothing, so that nothing comes twice; what it \
        has not confirmed is reported as a gap, although it may have arrived. After a crash of the engine it is \
        unacked all the same. Default: unacked.
        """,
      isGeneral: true),
    ProfileKey(
      name: "catch_up", kind: .catchUp, form: "a number from 1 to 100 with at most two decimals, or nothing",
      help:
        """
        How many times as fast as real time audio is sent that had to wait, after an outage or out of the spool, for \
        servers that refuse audio faster than real time. 1: the stream stays as late as it is, and needs drain, or \
        spool_time, of as much. Default: as fast as the server takes it.
        """,
      isGeneral: true),
    ProfileKey(
      name: "digits", kind: .digits, form: "yes or no",
      help:
        """
        With dialect audiofork: whether the server is told of DTMF digits. With no the module does not even see them. \
        Default: yes.
        """,
      isGeneral: true),
    ProfileKey(
      name: "on_failure", kind: .onFailure, form: "continue or hangup",
      help:
        """
        What becomes of the call where its audio is not delivered. hangup, for recordings that the law demands: it is \
        ended when the fork cannot begin, ends while the call lives, loses audio, or can capture nothing because \
        Asterisk has no translator for the channel's codec. A server that ends the fork by its Close (on_close) is no \
        failure. Default: continue.
        """
    ),
    ProfileKey(
      name: "on_close", kind: .onClose, form: "end or reconnect",
      help:
        """
        What a Close of the server with 1000 does, or a second one without a code within 60 seconds. end: it wants no \
        more audio, and the fork ends. reconnect, for servers that limit their sessions: it is a break like any other. \
        Default: end.
        """,
      isGeneral: true),
    ProfileKey(
      name: "reconnect_attempts", kind: .reconnectAttempts, form: "a whole number from 0 to 1000000",
      help: "Attempts to reconnect in one outage, as option r. Default: no limit but outage.", isGeneral: true),
    ProfileKey(
      name: "outage", kind: .outage, form: "a whole number of seconds from 0 to 86400",
      help:
        """
        Seconds of failed attempts after which an outage ends the fork; 0: never while the call lives. With \
        reconnect_attempts or option r too, what comes first. Default: 300; 0 with spool, reconnect_attempts or \
        option r.
        """,
      isGeneral: true),
    ProfileKey(
      name: "reconnect_max_wait", kind: .reconnectMaxWait, form: "a whole number of seconds from 1 to 3600",
      help: "Longest wait between two attempts and longest attempt, as option R. Default: 5.", isGeneral: true),
    ProfileKey(
      name: "connect_timeout", kind: .connectTimeout, form: "a whole number of seconds from 1 to 3600",
      help:
        "Longest attempt to connect, from the look-up of the name to the server's answer. Default: reconnect_max_wait.",
      isGeneral: true),
    ProfileKey(
      name: "silence", kind: .silence, form: "a whole number of seconds from 1 to 3600",
      help:
        """
        Seconds that a server which answers pings may leave them without an answer, with audio on its way, before the \
        fork reconnects. A server that is busy for less loses nothing. Doubled after each such break in a row, up to \
        120, until the server keeps up for that long. Default: buffer, at least 10; 0.7 of that with further URLs; \
        30 with spool.
        """,
      isGeneral: true),
    ProfileKey(
      name: "redirects", kind: .redirects, form: "no, same-host or yes",
      help:
        """
        Whether a server's redirect (301, 302, 303, 307, 308) is followed, at most three in a row and never from wss \
        to ws. same-host: where it leads to the same host, at any port. Headers, user information and client \
        certificate go to the same origin only. Default: same-host.
        """,
      isGeneral: true),
    ProfileKey(
      name: "proxy", kind: .proxy, form: "http://[user:password@]host:port, or nothing",
      help:
        """
        HTTP proxy through which servers are reached, by CONNECT, for ws and wss. It looks the server's name up. \
        Environment variables count for nothing. Default: none.
        """,
      isGeneral: true),
    ProfileKey(
      name: "no_proxy", kind: .noProxy, form: NoProxyList.form,
      help:
        """
        Hosts that are reached without the proxy, as the URL names them: no name is looked up for it. A name is that \
        host alone, .name each host below it. Default: none.
        """,
      isGeneral: true),
    ProfileKey(
      name: "buffer", kind: .buffer, form: "a whole number of seconds from 1 to 600",
      help:
        """
        Seconds of audio kept for a server that is away or slow. Ten seconds of a call at 8 kHz take 0.7 MB. \
        Default: 10.
        """,
      isGeneral: true),
    ProfileKey(
      name: "drain", kind: .drain, form: "a whole number of seconds from 1 to 3600",
      help: "Seconds allowed for delivering the rest after the end of capture. Default: 10.", isGeneral: true),
    ProfileKey(
      name: "spool", kind: .spool, form: "an absolute path, or nothing",
      help:
        """
        Folder on a disk for what the buffer cannot keep while the server is away or slow; it belongs to Asterisk's \
        user, and nobody else may write there. With it an outage does not end the fork unless outage or \
        reconnect_attempts is given. Default: none.
        """,
      isGeneral: true),
    ProfileKey(
      name: "spool_time", kind: .spoolTime, form: "a whole number of seconds from 1 to 86400",
      help: "With spool: seconds allowed for delivering the rest after the end of capture. Default: 3600.",
      isGeneral: true),
    ProfileKey(
      name: "spool_limit", kind: .spoolLimit, form: "a whole number of megabytes from 1 to 1000000000",
      help:
        """
        What all forks' spools in the folder may take together; beyond it the fork that began to spool first loses \
        what it has there. Default: 4096.
        """,
      isGeneral: true),
    ProfileKey(
      name: "spool_sync", kind: .spoolSync, form: "yes or no",
      help:
        """
        Whether each write to the spool waits for the disk, so that it survives a crash of the machine's power. \
        Default: no.
        """,
      isGeneral: true),
  ]

  /// The key with this name, case ignored; nil for another word.
  package static func named(_ name: Bytes) -> ProfileKey? {
    all.first { equal(name, ignoringCase: $0.name) }
  }
}
