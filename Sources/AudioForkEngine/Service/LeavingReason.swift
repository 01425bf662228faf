// SPDX-License-Identifier: Apache-2.0

/// Why an engine leaves by itself: the next one could do what this one cannot.
package struct LeavingReason: Sendable {
  /// An engine without what all forks need serves for so long at most.
  private static let vitalAgeMax = Duration.seconds(30)

  /// For the log.
  package let text: String
  /// Without it forks cannot begin or be read: the look-up of names, or the run directory.
  private let isVital: Bool

  package init(_ text: String, isVital: Bool) {
    self.text = text
    self.isVital = isVital
  }

  /// How old the engine has to be before it leaves. `usual`: for reasons that concern a file or folder of some forks.
  package func age(usual: Duration) -> Duration { isVital ? min(usual, LeavingReason.vitalAgeMax) : usual }
}
