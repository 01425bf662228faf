// SPDX-License-Identifier: GPL-2.0-or-later
import AudioForkBytes
import AudioForkSurface
import CAsterisk

/// Whose thread starts or stops a fork.
package enum CallingThread {
  /// The channel's own, in an application: it may play to the channel.
  case channel
  /// Another one: of the CLI, of AMI.
  case other
}

/// Who starts a fork: whose text its arguments are, and what it may do.
enum ForkOrigin {
  /// The application, executed by the channel's dialplan.
  case dialplan
  /// The application, executed for the channel while it is in a bridge: a feature code.
  case feature
  /// The application on a channel that has no dialplan: Originate with an application.
  case bare
  /// AMI's action AudioFork, which needs the privilege `system`.
  case manager
  case cli

  /// Of an application that executes on the channel, which must not be locked.
  init(executingOn channel: OpaquePointer) {
    af_channel_lock(channel)
    let isBridged = ast_channel_is_bridged(channel) != 0
    let hasDialplan = ast_channel_pbx(channel) != nil || af_runs_subroutine(channel) != 0
    af_channel_unlock(channel)
    self = isBridged ? .feature : hasDialplan ? .dialplan : .bare
  }

  var thread: CallingThread {
    switch self {
    case .dialplan, .feature, .bare: .channel
    case .manager, .cli: .other
    }
  }

  /// Whether `^{…}` in the first two arguments is evaluated: not in what an AMI account or a CLI user has given to
  /// Originate, which it could use to read any channel's variables.
  var evaluatesExpressions: Bool {
    switch self {
    case .bare: false
    case .dialplan, .feature, .manager, .cli: true
    }
  }

  /// Whether the third argument may run.
  func mayRunCommand(_ policy: CommandPolicy) -> Bool {
    switch (policy, self) {
    case (.yes, _), (.dialplan, .dialplan), (.dialplan, .manager): true
    case (.no, _), (.dialplan, _): false
    }
  }
}
