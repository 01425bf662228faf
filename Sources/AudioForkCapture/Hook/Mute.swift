// SPDX-License-Identifier: GPL-2.0-or-later
import AudioForkBytes
import AudioForkSurface
import AudioForkTap
import CAsterisk

/// Directions to mute, in the words of AMI and the CLI.
package struct MuteDirections {
  /// Bit 0: in, bit 1: out.
  let mask: UInt64

  /// The word, for events.
  var word: StaticString { mask == 1 ? "read" : mask == 2 ? "write" : "both" }

  /// `read` is what the party says, `write` what it hears; case is ignored. Nil for another word.
  package init?(_ word: Bytes) {
    if equal(word, ignoringCase: "read") {
      mask = 1
    } else if equal(word, ignoringCase: "write") {
      mask = 2
    } else if equal(word, ignoringCase: "both") {
      mask = 3
    } else {
      return nil
    }
  }
}

/// Mutes directions of the channel's forks, or lets them be heard again: of the one with this id, or of all. Muted
/// samples are captured as zeros, muted digits not at all. The channel must not be locked. Returns the ids of the
/// forks.
package func muteForks(_ channel: OpaquePointer, id: Bytes?, _ directions: MuteDirections, isOn: Bool) -> [Bytes] {
  let ids = forkIDs(on: channel, id: id)
  let muted = ids.filter { id in
    withState { state in
      guard let fork = state.forks.find(id), fork.pointee.ended == 0 else { return false }
      muteTap(&fork.pointee.tap, directions.mask, isOn: isOn, now: af_now_ns())
      var event = ManagerEvent(.mute, ForkRow(fork, now: af_now_ns()))
      event.muteDirection = Bytes(text: directions.word)
      event.isMuted = isOn
      state.jobs.add(.raise(event))
      return true
    }
  }
  if !muted.isEmpty { Jobs.wake() }
  return muted
}
