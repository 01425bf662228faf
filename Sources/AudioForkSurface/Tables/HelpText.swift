// SPDX-License-Identifier: MIT
package import AudioForkBytes

// The tables as plain text: what the module registers where Asterisk has not loaded the XML.

extension [UInt8] {
  /// Appends a paragraph in lines of at most `width` characters, each indented, the first one by `firstIndent`, and
  /// ends with a line feed.
  package mutating func append(wrapped paragraph: Bytes, indent: Int = 0, firstIndent: Int? = nil, width: Int = 79) {
    var column = 0
    var isFirst = true
    for word in parts(of: paragraph, separatedBy: UInt8(ascii: " ")) {
      if !isFirst, column &+ 1 &+ word.count > width {
        append(UInt8.newline)
        column = 0
      }
      if column == 0 {
        let blanks = isFirst ? firstIndent ?? indent : indent
        for _ in 0..<Swift.max(0, blanks) { append(UInt8(ascii: " ")) }
        column = blanks
      } else {
        append(UInt8(ascii: " "))
        column &+= 1
      }
      self += word
      column &+= word.count
      isFirst = false
    }
    append(UInt8.newline)
  }

  fileprivate mutating func append(entry name: StaticString, _ help: StaticString) {
    append(entry: Bytes(text: name), Bytes(text: help))
  }

  fileprivate mutating func append(entry name: Bytes, _ help: Bytes) {
    append(wrapped: name + Bytes(text: ": ") + help, indent: 6, firstIndent: 2)
  }

  fileprivate mutating func append(paragraphs: [StaticString]) {
    for paragraph in paragraphs {
      append(wrapped: Bytes(text: paragraph))
      append(UInt8.newline)
    }
  }

  fileprivate mutating func append(heading: StaticString, _ entries: [ParameterDefinition]) {
    guard !entries.isEmpty else { return }
    append(heading)
    append("\n")
    for entry in entries { append(entry: entry.name, entry.help) }
    append(UInt8.newline)
  }

  fileprivate mutating func append(examples: [ExampleDefinition]) {
    for example in examples {
      append("Example: ")
      append(example.title)
      append("\n")
      append(indented: example.lines)
    }
  }

  fileprivate mutating func append(indented lines: StaticString) {
    for line in parts(of: Bytes(text: lines), separatedBy: UInt8.newline) {
      append("  ")
      self += line
      append(UInt8.newline)
    }
  }
}

/// `name(first[,second])`.
private func callSyntax(_ name: StaticString, _ parameters: [ParameterDefinition]) -> Bytes {
  var text = Bytes(text: name)
  text.append("(")
  var open = 0
  for (index, parameter) in parameters.enumerated() {
    if !parameter.isRequired {
      text.append("[")
      open &+= 1
    }
    if index > 0 { text.append(",") }
    text.append(parameter.name)
  }
  for _ in 0..<open { text.append("]") }
  text.append(")")
  return text
}

extension ApplicationDefinition {
  package var syntax: Bytes { callSyntax(name, parameters) }

  /// The whole description, options and examples included.
  package var plainText: Bytes {
    var text = syntax
    text.append("\n\n")
    text.append(paragraphs: description)
    text.append(heading: "Arguments:", parameters)
    if takesOptions {
      text.append("Options:\n")
      for option in OptionDefinition.all { text.append(entry: option.form, option.help) }
      text.append(UInt8.newline)
    }
    text.append(heading: "Variables that it sets:", variables)
    text.append(examples: examples)
    return text
  }
}

extension FunctionDefinition {
  package static var syntax: Bytes { callSyntax(name, parameters) }

  /// The whole description, keys and examples included.
  package static var plainText: Bytes {
    var text = Bytes()
    text.append(paragraphs: description)
    text.append("Keys:\n")
    for key in FunctionKey.all { text.append(entry: key.name, key.help) }
    text.append(UInt8.newline)
    text.append(examples: examples)
    return text
  }
}

extension ActionDefinition {
  /// The whole description, parameters and an example included.
  package var plainText: Bytes {
    var text = Bytes()
    text.append(paragraphs: description)
    text.append("Headers (* is required):\n")
    for parameter in [ActionDefinition.actionID] + parameters {
      var line = Bytes(text: parameter.isRequired ? "*" : "")
      line.append(parameter.name)
      line.append(": ")
      line.append(parameter.help)
      text.append(wrapped: line, indent: 6, firstIndent: parameter.isRequired ? 1 : 2)
    }
    text.append("\nExample:\n")
    text.append(indented: example)
    return text
  }
}
