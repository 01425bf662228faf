// SPDX-License-Identifier: GPL-2.0-or-later
import AudioForkBytes
import AudioForkSurface
import CAsterisk

/// The formats of a channel's audio as it comes and goes, before Asterisk translates it.
struct RawFormats {
  /// The current format of one direction, and the formats that may replace it with the next frame (nil: none).
  private struct Direction {
    let now: UnsafeMutableRawPointer?
    let next: UnsafeMutableRawPointer?
    /// The format that messages name: the negotiated one, even before its first frame.
    private let named: UnsafeMutableRawPointer?

    init(_ channel: OpaquePointer, _ direction: af_direction) {
      now = af_raw_format(channel, UInt32(direction.rawValue))
      next = af_next_formats(channel, now)
      named = af_negotiated_format(channel, now)
    }

    func release() {
      af_format_release(now)
      af_format_release(next)
      af_format_release(named)
    }

    /// A format that may change counts as one that can be translated if another one of its channel's can.
    var translates: Bool { af_format_translates(now) != 0 || (next != nil && af_formats_translate(next) != 0) }

    var problem: Bytes { (named ?? now).map { RawFormats.problem($0) } ?? [] }
  }

  private let into: Direction
  private let out: Direction

  /// The channel is locked. `release` follows.
  init(of channel: OpaquePointer) {
    into = Direction(channel, AF_DIRECTION_IN)
    out = Direction(channel, AF_DIRECTION_OUT)
  }

  func release() {
    into.release()
    out.release()
  }

  /// The directions that Asterisk cannot translate to signed linear: bit 0 in, bit 1 out. No channel may be locked.
  var untranslated: UInt8 { (into.translates ? 0 : 1) | (out.translates ? 0 : 2) }

  /// Which translators these directions lack, and what to load for them.
  func problem(of directions: UInt8) -> Bytes {
    let first = directions & 1 != 0 ? into.problem : []
    let second = directions & 2 != 0 ? out.problem : []
    if first.isEmpty || first == second { return second.isEmpty ? first : second }
    return second.isEmpty ? first : text(.bytes(first), "; ", .bytes(second))
  }

  private static func problem(_ format: UnsafeMutableRawPointer) -> Bytes {
    let name = bytes(af_format_name(format))
    return text(
      "no translator from ", .bytes(name), " to ", .bytes(bytes(af_format_linear_name(format))), ": load ",
      .literal(codecModules.first { equal(name, ignoringCase: $0.codec) }?.module ?? "a codec module for it"))
  }
}

/// The module that translates a codec, where it is known. Asterisk itself has none for some of them.
private let codecModules: [(codec: StaticString, module: StaticString)] = [
  ("g729", "codec_g729.so"), ("g723", "codec_g723.so"), ("opus", "codec_opus.so or codec_opus_open_source.so"),
  ("ilbc", "codec_ilbc.so"), ("silk8", "codec_silk.so"), ("silk12", "codec_silk.so"), ("silk16", "codec_silk.so"),
  ("silk24", "codec_silk.so"), ("siren7", "codec_siren7.so"), ("siren14", "codec_siren14.so"),
  ("speex", "codec_speex.so"), ("speex16", "codec_speex.so"), ("speex32", "codec_speex.so"), ("amr", "codec_amr.so"),
  ("amrwb", "codec_amr.so"), ("codec2", "codec_codec2.so"), ("gsm", "codec_gsm.so"), ("g722", "codec_g722.so"),
  ("g726", "codec_g726.so"), ("g726aal2", "codec_g726.so"), ("adpcm", "codec_adpcm.so"), ("lpc10", "codec_lpc10.so"),
  ("ulaw", "codec_ulaw.so"), ("alaw", "codec_alaw.so"),
]
