// SPDX-License-Identifier: GPL-2.0-or-later
import CAsterisk

#if canImport(AudioForkOptions)
import AudioForkOptions
#endif
#if canImport(AudioForkTap)
import AudioForkTap
#endif

/// Directions to mute, in the words of AMI and the CLI.
struct MuteDirections {
  /// Bit 0: in, bit 1: out.
  let mask: UInt64

  /// `read` is what the party says, `write` what it hears; case is ignored. Nil for another word.
  init?(_ word: Bytes) {
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
/// samples are captured as zeros. The channel must not be locked. Returns the ids of the forks.
func muteForks(_ channel: OpaquePointer, id: Bytes?, _ directions: MuteDirections, isOn: Bool) -> [Bytes] {
  let ids = forkIDs(on: channel, id: id)
  return ids.filter { id in
    withTable {
      guard let fork = forkTable.find(id) else { return false }
      let muted = af_word_load_relaxed(&fork.pointee.tap.muted)
      af_word_store_relaxed(&fork.pointee.tap.muted, isOn ? muted | directions.mask : muted & ~directions.mask)
      return true
    }
  }
}
