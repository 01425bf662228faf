// SPDX-License-Identifier: Apache-2.0
import AudioForkEngine
import Testing

@Suite("Sets of endpoints")
struct EndpointSetTests {
  @Test("Each endpoint is remembered by itself, also the 65th and later ones")
  func alone() {
    var endpoints = EndpointSet()
    for endpoint in [0, 5, 63, 64, 1000, EndpointSet.endpointsMax - 1] {
      #expect(!endpoints.contains(endpoint))
      let isNew = endpoints.insert(endpoint)
      let isNewAgain = endpoints.insert(endpoint)
      #expect(isNew && !isNewAgain && endpoints.contains(endpoint))
    }
    #expect(endpoints.contains(63) && endpoints.contains(64) && !endpoints.contains(62) && !endpoints.contains(65))
    #expect(endpoints.words.count == EndpointSet.wordsMax)
    #expect(EndpointSet(words: endpoints.words) == endpoints)
    let wasThere = endpoints.remove(5)
    let wasThereStill = endpoints.remove(5)
    #expect(wasThere && !wasThereStill && !endpoints.contains(5))
  }

  @Test("An endpoint that no cursor has room for is not remembered, and nothing traps")
  func outside() {
    var endpoints = EndpointSet()
    for endpoint in [-1, Int.min, EndpointSet.endpointsMax, Int.max] {
      let isNew = endpoints.insert(endpoint)
      let wasThere = endpoints.remove(endpoint)
      #expect(!isNew && !wasThere && !endpoints.contains(endpoint))
    }
    #expect(endpoints == EndpointSet())
    #expect(EndpointSet(words: [UInt64](repeating: 1, count: 300)).words.count == EndpointSet.wordsMax)
  }

  @Test("Removing the last endpoint of a word shortens the record")
  func shortened() {
    var endpoints = EndpointSet(words: [4, 0, 1, 0])
    #expect(endpoints.words == [4, 0, 1])
    let wasThere = endpoints.remove(128)
    #expect(wasThere && endpoints == EndpointSet(words: [4]))
  }
}
