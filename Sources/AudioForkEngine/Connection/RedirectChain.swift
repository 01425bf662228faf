// SPDX-License-Identifier: Apache-2.0
package import AudioForkSurface

/// The URLs of one attempt: the fork's own, and those that redirects lead to. Decides which redirects are followed.
///
/// It begins anew with each attempt: a server that moved for good (301) is asked again each time. No I/O.
package struct RedirectChain: Sendable {
  /// Redirects that are followed in a row.
  package static let followedMax = 3

  package enum Decision: Equatable, Sendable {
    /// Connect to `url` now.
    case follow
    /// The redirect is a refusal. The reason is the end of a sentence.
    case refuse(String)
  }

  private let policy: RedirectPolicy
  /// The URL to connect to.
  package private(set) var url: EndpointURL
  /// Redirects that were followed.
  package private(set) var count = 0
  /// Whether the URL may get what is secret: headers, user information, the client certificate. False once a redirect
  /// has left the fork's own origin, even if a later one leads back: another server has chosen that path.
  package private(set) var isTrusted = true

  /// `url`: the fork's own.
  package init(_ url: EndpointURL, _ policy: RedirectPolicy) {
    self.url = url
    self.policy = policy
  }

  /// The server answers for `url` with a redirect. `allows`: whether forks may go to a URL.
  package mutating func follow(_ location: String, allows: (EndpointURL) -> Bool) -> Decision {
    guard policy != .no else { return .refuse("redirects = no") }
    guard count < RedirectChain.followedMax else {
      return .refuse("it is the \(RedirectChain.followedMax + 1)th redirect in a row")
    }
    let next: EndpointURL
    do throws(LocationReference.Failure) {
      next = try LocationReference.resolve(location, against: url)
    } catch {
      return .refuse(error.reason)
    }
    if url.isSecure, !next.isSecure { return .refuse("it leads from wss:// to ws://, where others can listen") }
    if policy == .sameHost, !next.isSameHost(as: url) {
      return .refuse("it leads to another host; redirects = yes in a profile would follow it")
    }
    guard allows(next) else { return .refuse("no line allow in [general] of audiofork.conf permits it") }
    let isUpgrade = !url.isSecure && next.isSecure && next.isSameHost(as: url)
    isTrusted = isTrusted && (isUpgrade || next.isSameOrigin(as: url))
    url = next
    count += 1
    return .follow
  }
}
