// SPDX-License-Identifier: Apache-2.0
package import AudioForkLink
internal import CAudioForkABI

/// What a fresh engine needs to know about a fork: the fields in its ring's header. Fields that are missing are
/// empty, numbers that are missing or out of range have the default.
package struct RingFacts: Sendable, Equatable {
  /// The fork's id; the names of its files begin with it.
  package var id = ""
  /// What the fork's options are made from. Holds secrets: not for logs.
  package var settings = SettingFields()
  /// The channel's name when the fork began.
  package var channel = ""
  package var uniqueID = ""
  package var linkedID = ""
  /// Rate of the channel's native format when the fork began.
  package var rateHertz = RingFacts.rateHertzDefault
  /// Seconds allowed for delivery after the end of capture.
  package var drainSeconds = RingFacts.drainSecondsDefault

  /// Milliseconds that a direction waits for the other, as the module decided when the fork began; nil: the ring's
  /// module was of a release that did not say.
  package var alignMilliseconds: Int?

  package static let rateHertzDefault = 8000
  package static let drainSecondsDefault = 10
  /// A longer drain is a broken number: nobody waits a day for the rest of a call.
  package static let drainSecondsMax = 86_400
  /// What engines did before rings said it.
  package static let alignMillisecondsDefault = 160
  /// A longer wait is a broken number.
  package static let alignMillisecondsMax = 60_000

  package init() {}

  /// Takes the facts out of their fields.
  package init(_ fields: FieldReader) {
    id = fields.text(.id) ?? ""
    settings = SettingFields(fields)
    channel = fields.text(.channel) ?? ""
    uniqueID = fields.text(.uniqueID) ?? ""
    linkedID = fields.text(.linkedID) ?? ""
    if let rate = fields.number(.rate), rate >= UInt64(AF_RATE_HZ_MIN), rate <= UInt64(AF_RATE_HZ_MAX) {
      rateHertz = Int(rate)
    }
    if let drain = fields.number(.drain), drain <= UInt64(RingFacts.drainSecondsMax) {
      drainSeconds = Int(drain)
    }
    if let align = fields.number(.align), align <= UInt64(RingFacts.alignMillisecondsMax) {
      alignMilliseconds = Int(align)
    }
  }
}
