// SPDX-License-Identifier: Apache-2.0
internal import Foundation

/// Progress goes to standard error, so that standard output is the table.
enum Progress {
  static let nothing: @Sendable (String) -> Void = { _ in }
  static let toStandardError: @Sendable (String) -> Void = { FileHandle.standardError.write(Data(($0 + "\n").utf8)) }
}
