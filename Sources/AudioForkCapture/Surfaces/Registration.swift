// SPDX-License-Identifier: GPL-2.0-or-later
import AudioForkBytes
import AudioForkSurface
import CAsterisk

/// What Asterisk knows of the module: two applications, a function, CLI commands and AMI actions, with their help.
///
/// Asterisk takes help from its XML where it has loaded ours, and else the texts that are made here from the tables.
enum Registration {
  private struct Step {
    let register: () -> CInt
    let unregister: () -> Void
  }

  /// Registers everything, or nothing.
  static func register() -> Bool {
    var done = [Step]()
    for step in steps() {
      guard step.register() == 0 else {
        for step in done.reversed() { step.unregister() }
        return false
      }
      done.append(step)
    }
    return true
  }

  static func unregister() {
    for step in steps().reversed() { step.unregister() }
  }

  private static func steps() -> [Step] {
    var steps = [application(.start, execStart), application(.stop, execStop), function, commands]
    steps.append(
      action(.start) {
        ManagerActions.start(ManagerRequest($0, $1))
        return 0
      })
    steps.append(
      action(.stop) {
        ManagerActions.stop(ManagerRequest($0, $1))
        return 0
      })
    steps.append(
      action(.mute) {
        ManagerActions.mute(ManagerRequest($0, $1))
        return 0
      })
    steps.append(
      action(.sendText) {
        ManagerActions.sendText(ManagerRequest($0, $1))
        return 0
      })
    steps.append(
      action(.list) {
        ManagerActions.list(ManagerRequest($0, $1))
        return 0
      })
    return steps
  }

  private static func application(
    _ definition: ApplicationDefinition, _ run: @escaping @convention(c) (OpaquePointer?, UnsafePointer<CChar>?) -> CInt
  ) -> Step {
    Step(
      register: {
        withHelp("application", definition.name, definition.synopsis, definition.plainText) { synopsis, description in
          ast_register_application2(
            definition.name.utf8Pointer, run, synopsis, description, UnsafeMutableRawPointer(af_module_self()))
        }
      },
      unregister: { ast_unregister_application(definition.name.utf8Pointer) })
  }

  private static func action(
    _ definition: ActionDefinition,
    _ run: @escaping @convention(c) (OpaquePointer?, UnsafePointer<CAsterisk.message>?) -> CInt
  ) -> Step {
    Step(
      register: {
        withHelp("manager", definition.name, definition.synopsis, definition.plainText) { synopsis, description in
          ast_manager_register2(
            definition.name.utf8Pointer, definition.privileges.reduce(0) { $0 | $1.flag }, run, af_module_self(),
            synopsis, description)
        }
      },
      unregister: { ast_manager_unregister(definition.name.utf8Pointer) })
  }

  private static var function: Step {
    Step(
      register: {
        withHelp(
          "function", FunctionDefinition.name, FunctionDefinition.synopsis, FunctionDefinition.plainText
        ) { synopsis, description in
          withCString(FunctionDefinition.syntax) {
            af_function_register(FunctionDefinition.name.utf8Pointer, synopsis, $0, description)
          }
        }
      },
      unregister: { af_function_unregister() })
  }

  private static var commands: Step {
    Step(
      register: {
        for command in CommandDefinition.all {
          let failure = withCString(command.usage) {
            af_cli_add(command.words.utf8Pointer, command.summary.utf8Pointer, $0)
          }
          if failure != 0 {
            af_cli_unregister()
            return failure
          }
        }
        return af_cli_register()
      },
      unregister: { af_cli_unregister() })
  }

  /// Calls `body` with help texts, or with NULL where Asterisk's XML has the item.
  private static func withHelp(
    _ kind: StaticString, _ name: StaticString, _ synopsis: StaticString, _ description: Bytes,
    _ body: (UnsafePointer<CChar>?, UnsafePointer<CChar>?) -> CInt
  ) -> CInt {
    guard af_is_documented(kind.utf8Pointer, name.utf8Pointer) == 0 else { return body(nil, nil) }
    return withCString(description) { body(synopsis.utf8Pointer, $0) }
  }
}
