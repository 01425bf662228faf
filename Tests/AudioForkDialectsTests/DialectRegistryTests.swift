// SPDX-License-Identifier: Apache-2.0
import AudioForkDialects
import AudioForkMedia
import AudioForkSurface
import AudioForkTestKit
import Testing

@Suite("The registry of dialects")
struct DialectRegistryTests {
  @Test("Each dialect has one entry")
  func complete() { #expect(DialectRegistry.dialects == DialectName.allCases) }

  @Test("Traits and sessions agree", arguments: DialectTraits.all.map(\.dialect))
  func traits(dialect: DialectName) throws {
    let traits = try #require(DialectTraits.all.first { $0.dialect == dialect })
    let type = DialectRegistry.session(of: dialect)
    var request = DialectRequest(url: "ws://h/", target: Array("/".utf8))
    type.prepare(&request, for: ConnectionDescription(.test))
    if let subprotocol = traits.subprotocol {
      #expect(request.subprotocols == [subprotocol.description] && request.needsSubprotocol)
    } else {
      #expect(!request.needsSubprotocol)
    }
    var session = type.init(ConnectionDescription(.test))
    // A server that says where to continue has to be waited for.
    if traits.resumes { #expect(!session.isReady) }
    var output = DialectOutput()
    session.marker(.mute(.in, position: 1, frames: 2), into: &output)
    #expect(output.isEmpty != traits.wantsMarkers)
  }
}
