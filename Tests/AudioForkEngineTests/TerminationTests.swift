// SPDX-License-Identifier: Apache-2.0
import AudioForkEngine
import AudioForkLink
import NIOCore
import Testing

@Suite("What SIGTERM means to an engine")
struct TerminationTests {
  @Test("The link is open two seconds later: it was meant for the engine alone")
  func alone() {
    var termination = Termination()
    #expect(termination.signalReceived() == .look(after: .seconds(2)))
    #expect(termination.signalReceived() == .nothing, "a second one does not begin anew")
    #expect(termination.waited() == .stop)
  }

  @Test("The link ends first: what was captured is delivered, whatever signals follow")
  func withAsterisk() {
    var termination = Termination()
    #expect(termination.signalReceived() == .look(after: .seconds(2)))
    termination.linkEnded()
    #expect(termination.signalReceived() == .nothing)
    #expect(termination.waited() == .nothing)
  }

  @Test("The link has ended before the first signal")
  func afterwards() {
    var termination = Termination()
    termination.linkEnded()
    #expect(termination.signalReceived() == .nothing)
    #expect(termination.waited() == .nothing)
  }

  @Test("Asterisk is known to shut down: it gets the time that it gives its channels", arguments: [true, false])
  func slowAsterisk(isToldBefore: Bool) {
    var termination = Termination()
    if isToldBefore { termination.asteriskStops() }
    #expect(termination.signalReceived() == .look(after: .seconds(2)))
    if !isToldBefore { termination.asteriskStops() }
    #expect(termination.waited() == .look(after: .seconds(18)))
    #expect(termination.waited() == .stop, "the shutdown was cancelled, or hangs")
  }

  @Test("An engine says that it knows the module's newest message")
  func newest() {
    let ofModule = LinkMessageKind.allCases.map(\.rawValue).filter { $0 < LinkMessageKind.ready.rawValue }
    #expect(LinkMessageKind.newestOfModule.rawValue == ofModule.max())
  }
}
