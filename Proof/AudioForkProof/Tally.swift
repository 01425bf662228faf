// SPDX-License-Identifier: Apache-2.0
import Synchronization

/// Where the tasks of a run leave what they find.
final class Tally: Sendable {
  private let findings = Mutex(Findings())
  func note(_ body: (inout Findings) -> Void) { findings.withLock { body(&$0) } }
  func wrong(_ text: String) { findings.withLock { $0.violations.append(text) } }
  var now: Findings { findings.withLock { $0 } }
}
