// SPDX-License-Identifier: Apache-2.0

/// Why a test could not be set up.
package struct TestKitError: Error, CustomStringConvertible {
  package let description: String
  package init(_ description: String) { self.description = description }
}
