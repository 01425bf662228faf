// SPDX-License-Identifier: MIT
internal import AudioForkBytes

/// A number that the engine keeps for one fork.
///
/// This file is the only declaration of a counter. To add one, append a case with its `definition`, and set it where
/// the engine counts. The control link, AMI, the CLI, AUDIOFORK() and the documentation follow. A case's raw value is
/// its index in `Counters`; counters travel on the control link in this order.
package enum Counter: UInt8, CaseIterable, Sendable {
  case position, fill, lost, gaps, reconnects, bytes, lag, confirmed, captured, delivered
  case accountedIn, accountedOut, undelivered, skew, dropped, losing
}

/// What a counter's number counts.
package enum CounterUnit: Sendable {
  /// Sample frames at the rate of the wire.
  case frames
  /// Samples at the rate of capture.
  case samples
  case bytes, milliseconds
  /// Gaps, connections, texts.
  case count
  /// 0 or 1.
  case truth
}

/// How a counter's number moves.
package enum CounterKind: Sendable {
  /// It only grows while the fork lives.
  case total
  /// It rises and falls.
  case gauge
  /// A gauge that may be negative: two's complement.
  case signedGauge
}

/// The AMI events that carry a counter.
package struct CounterEvents: OptionSet, Sendable {
  package let rawValue: UInt8
  package init(rawValue: UInt8) { self.rawValue = rawValue }

  /// AudioForkState.
  package static let state = CounterEvents(rawValue: 1)
  /// AudioForkStop.
  package static let stop = CounterEvents(rawValue: 2)
  /// AudioForkResponse.
  package static let response = CounterEvents(rawValue: 4)
  /// AudioForkTranscript.
  package static let transcript = CounterEvents(rawValue: 8)
}

/// Where a counter appears, and how it is described there.
package struct CounterDefinition: Sendable {
  /// The header in AMI events and lists, and the line of `audiofork show fork`.
  package let name: StaticString
  /// Key of the field on the control link: never changes, and is no `LinkField`'s.
  package let field: UInt16
  package let unit: CounterUnit
  package let kind: CounterKind
  /// Place among the counters of AudioForkList and `audiofork show fork`; nil: it is not shown there.
  package var listPlace: Int?
  package var events: CounterEvents = []
  /// Place among the counters of an event.
  package var eventPlace = 0
  /// The key of AUDIOFORK(); nil: it has none.
  package var functionKey: StaticString?
  /// Whole sentences, no line breaks.
  package let help: StaticString
}

