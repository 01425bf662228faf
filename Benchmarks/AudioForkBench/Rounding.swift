// SPDX-License-Identifier: Apache-2.0
internal import Foundation

extension Double {
  /// To so many places behind the point.
  func rounded(_ digits: Int) -> Double {
    let scale = pow(10, Double(digits))
    return (self * scale).rounded() / scale
  }
}
