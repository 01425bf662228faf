// SPDX-License-Identifier: Apache-2.0
internal import CAudioForkProcess
internal import Glibc
internal import NIOConcurrencyHelpers
package import NIOCore
internal import NIOPosix

/// Why a name could not be resolved.
package struct NameFailure: Error, Equatable, Sendable {
  /// A word, a colon and text, for the log.
  package let reason: String
}

/// Looks host names up, again for each attempt to connect: nothing is remembered here.
///
/// getaddrinfo blocks for as long as name servers are silent, so it has threads of its own, which no event loop waits
/// for; NIO's own resolver would block the next look-up of its loop. Look-ups of one name and family that are under way
/// at the same time are one, so a dead zone holds two threads, however many forks ask for it. `LookUpLanes` keeps dead
/// zones from holding all threads. Threads come with the first look-up, and more where that many are needed.
package final class HostResolver: Sendable {
  /// Threads are made so many at a time.
  private static let threadsAtOnce = 16
  private static let slow = TimeAmount.seconds(1)

  private struct Question: Hashable {
    let host: String
    let port: Int
    let family: CInt
  }

  /// Answers with the addresses of one family; may block.
  package typealias LookUp = @Sendable (_ host: String, _ port: Int, _ family: CInt) throws -> [SocketAddress]

  private struct State {
    var waiting: [Question: [EventLoopPromise<[SocketAddress]>]] = [:]
    var lanes = LookUpLanes<Question>()
    var pools: [NIOThreadPool] = []
    /// Look-ups that each pool has at work.
    var loads: [Int] = []
  }

  private let state = NIOLockedValueBox(State())
  private let lookUp: LookUp

  /// With getaddrinfo, or with another way of looking up.
  package init(lookUp: @escaping LookUp = HostResolver.system) { self.lookUp = lookUp }

  /// The addresses of one family, AF_INET or AF_INET6.
  func addresses(of host: String, port: Int, family: CInt, on loop: any EventLoop) -> EventLoopFuture<[SocketAddress]> {
    let question = Question(host: host, port: port, family: family)
    let promise = loop.makePromise(of: [SocketAddress].self)
    let begun = state.withLockedValue { state -> [(question: Question, pool: Int)] in
      state.waiting[question, default: []].append(promise)
      guard state.waiting[question]?.count == 1 else { return [] }
      let begun = state.lanes.ask(question)
      return HostResolver.place(begun, in: &state)
    }
    run(begun, on: loop)
    return promise.futureResult
  }

  /// Finds a pool for each look-up that begins, and makes one where all are busy.
  private static func place(_ begun: [Question], in state: inout State) -> [(question: Question, pool: Int)] {
    begun.map { question in
      let free = state.loads.firstIndex { $0 < threadsAtOnce }
      let index = free ?? state.pools.count
      if free == nil {
        let pool = NIOThreadPool(numberOfThreads: threadsAtOnce)
        pool.start()
        state.pools.append(pool)
        state.loads.append(0)
      }
      state.loads[index] += 1
      return (question, index)
    }
  }

  private func run(_ begun: [(question: Question, pool: Int)], on loop: any EventLoop) {
    for (question, index) in begun {
      let pool = state.withLockedValue { $0.pools[index] }
      let began = NIODeadline.now()
      let aging = loop.scheduleTask(in: HostResolver.slow) { [self] in
        run(
          state.withLockedValue { state in
            let begun = state.lanes.markSlow(question)
            return HostResolver.place(begun, in: &state)
          }, on: loop)
      }
      pool.submit { [self] poolState in
        let result = Result { () throws -> [SocketAddress] in
          guard poolState == .active else { throw NameFailure(reason: "dns: the engine is stopping") }
          return try lookUp(question.host, question.port, question.family)
        }
        aging.cancel()
        let wasSlow = NIODeadline.now() - began > HostResolver.slow
        let (promises, next) = state.withLockedValue { state in
          state.loads[index] -= 1
          let promises = state.waiting.removeValue(forKey: question) ?? []
          let begun = state.lanes.finished(question, wasSlow: wasSlow)
          return (promises, HostResolver.place(begun, in: &state))
        }
        run(next, on: loop)
        for promise in promises { promise.completeWith(result) }
      }
    }
  }

  /// getaddrinfo(3).
  package static let system: LookUp = { host, port, family in
    var hints = addrinfo()
    hints.ai_family = family
    hints.ai_socktype = CInt(SOCK_STREAM.rawValue)
    var found: UnsafeMutablePointer<addrinfo>?
    let code = getaddrinfo(host, String(port), &hints, &found)
    defer { if let found { freeaddrinfo(found) } }
    guard code == 0 else { throw NameFailure(reason: HostResolver.reason(code, error: errno, host: host)) }
    var addresses: [SocketAddress] = []
    var next = found
    while let info = next {
      if let address = info.pointee.ai_addr, let known = SocketAddress(address) { addresses.append(known) }
      next = info.pointee.ai_next
    }
    return addresses
  }

  /// The process at the other end of the socket, for an engine that may not read /etc (af_names.h).
  package static func process(_ socket: CInt) -> LookUp {
    { host, port, family in
      var answer = af_names_answer()
      let failure = af_names_ask(socket, host, CInt(port), family, &answer)
      guard failure == 0 else {
        throw NameFailure(
          reason: failure == EPIPE
            ? "dns: the engine's process for look-ups has ended; the engine is started again"
            : "dns: '\(host)' cannot be looked up: \(String(cString: strerror(failure)))")
      }
      guard answer.code == 0 else {
        throw NameFailure(reason: HostResolver.reason(answer.code, error: answer.error, host: host))
      }
      return (0..<answer.count).compactMap { index in
        af_names_address(&answer, index).flatMap { SocketAddress($0.assumingMemoryBound(to: sockaddr.self)) }
      }
    }
  }

  private static func reason(_ code: CInt, error: CInt, host: String) -> String {
    switch code {
    case EAI_AGAIN: "dns: no name server answers for '\(host)'"
    case EAI_SYSTEM: "dns: '\(host)' cannot be looked up: \(String(cString: strerror(error)))"
    case EAI_MEMORY: "dns: the system has no memory for it"
    // No such name, and no address of this family.
    default: "dns: the host name '\(host)' is not known"
    }
  }
}