extension Counter {
  package var definition: CounterDefinition {
    switch self {
    case .position:
      CounterDefinition(
        name: "Position", field: 32, unit: .frames, kind: .total, listPlace: 0, events: [.state, .stop], eventPlace: 0,
        functionKey: "position", help: "Sample frames sent at the rate of the wire, fill included.")
    case .fill:
      CounterDefinition(
        name: "Fill", field: 33, unit: .frames, kind: .total, listPlace: 5, events: [.state, .stop], eventPlace: 4,
        functionKey: "fill",
        help:
          "Samples of fill in the position, summed over the directions: with two directions up to twice the position.")
    case .lost:
      CounterDefinition(
        name: "Lost", field: 34, unit: .samples, kind: .total, listPlace: 7, events: [.state, .stop], eventPlace: 6,
        functionKey: "lost", help: "Captured samples in gaps.")
    case .gaps:
      CounterDefinition(
        name: "Gaps", field: 35, unit: .count, kind: .total, listPlace: 6, events: [.state, .stop], eventPlace: 5,
        functionKey: "gaps", help: "How many gaps there are: captured audio that did not reach the server in time.")
    case .reconnects:
      CounterDefinition(
        name: "Reconnects", field: 36, unit: .count, kind: .total, listPlace: 8, events: [.state, .stop], eventPlace: 7,
        functionKey: "reconnects", help: "Connections after the first.")
    case .bytes:
      CounterDefinition(
        name: "Bytes", field: 37, unit: .bytes, kind: .total, listPlace: 4, events: [.state, .stop], eventPlace: 8,
        functionKey: "bytes", help: "Bytes of audio written to connections, repeats included.")
    case .lag:
      CounterDefinition(
        name: "Lag", field: 38, unit: .milliseconds, kind: .gauge, listPlace: 9, events: .state, eventPlace: 10,
        functionKey: "lag",
        help:
          """
          Milliseconds of captured audio not yet sent. It may exceed the buffer without a loss: where one direction is \
          silent the ring holds more seconds. Lost tells what was lost.
          """
      )
    case .confirmed:
      CounterDefinition(
        name: "Confirmed", field: 39, unit: .frames, kind: .total, listPlace: 1, events: [.state, .stop], eventPlace: 1,
        functionKey: "confirmed", help: "The position up to which delivery is confirmed.")
    case .captured:
      CounterDefinition(
        name: "Captured", field: 40, unit: .samples, kind: .total, listPlace: 2, events: [.state, .stop], eventPlace: 2,
        help: "Captured samples, summed over the directions.")
    case .delivered:
      CounterDefinition(
        name: "Delivered", field: 50, unit: .samples, kind: .total, listPlace: 3, events: [.state, .stop],
        eventPlace: 3,
        help:
          """
          Of these, the samples whose delivery is confirmed. \
          When the fork has ended, Delivered and Lost together are Captured.
          """
      )
    case .accountedIn:
      CounterDefinition(
        name: "AccountedIn", field: 52, unit: .samples, kind: .total,
        help:
          """
          Captured samples of in that the confirmed part of the stream has passed, gaps included. If the module has to \
          end a fork itself, it reports what was captured beyond them as a gap, reason undelivered.
          """
      )
    case .accountedOut:
      CounterDefinition(
        name: "AccountedOut", field: 53, unit: .samples, kind: .total, help: "As ACCOUNTED_IN, of out.")
    case .undelivered:
      CounterDefinition(
        name: "Undelivered", field: 41, unit: .milliseconds, kind: .gauge, listPlace: 10, events: [.state, .stop],
        eventPlace: 9, help: "Milliseconds of captured audio not yet confirmed.")
    case .skew:
      CounterDefinition(
        name: "Skew", field: 42, unit: .milliseconds, kind: .signedGauge, listPlace: 11,
        help: "Milliseconds by which in is placed later than out, beyond their media times. Negative: earlier.")
    case .dropped:
      CounterDefinition(
        name: "Dropped", field: 43, unit: .count, kind: .total, listPlace: 12, events: [.response, .transcript],
        help:
          """
          Text messages and final transcripts of the server that were dropped: more than 50 in a second, or more than \
          500 from all servers together.
          """
      )
    case .losing:
      CounterDefinition(
        name: "Losing", field: 51, unit: .truth, kind: .gauge,
        help:
          "1 while audio that was not sent is being overwritten in the ring. The gap follows when its extent is known.")
    }
  }

  /// The counter whose field on the control link has this key; nil: it is no counter's.
  package init?(field: UInt16) {
    guard field < 64, let counter = Counter.byField[Int(field)] else { return nil }
    self = counter
  }

  /// By the fields' keys, which are below 64.
  private static let byField: [Counter?] = {
    var found = [Counter?](repeating: nil, count: 64)
    for counter in allCases where counter.definition.field < 64 { found[Int(counter.definition.field)] = counter }
    return found
  }()

  /// The counters of AudioForkList and `audiofork show fork`, in their order.
  package static var listed: [Counter] {
    inOrder { $0.definition.listPlace }
  }

  /// The counters of an event, in their order.
  package static func carried(by event: CounterEvents) -> [Counter] {
    inOrder { $0.definition.events.contains(event) ? $0.definition.eventPlace : nil }
  }

  /// The counters that have a place, by it.
  private static func inOrder(_ place: (Counter) -> Int?) -> [Counter] {
    var placed: [(place: Int, counter: Counter)] = []
    for counter in allCases {
      guard let place = place(counter) else { continue }
      placed.insert((place, counter), at: placed.firstIndex { $0.place > place } ?? placed.count)
    }
    return placed.map { $0.counter }
  }
}

/// The values of all counters of one fork, each 0 until it is set.
package struct Counters: Sendable, Equatable {
  /// Room for counters. A fork's row in the module has as much (AF_COUNTERS_MAX).
  package static let capacity = 32
  private var values = InlineArray<32, UInt64>(repeating: 0)

  package init() {}

  package subscript(_ counter: Counter) -> UInt64 {
    get { values[Int(counter.rawValue)] }
    set { values[Int(counter.rawValue)] = newValue }
  }

  package static func == (left: Counters, right: Counters) -> Bool {
    for counter in Counter.allCases where left[counter] != right[counter] { return false }
    return true
  }
}
