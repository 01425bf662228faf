// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import AudioForkReceiver
import AudioForkTLS
import Glibc
import Logging
import NIOCore
import ServiceLifecycle
import UnixSignals

struct ServeCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "serve",
    abstract: "Receives audio streams over WebSocket and writes each to a WAV file.",
    discussion: """
      Accepts any path and any sub-protocol. Format, rate and channels are taken from the request headers \
      AudioFork-Format (slin…, ulaw or alaw), AudioFork-Rate and AudioFork-Channels, else 16-bit little-endian samples \
      at 8000 Hz mono are assumed; files are always 16-bit linear. Ctrl-C or SIGTERM closes all streams with 1001 and \
      finishes their files.
      """)

  @Option(help: "Address and port to listen on; port 0 takes a free one. IPv6: [::1]:8080.")
  var listen = "127.0.0.1:8080"

  @Option(help: "Folder for the WAV files; created if its parent exists.")
  var out = "recordings"

  @Option(help: "PEM file with a certificate, and its chain, for wss://. Needs --key.")
  var certificate: String?

  @Option(help: "PEM file with the certificate's private key.")
  var key: String?

  @Option(help: "PEM file with authorities: clients need a certificate of theirs. Needs --certificate.")
  var clientCa: String?

  @Option(help: "File with tokens, one on each line: clients have to send one of them as Authorization: Bearer TOKEN.")
  var tokenFile: String?

  @Option(
    help: "Streams at a time; more clients get 503. Default: 1000, or what the limit on open files allows.")
  var maxConnections: Int?

  @Flag(help: "Print each event as a JSON object on a line of its own.")
  var json = false

  func validate() throws {
    _ = try address()
    guard (certificate == nil) == (key == nil) else {
      throw ValidationError("--certificate and --key belong together: give both for wss://, or none for ws://")
    }
    if let maxConnections, !(1...100_000).contains(maxConnections) {
      throw ValidationError("--max-connections needs a number from 1 to 100000, not \(maxConnections)")
    }
    guard clientCa == nil || certificate != nil else {
      throw ValidationError("--client-ca needs --certificate and --key: clients show certificates over TLS only")
    }
  }

  private func security() throws(TLSServer.Failure) -> Receiver.Security? {
    guard let certificate, let key else { return nil }
    let server = try TLSServer(certificate: certificate, key: key, clientAuthorities: clientCa)
    return Receiver.Security(
      makeHandler: { server.makeHandler() }, asksForCertificates: server.asksForCertificates,
      clientName: { server.clientName(of: $0) })
  }

  private func address() throws -> ListenAddress {
    guard let address = ListenAddress(listen) else {
      throw ValidationError("--listen needs HOST:PORT, such as 127.0.0.1:8080 or [::1]:8080, not '\(listen)'")
    }
    return address
  }

  func run() async throws {
    let address = try address()
    let descriptors = ServeCommand.prepareProcess()
    do {
      let folder = try RecordingFolder(preparing: out)
      let security = try security()
      let tokens = try tokenFile.map { path throws(RecordingError) in try AccessTokens(readingFile: path) }
      let form = json ? .json : EventPrinter.formForStandardOutput
      let printer = EventPrinter(form)
      let interval: TimeAmount = if case .live = form { .milliseconds(250) } else { .seconds(1) }
      let receiver = Receiver(
        address: address, folder: folder, progressInterval: interval, security: security, tokens: tokens,
        limits: ServeCommand.limits(streams: maxConnections, descriptors: descriptors), emit: { printer.emit($0) })
      try await ServeCommand.serve(receiver, printer)
    } catch let error as RecordingError {
      try ServeCommand.fail(error.reason)
    } catch let error as ReceiverError {
      try ServeCommand.fail(error.reason)
    } catch let error as TLSServer.Failure {
      try ServeCommand.fail(error.reason)
    }
  }

  private static func limits(streams wanted: Int?, descriptors: Int) -> Receiver.Limits {
    var limits = Receiver.Limits()
    let streams = wanted ?? limits.streams
    limits.streams = min(streams, Receiver.Limits.streams(descriptors: descriptors))
    if wanted != nil, limits.streams < streams {
      complain(
        "serve",
        "WARNING: --max-connections is \(limits.streams) and not \(streams), because the limit on open files is "
          + "\(descriptors); raise it with 'ulimit -n' or LimitNOFILE=")
    }
    return limits
  }

  private static func serve(_ receiver: Receiver, _ printer: EventPrinter) async throws {
    let services = ServiceGroup(
      configuration: ServiceGroupConfiguration(
        services: [.init(service: receiver, successTerminationBehavior: .gracefullyShutdownGroup)],
        gracefulShutdownSignals: [.sigint, .sigterm],
        logger: Logger(label: "audiofork.serve") { _ in SwiftLogNoOpLogHandler() }))
    let printing = Task { await printer.run() }
    let result: Result<Void, any Error>
    do {
      result = .success(try await services.run())
    } catch {
      result = .failure(error)
    }
    printer.finish()
    // Whoever reads our output may have stopped to: then the rest of it is not worth an end that never comes.
    await wait(for: printing, atMost: .seconds(1))
    try result.get()
  }

  /// Returns when a task has ended, or when the time is over.
  private static func wait(for task: Task<Void, Never>, atMost limit: Duration) async {
    let (ends, continuation) = AsyncStream<Void>.makeStream()
    Task {
      await task.value
      continuation.yield()
    }
    Task {
      try? await Task.sleep(for: limit)
      continuation.yield()
    }
    for await _ in ends { return }
  }

  /// A reader of our output that goes away, and a limit on file sizes, must be errors of one write and not our end.
  /// Returns how many files may be open.
  private static func prepareProcess() -> Int {
    signal(SIGPIPE, SIG_IGN)
    signal(SIGXFSZ, SIG_IGN)
    var limit = rlimit()
    if getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 {
      limit.rlim_cur = limit.rlim_max
      setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    }
    return Int(clamping: limit.rlim_cur)
  }

  private static func fail(_ reason: String) throws {
    complain("serve", reason)
    throw ExitCode.failure
  }
}
