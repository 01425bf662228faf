// SPDX-License-Identifier: Apache-2.0
internal import AudioForkDialects

/// Arrays that the forks of one event loop use one after the other: what is used again at once is still in the
/// processor's cache. Not Sendable.
package final class RenderScratch {
  /// Samples of the entry that was read last.
  var entry: [Int16] = []
  /// Samples of the block that was rendered last.
  var samples: [Int16] = []
  /// What a dialect made last.
  var output = DialectOutput()

  package init() {}
}
