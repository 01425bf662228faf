// SPDX-License-Identifier: Apache-2.0
internal import Foundation

/// A plot with lines, as SVG: both axes from 0.
package struct Chart: Sendable {
  package struct Line: Sendable {
    package let name: String
    package let points: [(x: Double, y: Double)]
    package init(_ name: String, _ points: [(x: Double, y: Double)]) {
      self.name = name
      self.points = points.filter { $0.x.isFinite && $0.y.isFinite }
    }
  }

  let title: String
  let horizontal: String
  let vertical: String
  let lines: [Line]

  package init(_ title: String, horizontal: String, vertical: String, lines: [Line]) {
    self.title = title
    self.horizontal = horizontal
    self.vertical = vertical
    self.lines = lines
  }

  private static let colors = ["#1b6ca8", "#c0392b", "#27824a", "#8e5ea2", "#b8860b", "#555555", "#008b8b", "#d2691e"]
  private static let (left, right, top, bottom) = (70.0, 690.0, 40.0, 360.0)

  /// The least of 1, 2, 5 times a power of ten that divides the axis into at most six.
  private static func step(_ end: Double) -> Double {
    let rough = max(end, 1e-9) / 6
    let power = pow(10, rough.exponentOfTen)
    return [1, 2, 5, 10].map { $0 * power }.first { $0 >= rough } ?? rough
  }

  package var svg: String {
    func escaped(_ text: String) -> String {
      text.replacingOccurrences(of: "&", with: "&amp;").replacingOccurrences(of: "<", with: "&lt;")
    }
    let points = lines.flatMap(\.points)
    let (endX, endY) = (points.map(\.x).max() ?? 1, max(points.map(\.y).max() ?? 1, 1e-9))
    let (stepX, stepY) = (Self.step(endX), Self.step(endY))
    func place(_ point: (x: Double, y: Double)) -> (x: Double, y: Double) {
      let shareX = point.x / max(endX, 1e-9)
      let shareY = max(point.y, 0) / endY
      return (
        (Self.left + shareX * (Self.right - Self.left)).rounded(1),
        (Self.bottom - shareY * (Self.bottom - Self.top)).rounded(1)
      )
    }
    var text = """
      <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 \(Int(440 + 18 * lines.count))" \
      font-family="sans-serif" font-size="12">
      <!-- SPDX-License-Identifier: Apache-2.0 -->
      <rect width="100%" height="100%" fill="#ffffff"/>
      <text x="70" y="22" font-size="15">\(escaped(title))</text>
      <text x="690" y="400" text-anchor="end">\(escaped(horizontal))</text>
      <text x="16" y="200" transform="rotate(-90 16 200)" text-anchor="middle">\(escaped(vertical))</text>

      """
    for tick in stride(from: 0, through: endY * 1.0001, by: stepY) {
      let (_, y) = place((0, tick))
      text += "<path d=\"M70 \(y)H690\" stroke=\"#dddddd\"/>"
      text += "<text x=\"64\" y=\"\(y + 4)\" text-anchor=\"end\">\(shown(tick))</text>\n"
    }
    for tick in stride(from: 0, through: endX * 1.0001, by: stepX) {
      let (x, _) = place((tick, 0))
      text += "<path d=\"M\(x) 360v5\" stroke=\"#333333\"/>"
      text += "<text x=\"\(x)\" y=\"380\" text-anchor=\"middle\">\(shown(tick))</text>\n"
    }
    text += "<path d=\"M70 40V360H690\" fill=\"none\" stroke=\"#333333\"/>\n"
    for (index, line) in lines.enumerated() {
      let color = Self.colors[index % Self.colors.count]
      let places = line.points.sorted { $0.x < $1.x }.map(place)
      let path = places.map { "\($0.x),\($0.y)" }.joined(separator: " ")
      text += "<polyline points=\"\(path)\" fill=\"none\" stroke=\"\(color)\" stroke-width=\"2\"/>\n"
      for place in places { text += "<circle cx=\"\(place.x)\" cy=\"\(place.y)\" r=\"3\" fill=\"\(color)\"/>\n" }
      let y = 424 + 18 * index
      text += "<rect x=\"70\" y=\"\(y - 9)\" width=\"14\" height=\"4\" fill=\"\(color)\"/>"
      text += "<text x=\"92\" y=\"\(y)\">\(escaped(line.name))</text>\n"
    }
    return text + "</svg>\n"
  }

  private func shown(_ value: Double) -> String {
    value == value.rounded() ? "\(Int(value))" : "\(value.rounded(4))"
  }

  package func write(to file: String) throws {
    try svg.write(toFile: file, atomically: true, encoding: .utf8)
  }
}

extension Double {
  /// Of the greatest power of ten that is not above it.
  fileprivate var exponentOfTen: Double { log10(self).rounded(.down) }
}
