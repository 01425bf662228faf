// SPDX-License-Identifier: Apache-2.0

/// A peer's words without characters that act on a terminal or on a line; each becomes a question mark. These are
/// controls, marks of writing direction and other formatting, separators of lines, and what has no meaning to Unicode.
package func printable(_ text: String) -> String { String(String.UnicodeScalarView(text.unicodeScalars.map(visible))) }

/// A peer's words in a form that can stand in one line of a log: printable, at most 80 characters.
package func shown(_ text: String) -> String {
  let start = String(String.UnicodeScalarView(text.unicodeScalars.prefix(80).map(visible)))
  return text.unicodeScalars.count > 80 ? start + "..." : start
}

/// The same, cut to so many bytes of UTF-8.
package func shown(_ text: String, bytesMax: Int) -> String {
  var result = ""
  for scalar in text.unicodeScalars {
    let next = visible(scalar)
    guard result.utf8.count + UTF8.width(next) <= bytesMax else { return result + "..." }
    result.unicodeScalars.append(next)
  }
  return result
}

private func visible(_ scalar: Unicode.Scalar) -> Unicode.Scalar {
  switch scalar.properties.generalCategory {
  case .control, .format, .lineSeparator, .paragraphSeparator, .privateUse, .unassigned, .surrogate: "?"
  default: scalar
  }
}
