// SPDX-License-Identifier: MIT
package import AudioForkBytes

/// What an expression asks the channel for.
package struct ChannelCall: Sendable, Equatable {
  /// As it was written.
  package let source: Bytes
  /// Empty where the expression is malformed.
  package let name: Bytes
  /// Evaluated, for a function; nil for a variable.
  package let arguments: Bytes?

  package init(source: Bytes, name: Bytes, arguments: Bytes?) {
    self.source = source
    self.name = name
    self.arguments = arguments
  }
}

extension ChannelCall {
  /// Functions that read the call, or change a text, and do nothing else. A caller's text may name a function, so that
  /// every other one is refused, whatever `live_dangerously` in asterisk.conf says.
  private static let harmless: [StaticString] = [
    "ABS", "BASE64_DECODE", "BASE64_ENCODE", "CALLERID", "CALLERPRES", "CDR", "CHANNEL", "CONNECTEDLINE", "CSV_QUOTE",
    "EXISTS", "FILTER", "GLOBAL", "GROUP", "GROUP_COUNT", "HANGUPCAUSE", "HASH", "IF", "ISNULL", "LEN", "LOCAL",
    "LTRIM", "MATH", "MAX", "MD5", "MIN", "PASSTHRU", "PJSIP_HEADER", "PJSIP_PARSE_URI", "QUOTE", "RAND",
    "REDIRECTING", "REGEX", "RTRIM", "SHA1", "SIP_HEADER", "SPRINTF", "STACK_PEEK", "STRFTIME", "STRPTIME", "TOLOWER",
    "TOUPPER", "TRIM", "URIDECODE", "URIENCODE",
  ]

  /// Functions that take the name of a variable and substitute `${name}`: a function could stand there, or hide behind
  /// a character that Asterisk takes out.
  private static let byVariableName: [StaticString] = [
    "CUT", "FIELDNUM", "FIELDQTY", "JSON_DECODE", "LISTFILTER", "REPLACE", "STRBETWEEN", "STRREPLACE",
  ]

  /// Functions that reach beyond the call. `functions` in audiofork.conf cannot allow them; each word stands for all
  /// names that begin with it.
  private static let refusedPrefixes: [StaticString] = [
    "SHELL", "FILE", "DB", "REALTIME", "CURL", "EVAL", "ODBC", "ENV", "AST_CONFIG", "AST_SORCERY", "STAT", "LOCK",
    "TRYLOCK", "UNLOCK", "HOOK", "PERIODIC_HOOK", "IMPORT", "MASTER_CHANNEL", "SET", "SHARED", "EXPORT", "VM_INFO",
    "MINIVM",
  ]

  /// Longest arguments, bytes: Asterisk copies them to its stack.
  private static let argumentsMax = 8192

  /// Whether the channel may be asked. `more`: functions that the administrator has allowed besides.
  package func isAllowed(_ more: [Bytes] = []) -> Bool {
    guard !name.isEmpty else { return false }
    guard let arguments else { return true }
    guard arguments.count <= ChannelCall.argumentsMax else { return false }
    if ChannelCall.byVariableName.contains(where: { equal(name, ignoringCase: $0) }) {
      return !arguments.contains { ChannelCall.isSyntax($0) }
    }
    if ChannelCall.harmless.contains(where: { equal(name, ignoringCase: $0) }) { return true }
    return ChannelCall.mayBeAllowed(name) && more.contains { lowercased($0) == lowercased(name) }
      && !arguments.contains { ChannelCall.isSyntax($0) }
  }

  /// Whether an administrator may allow the function.
  package static func mayBeAllowed(_ name: Bytes) -> Bool {
    !name.isEmpty && name.count <= 80 && RequestField.isToken(name)
      && !refusedPrefixes.contains { hasPrefix(name, ignoringCase: $0) }
  }

  /// What Asterisk's parser of arguments or its substitution would look at.
  private static func isSyntax(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "("), UInt8(ascii: ")"), UInt8(ascii: "\\"), UInt8(ascii: "\""), UInt8(ascii: "$"),
      UInt8(ascii: "{"),
      UInt8(ascii: "}"), UInt8(ascii: "["), UInt8(ascii: "]"):
      true
    default: byte.isControl
    }
  }
}
