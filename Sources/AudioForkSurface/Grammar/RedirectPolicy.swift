// SPDX-License-Identifier: MIT

/// Which redirects a fork follows (`redirects`).
package enum RedirectPolicy: Sendable, Equatable, CaseIterable {
  case no
  /// Those to the same host, at any port, and from ws to wss.
  case sameHost
  case yes

  /// The word in `audiofork.conf`.
  package var word: StaticString {
    switch self {
    case .no: "no"
    case .sameHost: "same-host"
    case .yes: "yes"
    }
  }
}
