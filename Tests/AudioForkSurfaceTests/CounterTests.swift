// SPDX-License-Identifier: Apache-2.0
import AudioForkSurface
import Testing

@Suite("The table of counters")
struct CounterTests {
  @Test("Every counter has room, and its raw value is its index")
  func room() {
    #expect(Counter.allCases.count <= Counters.capacity)
    #expect(Counter.allCases.map(\.rawValue) == Counter.allCases.indices.map { UInt8($0) })
    var counters = Counters()
    for counter in Counter.allCases { counters[counter] = UInt64(counter.rawValue) + 1 }
    for counter in Counter.allCases { #expect(counters[counter] == UInt64(counter.rawValue) + 1) }
    #expect(counters != Counters())
  }

  @Test("Names, keys and places are given once, and places have no holes")
  func unique() {
    let definitions = Counter.allCases.map(\.definition)
    #expect(Set(definitions.map { "\($0.name)" }).count == definitions.count)
    #expect(Set(definitions.map(\.field)).count == definitions.count)
    #expect(definitions.compactMap(\.listPlace).sorted() == Array(0..<Counter.listed.count))
    for event in [CounterEvents.state, .stop, .response, .transcript] {
      let places = Counter.carried(by: event).map(\.definition.eventPlace)
      #expect(Set(places).count == places.count && places == places.sorted())
    }
    for key in definitions.compactMap(\.functionKey) { #expect("\(key)" == "\(key)".lowercased()) }
  }

  @Test("The surfaces have the counters in the order that clients know")
  func order() {
    let listed: [Counter] = [
      .position, .confirmed, .captured, .delivered, .bytes, .fill, .gaps, .lost, .reconnects, .lag, .undelivered, .skew,
      .dropped,
    ]
    #expect(Array(Counter.listed.prefix(listed.count)) == listed)
    let stop: [Counter] = [
      .position, .confirmed, .captured, .delivered, .fill, .gaps, .lost, .reconnects, .bytes, .undelivered,
    ]
    #expect(Array(Counter.carried(by: .stop).prefix(stop.count)) == stop)
    #expect(Array(Counter.carried(by: .state).prefix(stop.count + 1)) == stop + [.lag])
    #expect(Counter.carried(by: .response).first == .dropped)
    let keys = [
      "url", "filename", "state", "direction", "format", "duration", "position", "confirmed", "bytes", "fill", "gaps",
      "lost", "reconnects", "lag",
    ]
    #expect(Array(FunctionKey.all.map { "\($0.name)" }.prefix(keys.count)) == keys)
  }
}