extension SocketAddress {
  /// An address of IPv4 or IPv6; nil for others.
  fileprivate init?(_ address: UnsafePointer<sockaddr>) {
    switch CInt(address.pointee.sa_family) {
    case AF_INET: self.init(address.withMemoryRebound(to: sockaddr_in.self, capacity: 1) { $0.pointee })
    case AF_INET6: self.init(address.withMemoryRebound(to: sockaddr_in6.self, capacity: 1) { $0.pointee })
    default: return nil
    }
  }
}

/// One attempt's look-ups, as NIO's Happy Eyeballs (RFC 8305) wants them. On one event loop.
///
/// NIO asks from the loop that it was given, and the flag is read there.
final class AttemptResolver: Resolver, @unchecked Sendable {
  // Sendable: NIO's bootstrap demands it of a value that it calls on the attempt's own loop only, where `isOver` lives.
  private let names: HostResolver
  private let loop: any EventLoop
  /// Some address is known.
  private(set) var isOver = false

  init(_ names: HostResolver, on loop: any EventLoop) {
    self.names = names
    self.loop = loop
  }

  func initiateAQuery(host: String, port: Int) -> EventLoopFuture<[SocketAddress]> { ask(host, port, AF_INET) }
  func initiateAAAAQuery(host: String, port: Int) -> EventLoopFuture<[SocketAddress]> { ask(host, port, AF_INET6) }
  /// getaddrinfo cannot be interrupted; nobody waits for it any more.
  func cancelQueries() {}

  private func ask(_ host: String, _ port: Int, _ family: CInt) -> EventLoopFuture<[SocketAddress]> {
    let answer = names.addresses(of: host, port: port, family: family, on: loop)
    answer.assumeIsolated().whenSuccess { [self] addresses in if !addresses.isEmpty { isOver = true } }
    return answer
  }
}
