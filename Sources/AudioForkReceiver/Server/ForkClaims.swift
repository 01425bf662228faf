// SPDX-License-Identifier: Apache-2.0
internal import NIOCore
internal import Synchronization

/// Tells a connection that another one carries its fork now.
struct StreamReplaced: Sendable {}

/// Which connection writes which fork's file: one at a time. The newest gets it, because the older ones are those that
/// the client has given up. Any thread may call it.
final class ForkClaims: Sendable {
  private struct Claim {
    let number: Int
    let channel: any Channel
    /// Who comes next, and how it hears that the file is closed.
    var next: (number: Int, channel: any Channel, ready: EventLoopPromise<Void>)?
  }

  private let claims = Mutex<[String: Claim]>([:])

  /// Asks for a fork's file. The future succeeds when no other connection has it open; it fails where a still newer
  /// connection came in between.
  func claim(_ key: String, number: Int, channel: any Channel) -> EventLoopFuture<Void> {
    let ready = channel.eventLoop.makePromise(of: Void.self)
    let (older, passedOver) = claims.withLock { claims -> ((any Channel)?, EventLoopPromise<Void>?) in
      guard let claim = claims[key] else {
        claims[key] = Claim(number: number, channel: channel)
        return (nil, nil)
      }
      claims[key]?.next = (number, channel, ready)
      return (claim.channel, claim.next?.ready)
    }
    passedOver?.fail(ChannelError.alreadyClosed)
    if let older {
      older.pipeline.fireUserInboundEventTriggered(StreamReplaced())
    } else {
      ready.succeed(())
    }
    return ready.futureResult
  }

  /// The connection has closed the file, or does not want it any more.
  func release(_ key: String, number: Int) {
    let ready = claims.withLock { claims -> EventLoopPromise<Void>? in
      guard let claim = claims[key] else { return nil }
      guard claim.number == number else {
        guard claim.next?.number == number else { return nil }
        let ready = claim.next?.ready
        claims[key]?.next = nil
        return ready
      }
      guard let next = claim.next else {
        claims[key] = nil
        return nil
      }
      claims[key] = Claim(number: next.number, channel: next.channel)
      return next.ready
    }
    ready?.succeed(())
  }
}
