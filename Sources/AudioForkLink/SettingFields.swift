// SPDX-License-Identifier: MIT
package import AudioForkBytes
package import AudioForkSurface

/// The texts of a fork's settings as the facts of its ring carry them. They may hold secrets.
package struct SettingFields: Sendable, Equatable {
  /// As given, in failover order, user information included.
  package var urls: [Bytes] = []
  /// "key=value", variables evaluated: of `[general]`, then of the profile.
  package var lines: [Bytes] = []
  /// The option string, if nothing in it was evaluated.
  package var options = Bytes()
  /// Otherwise a letter and its evaluated argument each.
  package var evaluatedOptions: [Bytes] = []

  /// Of a fork without any.
  package init() {}

  /// What the capture module has collected.
  package init(_ texts: [ForkSource.Text]) {
    for text in texts {
      switch text {
      case .url(let url): urls.append(url)
      case .setting(let key, let value): lines.append(Bytes(text: key.name) + Bytes(text: "=") + value)
      case .options(let written): options = written
      case .option(let option): evaluatedOptions.append([option.letter] + option.argument)
      }
    }
  }

  package init(_ fields: FieldReader) {
    urls = fields.all(.url)
    lines = fields.all(.setting)
    options = fields.bytes(.options) ?? []
    evaluatedOptions = fields.all(.option)
  }

  package func write(to fields: inout FieldWriter) {
    for url in urls { fields.append(.url, url) }
    for line in lines { fields.append(.setting, line) }
    fields.append(.options, options)
    for option in evaluatedOptions { fields.append(.option, option) }
  }

  /// The texts in their precedence, for `ForkSettings.resolve`. Keys of a later release are left out.
  package var texts: [ForkSource.Text] {
    var texts = urls.map { ForkSource.Text.url($0) }
    for line in lines {
      guard let sign = firstIndex(of: UInt8(ascii: "="), in: line),
        let key = ProfileKey.named(slice(line, 0, sign))
      else { continue }
      texts.append(.setting(key, slice(line, sign &+ 1, line.count)))
    }
    texts.append(.options(options))
    for option in evaluatedOptions {
      guard let letter = option.first else { continue }
      texts.append(.option(EvaluatedOption(letter: letter, argument: slice(option, 1, option.count))))
    }
    return texts
  }
}
