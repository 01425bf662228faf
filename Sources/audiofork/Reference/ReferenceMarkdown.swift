// SPDX-License-Identifier: Apache-2.0
import AudioForkBytes
import AudioForkSurface

/// The tables as parts of the reference pages. A page has a part between two markers,
/// `<!-- generated: NAME -->` and `<!-- end of generated -->`, and a test compares.
package enum ReferenceMarkdown {
  private static var all: [(name: String, make: () -> String)] {
    [
      ("options", { options }), ("variables", { variables }), ("command-variables", { commandVariables }),
      ("function-keys", { keys }), ("actions", { actions }),
      ("fork-facts", { facts }), ("events", { events }), ("commands", { commands }), ("general-keys", { generalKeys }),
      ("profile-keys", { profileKeys }), ("link-counters", { linkCounters }),
    ]
  }

  /// Names of the parts.
  package static var parts: [String] { all.map { $0.name } }

  /// One part with its last line feed; nil for another name.
  package static func block(_ name: String) -> String? { all.first { $0.name == name }?.make() }

  /// The page with its generated parts as the tables have them now. Nil where a marker is wrong.
  package static func refreshed(_ page: String) -> String? {
    var lines: [Substring] = []
    var isInside = false
    for line in page.split(separator: "\n", omittingEmptySubsequences: false) {
      if line == "<!-- end of generated -->" {
        guard isInside else { return nil }
        isInside = false
      }
      if !isInside { lines.append(line) }
      guard line.hasPrefix("<!-- generated: "), line.hasSuffix(" -->") else { continue }
      guard !isInside, let block = block(String(line.dropFirst(16).dropLast(4))) else { return nil }
      isInside = true
      lines += block.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
    }
    return isInside ? nil : lines.joined(separator: "\n")
  }

  // MARK: Parts

  private static var options: String {
    table(
      ["option", "meaning"],
      OptionDefinition.all.map { option in
        let form = OptionForm(option)
        return [code(form.written), form.help]
      })
  }

  private static var variables: String {
    table(["variable", "value"], ApplicationDefinition.start.variables.map { [code("\($0.name)"), "\($0.help)"] })
  }

  private static var commandVariables: String {
    table(["variable", "value"], CommandVariable.all.map { [code("\($0.name)"), "\($0.help)"] })
  }

  private static var keys: String {
    table(["key", "value"], FunctionKey.all.map { [code("\($0.name)"), "\($0.help)"] })
  }

  private static var actions: String {
    ActionDefinition.all.map { action in
      let privileges = action.privileges.map { code("\($0.word)") }.joined(separator: " or ")
      return "### \(action.name)\n\n"
        + action.description.map { "\($0)" }.joined(separator: "\n\n")
        + "\n\nPrivilege: \(privileges).\n\n"
        + table(
          ["header", "needed", "value"],
          action.parameters.map { [code("\($0.name)"), $0.isRequired ? "yes" : "", "\($0.help)"] })
    }.joined(separator: "\n")
  }

  private static var facts: String {
    table(["header", "value"], ForkFact.all.map { [code("\($0.name)"), "\($0.help)"] })
  }

  private static var events: String {
    EventDefinition.all.map { event in
      "### \(event.name)\n\n\(event.help)\n\n"
        + table(["header", "value"], event.fields.map { [code("\($0.name)"), "\($0.help)"] })
    }.joined(separator: "\n")
  }

  private static var commands: String {
    table(
      ["command", "what it does"],
      CommandDefinition.all.map { command in
        let arguments = "\(command.arguments)"
        return [code("\(command.words)" + (arguments.isEmpty ? "" : " " + arguments)), "\(command.help)"]
      })
  }

  private static var generalKeys: String {
    table(
      ["key", "takes", "meaning"],
      GeneralKey.all.map { [code("\($0.name)"), "\($0.form)", "\($0.help)" + ($0.isRepeatable ? " Repeatable." : "")] }
        + ProfileKey.all.filter(\.isGeneral).map { [code("\($0.name)"), string($0.form), string($0.help)] })
  }

  private static var profileKeys: String {
    table(
      ["key", "takes", "meaning"],
      ProfileKey.all.map {
        [code("\($0.name)"), string($0.form), string($0.help) + ($0.isRepeatable ? " Repeatable." : "")]
      })
  }

  private static var linkCounters: String {
    table(
      ["counter", "key", "counts", "meaning"],
      Counter.allCases.map(\.definition).map {
        [LinkName.shown("\($0.name)"), "\($0.field)", LinkName.counted($0), "\($0.help)"]
      })
  }

  /// Words of the table of counters on the control link.
  private enum LinkName {
    /// `AccountedIn` as the page writes it: ACCOUNTED_IN.
    static func shown(_ name: String) -> String {
      name.enumerated().map { ($0.offset > 0 && $0.element.isUppercase ? "_" : "") + $0.element.uppercased() }.joined()
    }

    static func counted(_ counter: CounterDefinition) -> String {
      let unit =
        switch counter.unit {
        case .frames: "sample frames"
        case .samples: "samples"
        case .bytes: "bytes"
        case .milliseconds: "milliseconds"
        case .count: ""
        case .truth: "0 or 1"
        }
      let kind =
        switch counter.kind {
        case .total: "only grows"
        case .gauge: "rises and falls"
        case .signedGauge: "rises and falls, two's complement"
        }
      return unit.isEmpty ? kind : "\(unit); \(kind)"
    }
  }

  // MARK: Markdown

  private static func string(_ text: [UInt8]) -> String { String(decoding: text, as: UTF8.self) }

  private static func code(_ text: String) -> String { "`\(text)`" }

  private static func table(_ headings: [String], _ rows: [[String]]) -> String {
    var lines = [line(headings), "|" + String(repeating: "---|", count: headings.count)]
    lines += rows.map { row in line(row.map(escaped)) }
    return lines.joined(separator: "\n") + "\n"
  }

  private static func line(_ cells: [String]) -> String { "| " + cells.joined(separator: " | ") + " |" }

  /// A bar would end the cell; `<word>` outside of code would be taken for HTML, `*` for emphasis.
  private static func escaped(_ cell: String) -> String {
    var escaped = ""
    var isCode = false
    for character in cell {
      if character == "`" { isCode.toggle() }
      if character == "|" || (!isCode && (character == "*" || character == "<")) { escaped.append("\\") }
      escaped.append(character)
    }
    return escaped
  }
}
