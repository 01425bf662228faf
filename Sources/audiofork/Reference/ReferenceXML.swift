// SPDX-License-Identifier: Apache-2.0
import AudioForkBytes
import AudioForkSurface

/// The tables as Asterisk's documentation XML (appdocsxml.dtd), for `<astdatadir>/documentation/thirdparty`.
///
/// No XInclude of Asterisk's own nodes: it would be looked for in this file, and a failing one makes Asterisk drop the
/// whole document.
package enum ReferenceXML {
  private static let module = "app_audiofork"

  package static var document: String {
    var lines = [
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>",
      "<!-- Made by the build from the tables of the module; SPDX-License-Identifier: MIT -->",
      "<docs>",
    ]
    for application in ApplicationDefinition.all { lines += element(application) }
    lines += function
    for action in ActionDefinition.all { lines += element(action) }
    for event in EventDefinition.all { lines += element(event) }
    lines.append("</docs>")
    return lines.joined(separator: "\n") + "\n"
  }

  // MARK: Items

  private static func element(_ application: ApplicationDefinition) -> [String] {
    var syntax: [String] = []
    for parameter in application.parameters {
      let isOptions = application.takesOptions && "\(parameter.name)" == "options"
      syntax += element(parameter, inside: isOptions ? optionList : [])
    }
    var body = element("synopsis", text: "\(application.synopsis)")
    body += element("syntax", [], syntax)
    body += element(
      "description", [],
      paragraphs(application.description) + variables(application.variables) + application.examples.flatMap(element))
    let others = ApplicationDefinition.all.filter { "\($0.name)" != "\(application.name)" }
    body += element(
      "see-also", [],
      others.map { "<ref type=\"application\">\($0.name)</ref>" } + [
        "<ref type=\"function\">\(FunctionDefinition.name)</ref>"
      ])
    return element("application", item("\(application.name)"), body)
  }

  private static var optionList: [String] {
    element(
      "optionlist", [],
      OptionDefinition.all.flatMap { option in
        let form = OptionForm(option)
        var inside: [String] = []
        if let argument = form.argument {
          inside.append(
            "<argument\(attributes([("name", argument), ("required", form.isRequired ? "true" : "false")]))/>")
        }
        inside += element("para", text: form.help)
        return element("option", [("name", form.letter)], inside)
      })
  }

  private static var function: [String] {
    var syntax: [String] = []
    for parameter in FunctionDefinition.parameters {
      let isKey = "\(parameter.name)" == "key"
      let keys = FunctionKey.all.flatMap {
        element("enum", [("name", "\($0.name)")], element("para", text: "\($0.help)"))
      }
      syntax += element(parameter, inside: isKey ? element("enumlist", [], keys) : [])
    }
    var body = element("synopsis", text: "\(FunctionDefinition.synopsis)")
    body += element("syntax", [], syntax)
    body += element(
      "description", [], paragraphs(FunctionDefinition.description) + FunctionDefinition.examples.flatMap(element))
    body += element("see-also", [], ["<ref type=\"application\">\(ApplicationDefinition.start.name)</ref>"])
    return element("function", item("\(FunctionDefinition.name)"), body)
  }

  private static func element(_ action: ActionDefinition) -> [String] {
    var body = element("synopsis", text: "\(action.synopsis)")
    body += element("syntax", [], ([ActionDefinition.actionID] + action.parameters).flatMap { element($0, inside: []) })
    let example = ExampleDefinition(title: "a request", lines: action.example)
    body += element("description", [], paragraphs(action.description) + element(example))
    let others = ActionDefinition.all.filter { "\($0.name)" != "\(action.name)" }
    body += element("see-also", [], others.map { "<ref type=\"manager\">\($0.name)</ref>" })
    if "\(action.name)" == "\(ActionDefinition.list.name)" { body += listResponses }
    return element("manager", item("\(action.name)"), body)
  }

  private static var listResponses: [String] {
    let fields = ForkFact.all.map { ParameterDefinition(name: $0.name, help: $0.help) }
    let end = [
      ParameterDefinition(name: "EventList", help: "Complete."),
      ParameterDefinition(name: "ListItems", help: "How many forks there are."),
    ]
    return element(
      "responses", [],
      element("list-elements", [], event("\(ActionDefinition.listEvent)", "One fork.", fields))
        + event("\(ActionDefinition.listEndEvent)", "The list is over.", end))
  }

  private static func element(_ event: EventDefinition) -> [String] {
    self.event(
      "\(event.name)", "\(event.help)", event.fields.map { ParameterDefinition(name: $0.name, help: $0.help) })
  }

  private static func event(_ name: String, _ synopsis: String, _ fields: [ParameterDefinition]) -> [String] {
    let instance =
      element("synopsis", text: synopsis) + element("syntax", [], fields.flatMap { element($0, inside: []) })
    return element(
      "managerEvent", item(name), element("managerEventInstance", [("class", "EVENT_FLAG_CALL")], instance))
  }

  // MARK: Parts

  private static func element(_ parameter: ParameterDefinition, inside: [String]) -> [String] {
    element(
      "parameter", [("name", "\(parameter.name)")] + (parameter.isRequired ? [("required", "true")] : []),
      element("para", text: "\(parameter.help)") + inside)
  }

  private static func element(_ example: ExampleDefinition) -> [String] {
    // Its line breaks count.
    ["<example\(attributes([("title", "\(example.title)")]))>\n\(escaped("\(example.lines)"))\n</example>"]
  }

  private static func paragraphs(_ texts: [StaticString]) -> [String] {
    texts.flatMap { element("para", text: "\($0)") }
  }

  private static func variables(_ variables: [ParameterDefinition]) -> [String] {
    guard !variables.isEmpty else { return [] }
    return element(
      "variablelist", [],
      variables.flatMap { element("variable", [("name", "\($0.name)")], element("para", text: "\($0.help)")) })
  }

  private static func item(_ name: String) -> [(String, String)] {
    [("name", name), ("language", "en_US"), ("module", module)]
  }

  // MARK: XML

  private static func element(_ name: String, text: String) -> [String] { ["<\(name)>\(escaped(text))</\(name)>"] }

  private static func element(_ name: String, _ attributes: [(String, String)], _ inside: [String]) -> [String] {
    // Examples are one string with lines that must not be indented.
    let content = inside.map { $0.hasPrefix("<example") ? $0 : "  \($0)" }
    return ["<\(name)\(self.attributes(attributes))>"] + content + ["</\(name)>"]
  }

  private static func attributes(_ attributes: [(String, String)]) -> String {
    attributes.map { " \($0.0)=\"\(escaped($0.1))\"" }.joined()
  }

  static func escaped(_ text: String) -> String {
    var escaped = ""
    for character in text {
      switch character {
      case "&": escaped += "&amp;"
      case "<": escaped += "&lt;"
      case ">": escaped += "&gt;"
      case "\"": escaped += "&quot;"
      default: escaped.append(character)
      }
    }
    return escaped
  }
}

/// The parts of an option's form: `B(seconds), 5 to 3600`.
struct OptionForm {
  let letter: String
  /// What stands in the parentheses.
  let argument: String?
  let isRequired: Bool
  /// The help, and the range where there is one.
  let help: String
  /// The form without the range: `B(seconds)`.
  let written: String

  init(_ option: OptionDefinition) {
    let form = String(decoding: option.form, as: UTF8.self)
    let text = String(decoding: option.help, as: UTF8.self)
    letter = String(form.prefix(1))
    if let close = form.lastIndex(of: ")"), form.dropFirst().first == "(" {
      written = String(form[...close])
      argument = String(written.dropFirst(2).dropLast())
      let range = form[form.index(after: close)...].drop { $0 == "," || $0 == " " }
      help = range.isEmpty ? text : "\(text) Range: \(range)."
    } else {
      written = form
      argument = nil
      help = text
    }
    if case .value = option.argument { isRequired = true } else { isRequired = false }
  }
}
