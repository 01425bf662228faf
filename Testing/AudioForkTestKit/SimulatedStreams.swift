// SPDX-License-Identifier: Apache-2.0
package import AudioForkMedia

/// One frame as it reaches the hook in a simulated call.
package struct SimulatedFrame: Sendable {
  /// Nanoseconds since the epoch.
  package var arrival: Int64
  package var direction: Direction
  package var count: Int
  package var rateHertz: Int
  /// RTP time in milliseconds, where the source has it.
  package var timestamp: Int64?

  package init(arrival: Int64, direction: Direction, count: Int, rateHertz: Int, timestamp: Int64? = nil) {
    self.arrival = arrival
    self.direction = direction
    self.count = count
    self.rateHertz = rateHertz
    self.timestamp = timestamp
  }
}

/// A sender of frames, the same as `stream` in docs/internals/timeline_model.py: with the same parameters it gives the
/// same frames, so that figures can be compared. Times are milliseconds since the epoch.
package struct SimulatedSender: Sendable {
  package var direction: Direction
  package var start: Int64
  package var stop: Int64
  package var frameMilliseconds: Int64 = 20
  package var rateHertz = 8000
  /// How much faster than ours the sender's clock runs.
  package var partsPerMillion = 0.0
  package var jitterMilliseconds = 0.0
  /// Share of frames that never arrive.
  package var loss = 0.0
  package var hasTiming = true
  package var firstTimestamp: Int64 = 1000
  package var seed: UInt32 = 1

  package init(_ direction: Direction, from start: Int64, to stop: Int64) {
    self.direction = direction
    self.start = start
    self.stop = stop
  }

  /// A copy with some parameters changed.
  package func with(_ change: (inout SimulatedSender) -> Void) -> SimulatedSender {
    var copy = self
    change(&copy)
    return copy
  }

  /// All frames, in order of arrival.
  package func frames() -> [SimulatedFrame] {
    var random = MersenneTwister(seed: seed)
    var frames: [SimulatedFrame] = []
    let duration = Double(frameMilliseconds) * 1e6
    let count = Int(frameMilliseconds) * rateHertz / 1000
    var time = Double(start) * 1e6
    var last: Int64 = 0
    var timestamp = firstTimestamp
    while time < Double(stop) * 1e6 {
      last = max(last, Int64(time + duration + random.nextDouble() * (jitterMilliseconds * 1e6)))
      if random.nextDouble() >= loss {
        frames.append(
          SimulatedFrame(
            arrival: last, direction: direction, count: count, rateHertz: rateHertz,
            timestamp: hasTiming ? timestamp : nil))
      }
      timestamp += frameMilliseconds
      time += duration * (1 - partsPerMillion / 1e6)
    }
    return frames
  }
}

/// Frames of several senders in the order in which the hook sees them.
package func mergedFrames(_ streams: [SimulatedFrame]...) -> [SimulatedFrame] {
  let all = streams.flatMap { $0 }.enumerated()
  return all.sorted { first, second in
    let left = (first.element.arrival, first.element.timestamp ?? 0, first.offset)
    let right = (second.element.arrival, second.element.timestamp ?? 0, second.offset)
    return left < right
  }.map(\.element)
}
