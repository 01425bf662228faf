// SPDX-License-Identifier: Apache-2.0
import AudioForkSurface
import AudioForkReceiver
import NIOHTTP1
import Testing

private func request(_ uri: String = "/", _ headers: [(String, String)] = []) -> StreamRequest {
  StreamRequest(HTTPRequestHead(version: .http1_1, method: .GET, uri: uri, headers: HTTPHeaders(headers)))
}

@Suite("The upgrade request")
struct StreamRequestTests {
  @Test("Without headers a stream is 8000 Hz mono, without a note")
  func defaults() {
    let given = request("/demo?token=secret")
    #expect(given.path == "/demo")
    #expect(given.rateHertz == 8000)
    #expect(given.channelCount == 1)
    #expect(given.subprotocol == nil)
    #expect(given.notes == [])
  }

  @Test("Rate, channels and ids are read, whatever the case of the names")
  func read() {
    let given = request("/", [("audiofork-rate", "48000"), ("AUDIOFORK-CHANNELS", "2"), ("AudioFork-ID", "7")])
    #expect(given.rateHertz == 48000)
    #expect(given.channelCount == 2)
    #expect(given.forkID == "7")
  }

  @Test(
    "Numbers out of range are replaced and noted",
    arguments: ["0", "-1", "3999", "192001", "8000.5", "", "9999999999999999999999"])
  func outOfRange(rate: String) {
    let given = request("/", [("AudioFork-Rate", rate), ("AudioFork-Channels", "9")])
    #expect(given.rateHertz == 8000)
    #expect(given.channelCount == 1)
    #expect(given.notes.count == 2)
    #expect(given.notes.first == "AudioFork-Rate is '\(rate)', not a number from 4000 to 192000; 8000 is assumed")
  }

  @Test("A format that is not linear is noted")
  func format() {
    #expect(request("/", [("AudioFork-Format", "slin")]).notes == [])
    #expect(request("/", [("AudioFork-Format", "opus")]).notes.count == 1)
    #expect(request("/", [("AudioFork-Format", "ulaw")]).notes == [])
    #expect(request("/", [("AudioFork-Format", "ulaw")]).encoding == .muLaw)
    #expect(request("/", [("AudioFork-Format", "alaw")]).encoding == .aLaw)
    #expect(request("/", [("AudioFork-Format", "slin16")]).encoding == .linear)
    let unknown = request("/", [("AudioFork-Format", "g722")])
    #expect(unknown.encoding == .linear)
    #expect(unknown.notes == ["AudioFork-Format is 'g722'; the bytes are stored as 16-bit linear all the same"])
  }

  @Test("The first sub-protocol offered is selected, if it is a token")
  func subprotocol() {
    #expect(request("/", [("Sec-WebSocket-Protocol", "echo, other")]).subprotocol == "echo")
    #expect(request("/", [("Sec-WebSocket-Protocol", "a"), ("Sec-WebSocket-Protocol", "b")]).subprotocol == "a")
    #expect(request("/", [("Sec-WebSocket-Protocol", "no token")]).subprotocol == nil)
  }
}

@Suite("Names of recordings")
struct RecordingNameTests {
  @Test("A name has path, time in UTC and fork id")
  func form() {
    #expect(
      RecordingName.stem(path: "/demo/a", forkID: "4f2a-1", unixSeconds: 1_789_640_130)
        == "demo_a-20260917T101530Z-4f2a-1")
    #expect(RecordingName.stem(path: "/", forkID: "", unixSeconds: 0) == "stream-19700101T000000Z")
  }

  @Test(
    "No path or id makes anything but a plain name",
    arguments: [
      "/../../etc/passwd", "..", ".", "", "/", "//", "/.hidden", "/a/../b", "a\0b", "/\u{202E}gpj", "/ünï/çødé",
      "~root", "/%2e%2e%2f", "\r\n", "-rf", "/" + String(repeating: "x", count: 100_000), "C:\\con", "/\"$(reboot)\"",
    ])
  func tricks(text: String) {
    let stem = RecordingName.stem(path: text, forkID: text, unixSeconds: 1_789_640_130)
    let allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
    #expect(stem.allSatisfy { allowed.contains($0) })
    #expect(stem.first != "." && stem.first != "-")
    #expect(stem.utf8.count <= 2 * RecordingName.partLengthMax + 20)
  }

  @Test("Characters outside the set become one underscore")
  func replaced() {
    #expect(RecordingName.sanitised("/a b//c") == "a_b_c")
    #expect(RecordingName.sanitised("/../../etc") == "etc")
    #expect(RecordingName.sanitised("/...") == "")
  }
}

@Suite("Addresses to listen on")
struct ListenAddressTests {
  @Test("Host and port are read")
  func read() {
    #expect(ListenAddress("127.0.0.1:8080") == ListenAddress(host: "127.0.0.1", port: 8080))
    #expect(ListenAddress("localhost:0") == ListenAddress(host: "localhost", port: 0))
    #expect(ListenAddress("[::1]:80") == ListenAddress(host: "::1", port: 80))
    #expect(ListenAddress("[::1]:80")?.shown == "[::1]:80")
  }

  @Test(
    "Anything else is refused",
    arguments: [
      "", "8080", ":8080", "host", "host:", "host:x", "host:65536", "host:-1", "host:+1", "::1:80", "[::1]",
      "[]:80", "[host]:80", "a b:80", "ws://host:80",
    ])
  func refused(text: String) {
    #expect(ListenAddress(text) == nil)
  }
}
