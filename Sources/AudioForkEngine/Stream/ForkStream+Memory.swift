// SPDX-License-Identifier: Apache-2.0

/// What the cursor keeps for the next engine besides the position.
extension ForkStream {
  /// Number of dropped texts of the server. The cursor saves it.
  package var textsDropped: UInt64 {
    get { deliveryLog.totals.textsDropped }
    set { deliveryLog.totals.textsDropped = newValue }
  }

  /// Whether this endpoint has ever answered a ping of the fork, over all engines.
  package func isKnownToPong(_ endpoint: Int) -> Bool { deliveryLog.ponged.contains(endpoint) }

  /// Endpoints that have accepted the fork, over all engines; nil: unknown.
  package var accepted: EndpointSet? { deliveryLog.accepted }

  /// Saves that this endpoint has accepted the fork.
  package func rememberAcceptance(by endpoint: Int) {
    var accepted = deliveryLog.accepted ?? EndpointSet()
    guard accepted.insert(endpoint) else { return }
    deliveryLog.accepted = accepted
    save()
  }

  /// The outage in which the fork is, or was when the last engine left it. A change is saved.
  package var outage: SavedOutage? {
    get { deliveryLog.outage }
    set {
      guard newValue != deliveryLog.outage else { return }
      deliveryLog.outage = newValue
      save()
    }
  }

  /// Saves that this endpoint has answered a ping.
  package func rememberPong(of endpoint: Int) {
    if deliveryLog.ponged.insert(endpoint) { save() }
  }

  /// Saves that this endpoint does not answer pings any more.
  package func forgetPong(of endpoint: Int) {
    if deliveryLog.ponged.remove(endpoint) { save() }
  }

  /// For each endpoint: connections in a row that ended because it did not answer, over all engines. A change is saved.
  /// Shorter than the list of endpoints where the rest is 0.
  package var silences: [UInt8] {
    get { deliveryLog.silences }
    set {
      let counts = Array(newValue.prefix(1 + (newValue.lastIndex { $0 > 0 } ?? -1)))
      guard counts != deliveryLog.silences else { return }
      deliveryLog.silences = counts
      save()
    }
  }
}
