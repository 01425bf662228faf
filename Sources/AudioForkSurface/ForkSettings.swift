// SPDX-License-Identifier: MIT

/// The precedence of a fork's settings: defaults, then `[general]`, then the profile, then the options.
///
/// The capture module collects the texts in this order (`ForkSources`) and writes them into the ring; the engine reads
/// them from there. Both make the options from them here.
package enum ForkSettings {
  /// The options that the texts make, each text overriding those before it. Throws if a text is invalid. Whether the
  /// options fit together is for `ForkOptions.check()` to say.
  package static func resolve(_ texts: [ForkSource.Text]) throws(OptionError) -> ForkOptions {
    var options = ForkOptions()
    for text in texts { try options.apply(text) }
    return options
  }
}

extension ForkOptions {
  /// Applies one text over what there is.
  package mutating func apply(_ text: ForkSource.Text) throws(OptionError) {
    switch text {
    case .url(let url): try apply(url: url)
    case .setting(let key, let value): try apply(key, value)
    case .options(let written): try apply(options: written)
    // False for an option of a later release, which is skipped.
    case .option(let option): _ = apply(evaluated: option)
    }
  }
}
