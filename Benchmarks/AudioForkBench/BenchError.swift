// SPDX-License-Identifier: Apache-2.0

/// Why a benchmark could not be run.
package struct BenchError: Error, CustomStringConvertible {
  package let description: String
  init(_ description: String) { self.description = description }
}
