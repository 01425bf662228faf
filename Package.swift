// swift-tools-version: 6.2
// SPDX-License-Identifier: Apache-2.0
import PackageDescription

// Environment variables that change this package. Package traits cannot replace them: a trait switches settings and
// dependencies of a target, and these add and remove targets.
//
//   CI                     Warnings are errors. Not for users: a newer compiler may know warnings that we don't.
//   AUDIOFORK_WITHOUT_TLS  Leaves out TLS, the programs and the tests that need either. scripts/lab/sanitized sets it,
//                          so that BoringSSL is not compiled once more for each sanitizer. The package dependencies
//                          stay, because Package.resolved would otherwise change each time.
//   AUDIOFORK_FUZZER       Adds the fuzzers and makes code count what an input reaches. The value is the path of
//                          libFuzzer. Set by scripts/lab/fuzz.
//   AUDIOFORK_BENCHMARKS   Adds the micro-benchmarks and the package that they need. Set by scripts/lab/bench-micro.
//                          They are in this package because nothing of it is public.
let isCI = Context.environment["CI"] != nil
let withoutTLS = Context.environment["AUDIOFORK_WITHOUT_TLS"] != nil
let fuzzer = Context.environment["AUDIOFORK_FUZZER"]
let measures = Context.environment["AUDIOFORK_BENCHMARKS"] != nil

let strict: [SwiftSetting] = isCI ? [.treatAllWarnings(as: .error)] : []
let counted: [SwiftSetting] = fuzzer != nil ? [.unsafeFlags(["-sanitize=fuzzer"])] : []
let common: [SwiftSetting] =
  [
    .enableUpcomingFeature("ExistentialAny"), .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
  ] + strict + counted
/// For the engine's hot path in release builds: without the runtime's checks for overlapping access to a property. Each
/// costs a look-up, for each property of thousands of forks, 50 times a second. Debug and sanitized builds check.
let noExclusivityChecks: [SwiftSetting] =
  withoutTLS ? [] : [.unsafeFlags(["-enforce-exclusivity=unchecked"], .when(configuration: .release))]
/// Rooms where unsafe pointers may not be used without the word `unsafe` (docs/internals/ARCHITECTURE.md, "Rooms").
let safe: [SwiftSetting] = common + [.strictMemorySafety()]

let nioCore = Target.Dependency.product(name: "NIOCore", package: "swift-nio")
// NIO's locks are pthread's. The thread sanitizer knows those and does not know the standard library's Mutex.
let nioLocks = Target.Dependency.product(name: "NIOConcurrencyHelpers", package: "swift-nio")
let nioPosix = Target.Dependency.product(name: "NIOPosix", package: "swift-nio")
let nioHTTP1 = Target.Dependency.product(name: "NIOHTTP1", package: "swift-nio")
let nioWebSocket = Target.Dependency.product(name: "NIOWebSocket", package: "swift-nio")
let nioEmbedded = Target.Dependency.product(name: "NIOEmbedded", package: "swift-nio")
let nioTLS = Target.Dependency.product(name: "NIOTLS", package: "swift-nio")
let nioSSL = Target.Dependency.product(name: "NIOSSL", package: "swift-nio-ssl")
let logging = Target.Dependency.product(name: "Logging", package: "swift-log")
let lifecycle = Target.Dependency.product(name: "ServiceLifecycle", package: "swift-service-lifecycle")
let signals = Target.Dependency.product(name: "UnixSignals", package: "swift-service-lifecycle")
let arguments = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")

// The programs and what needs TLS.
let targetsOfProgram: [Target] = [
  // The only target that knows TLS. The programs pass it to the engine and the receiver, which build without it.
  .target(
    name: "AudioForkTLS",
    dependencies: ["AudioForkWebSocket", nioCore, nioPosix, nioTLS, nioSSL],
    swiftSettings: common),
  // What Asterisk starts: neither ArgumentParser, nor Foundation, nor libsndfile.
  .executableTarget(
    name: "audiofork-engine", dependencies: ["AudioForkEngine", "AudioForkTLS"], swiftSettings: common,
    linkerSettings: [.unsafeFlags(["-static-stdlib"])]),
  .executableTarget(
    name: "audiofork",
    dependencies: [
      "AudioForkBytes", "AudioForkLink", "AudioForkSurface", "AudioForkReceiver", "AudioForkReference", "AudioForkRing",
      "AudioForkTLS", "CAudioForkProcess", arguments, logging, lifecycle, nioCore, signals,
    ], exclude: ["Reference"], swiftSettings: common,
    // The programs carry the Swift runtime inside. Here and not as --static-swift-stdlib, because that would compile
    // everything a second time for the tests, which need the dynamic one.
    linkerSettings: [
      .unsafeFlags(["-static-stdlib"]), .linkedLibrary("_FoundationCShims"), .linkedLibrary("_FoundationCollections"),
    ]),
  .testTarget(
    name: "AudioForkTLSTests",
    dependencies: [
      "AudioForkEngine", "AudioForkEngineTestKit", "AudioForkLink", "AudioForkTLS", "AudioForkWebSocket",
      "AudioForkMedia", "AudioForkTestKit", "AudioForkWireTestKit", nioLocks, nioCore, nioEmbedded, nioPosix,
      nioHTTP1, nioSSL,
    ], swiftSettings: common),
  // What is done for each block, one step after the other, and a malloc that counts: in front of glibc's in the tests'
  // program. The sanitizers have a malloc of their own.
  .target(name: "CAllocationCount", path: "Benchmarks/CAllocationCount"),
  .target(
    name: "AudioForkSteps",
    dependencies: [
      "AudioForkMedia", "AudioForkDialects", "AudioForkLink", "AudioForkSurface", "AudioForkResampling",
      "AudioForkRing", "AudioForkTap", "AudioForkTestKit", "AudioForkWebSocket", "CAudioForkABI", nioCore,
    ],
    path: "Benchmarks/Steps", swiftSettings: common),
  .testTarget(name: "AllocationTests", dependencies: ["AudioForkSteps", "CAllocationCount"], swiftSettings: common),
  .testTarget(
    name: "IntegrationTests",
    dependencies: [
      "AsteriskTestKit", "AudioForkTestKit", "AudioForkBytes", "AudioForkMedia", "AudioForkSurface", "CAudioForkABI",
    ],
    swiftSettings: common),
]

let fuzzers: [Target] =
  fuzzer.map { library in
    [
      .target(name: "CLibFuzzer", path: "Fuzz/CLibFuzzer"),
      .executableTarget(
        name: "audiofork-fuzz",
        dependencies: [
          "CLibFuzzer", "AudioForkBytes", "AudioForkMedia", "AudioForkDialects", "AudioForkEngine", "AudioForkLink",
          "AudioForkSurface", "AudioForkReceiver", "AudioForkResampling", "AudioForkRing", "AudioForkTap",
          "AudioForkWebSocket", "CAudioForkABI", nioCore, nioEmbedded, nioHTTP1, nioWebSocket,
        ],
        path: "Fuzz/Targets", swiftSettings: common,
        linkerSettings: [.unsafeFlags([library]), .linkedLibrary("stdc++")]),
    ]
  } ?? []

// What single steps cost.
let benchmarks: [Target] =
  measures
  ? [
    .executableTarget(
      name: "audiofork-benchmarks",
      dependencies: ["AudioForkSteps", .product(name: "Benchmark", package: "benchmark")],
      path: "Benchmarks/Micro", swiftSettings: common, plugins: [.plugin(name: "BenchmarkPlugin", package: "benchmark")]
    )
  ] : []

let package = Package(
  name: "audiofork",
  products: withoutTLS
    ? []
    : [
      .executable(name: "audiofork-engine", targets: ["audiofork-engine"]),
      .executable(name: "audiofork", targets: ["audiofork"]),
    ],
  dependencies: [
    // One line of reasoning for each: docs/decisions/0002-dependencies.md.
    .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
    .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
  ] + (measures ? [.package(url: "https://github.com/ordo-one/benchmark", from: "1.38.1", traits: [])] : []),
  targets: [
    // Module and engine both use these. Module/Makefile compiles Bytes, Surface, Link, Tap and Capture again as
    // Embedded Swift.
    .target(name: "CAudioForkABI"),
    .target(name: "AudioForkBytes", swiftSettings: safe),
    .target(name: "AudioForkSurface", dependencies: ["AudioForkBytes"], swiftSettings: safe),
    .target(name: "AudioForkLink", dependencies: ["AudioForkBytes", "AudioForkSurface"], swiftSettings: safe),

    // The capture side: writes the ring.
    .target(name: "AudioForkTap", dependencies: ["CAudioForkABI"], swiftSettings: common),

    // The engine side, bottom up. First: system calls that Swift cannot make.
    .target(name: "CAudioForkProcess"),
    .systemLibrary(name: "CSpeexDSP", pkgConfig: "speexdsp", providers: [.apt(["libspeexdsp-dev"])]),
    .systemLibrary(name: "CSndfile", pkgConfig: "sndfile", providers: [.apt(["libsndfile1-dev"])]),
    .target(name: "AudioForkMedia", dependencies: ["AudioForkBytes"], swiftSettings: safe),
    .target(name: "AudioForkResampling", dependencies: ["AudioForkMedia", "CSpeexDSP"], swiftSettings: common),
    .target(
      name: "AudioForkRing", dependencies: ["CAudioForkABI", "AudioForkBytes", "AudioForkMedia", "AudioForkLink"],
      swiftSettings: common + noExclusivityChecks),
    .target(
      name: "AudioForkDialects", dependencies: ["AudioForkBytes", "AudioForkMedia", "AudioForkSurface"],
      swiftSettings: safe),
    .target(
      name: "AudioForkWebSocket",
      dependencies: ["AudioForkBytes", "AudioForkMedia", "AudioForkSurface", nioCore, nioHTTP1, nioWebSocket],
      swiftSettings: safe + noExclusivityChecks),
    .target(
      name: "AudioForkEngine",
      dependencies: [
        "AudioForkBytes", "AudioForkMedia", "AudioForkLink", "AudioForkSurface", "AudioForkRing",
        "AudioForkResampling", "AudioForkDialects", "AudioForkWebSocket", "CAudioForkABI", "CAudioForkProcess",
        nioLocks, nioCore, nioPosix, signals,
      ], swiftSettings: common + noExclusivityChecks),
    .target(
      name: "AudioForkReceiver",
      dependencies: [
        "AudioForkBytes", "AudioForkMedia", "AudioForkDialects", "AudioForkSurface", "AudioForkWebSocket", "CSndfile",
        nioCore, nioPosix,
        nioHTTP1, nioWebSocket, lifecycle,
      ], swiftSettings: common),
    // Part of the program audiofork: prints the tables of AudioForkSurface as Asterisk's XML and as parts of the
    // reference pages. A target of its own, because tests cannot link a program that contains the Swift runtime.
    .target(
      name: "AudioForkReference", dependencies: ["AudioForkBytes", "AudioForkSurface"],
      path: "Sources/audiofork/Reference",
      swiftSettings: safe),
    // The capture side a second time, compiled against a fake Asterisk. It exists only for tests and sanitizers: the
    // module itself is built by Module/Makefile.
    .target(
      name: "CAsterisk", dependencies: ["CAudioForkABI"], path: "Testing/CAsterisk",
      cSettings: [.define("_GNU_SOURCE")]),
    .target(
      name: "AudioForkCapture",
      dependencies: ["CAsterisk", "AudioForkBytes", "AudioForkLink", "AudioForkSurface", "AudioForkTap"],
      swiftSettings: strict),
    .testTarget(
      name: "AudioForkCaptureTests",
      dependencies: [
        "AudioForkBytes", "AudioForkCapture", "AudioForkLink", "AudioForkSurface", "CAsterisk", "AudioForkTap",
        "AudioForkRing", "AudioForkMedia", "AudioForkTestKit",
      ],
      swiftSettings: common),

    // Tests and their tools. Never part of a product.
    .target(
      name: "AudioForkTestKit", dependencies: ["AudioForkMedia"], path: "Testing/AudioForkTestKit",
      swiftSettings: common),
    // A TCP proxy that delays, cuts and stalls connections, as networks and servers do.
    .target(
      name: "AudioForkFaultKit", dependencies: [nioCore, nioPosix], path: "Testing/AudioForkFaultKit",
      swiftSettings: common),
    // A server of WebSocket's bytes that shares no code with what it judges.
    .target(
      name: "AudioForkWireTestKit", dependencies: ["AudioForkTestKit", "CAudioForkABI", nioCore],
      path: "Testing/AudioForkWireTestKit", swiftSettings: common),
    // A capture side and a reader that race on a ring.
    .target(
      name: "AudioForkRingTestKit",
      dependencies: [
        "AudioForkLink", "AudioForkTap", "AudioForkRing", "AudioForkMedia", "AudioForkTestKit", "CAudioForkABI",
      ], path: "Testing/AudioForkRingTestKit", swiftSettings: common),
    // Runs the engine inside the test's process, with calls and a server.
    .target(
      name: "AudioForkEngineTestKit",
      dependencies: [
        "AudioForkEngine", "AudioForkLink", "AudioForkWebSocket", "AudioForkTap", "AudioForkMedia", "AudioForkTestKit",
        "AudioForkWireTestKit", "CAudioForkABI", nioLocks, nioCore, nioPosix, nioHTTP1, nioWebSocket,
      ], path: "Testing/AudioForkEngineTestKit", swiftSettings: common),
    .target(
      name: "AsteriskTestKit", dependencies: ["AudioForkTestKit"], path: "Testing/AsteriskTestKit",
      swiftSettings: common),
    // Calls under faults, and an account of their audio: `make chaos`, `make kills`, `make soak`, `make jitter`.
    .target(
      name: "AudioForkProof",
      dependencies: ["AsteriskTestKit", "AudioForkTestKit", "AudioForkFaultKit", "AudioForkMedia"],
      path: "Proof/AudioForkProof", swiftSettings: common),
    // What forks cost: `make bench`, `make bench-quick`, `make bench-hostile`.
    .target(
      name: "AudioForkBench",
      dependencies: [
        "AsteriskTestKit", "AudioForkTestKit", "AudioForkLink", "AudioForkTap", "AudioForkMedia", "CAudioForkABI",
      ], path: "Benchmarks/AudioForkBench", swiftSettings: common),
    .executableTarget(
      name: "audiofork-proof", dependencies: ["AudioForkBench", "AudioForkProof", arguments],
      path: "Proof/audiofork-proof", swiftSettings: common),
    .testTarget(
      name: "AudioForkProofTests", dependencies: ["AsteriskTestKit", "AudioForkProof", "AudioForkMedia"],
      swiftSettings: common),
    .testTarget(name: "AudioForkBenchTests", dependencies: ["AudioForkBench"], swiftSettings: common),
    .testTarget(name: "AudioForkBytesTests", dependencies: ["AudioForkBytes"], swiftSettings: common),
    .testTarget(
      name: "AudioForkSurfaceTests", dependencies: ["AudioForkBytes", "AudioForkSurface", "AudioForkReference"],
      swiftSettings: common),
    .testTarget(
      name: "AudioForkLinkTests",
      dependencies: ["AudioForkBytes", "AudioForkLink", "AudioForkSurface", "AudioForkTestKit"],
      swiftSettings: common),
    .testTarget(
      name: "AudioForkTapTests",
      dependencies: [
        "AudioForkTap", "AudioForkRing", "AudioForkRingTestKit", "AudioForkMedia", "CAudioForkABI", "AudioForkTestKit",
      ], swiftSettings: common),
    .testTarget(
      name: "AudioForkRingTests",
      dependencies: [
        "AudioForkLink", "AudioForkTap", "AudioForkRing", "AudioForkRingTestKit", "AudioForkMedia", "CAudioForkABI",
        "AudioForkTestKit",
      ], swiftSettings: common),
    .testTarget(
      name: "AudioForkMediaTests",
      dependencies: ["AudioForkMedia", "AudioForkResampling", "AudioForkTap", "CAudioForkABI", "AudioForkTestKit"],
      swiftSettings: common),
    .testTarget(
      name: "AudioForkDialectsTests",
      dependencies: [
        "AudioForkBytes", "AudioForkDialects", "AudioForkMedia", "AudioForkResampling", "AudioForkSurface",
        "AudioForkTestKit",
      ],
      // The tests read them by their path.
      exclude: ["Transcripts"], swiftSettings: common),
    .testTarget(
      name: "AudioForkWebSocketTests",
      dependencies: [
        "AudioForkWebSocket", "AudioForkMedia", "AudioForkSurface", "AudioForkTestKit", "AudioForkWireTestKit", nioCore,
        nioEmbedded, nioPosix, nioHTTP1, nioWebSocket,
      ], swiftSettings: common),
    .testTarget(
      name: "AudioForkFaultKitTests",
      dependencies: ["AudioForkFaultKit", "AudioForkWireTestKit", nioCore, nioPosix], swiftSettings: common),
    .testTarget(
      name: "AudioForkEngineTests",
      dependencies: [
        "AudioForkBytes", "AudioForkEngine", "AudioForkLink", "AudioForkWebSocket", "AudioForkDialects",
        "AudioForkRing", "AudioForkTap",
        "AudioForkMedia", "AudioForkSurface", "AudioForkTestKit", "AudioForkEngineTestKit", "AudioForkFaultKit",
        "AudioForkWireTestKit", "CAudioForkABI", "CAudioForkProcess", nioLocks, nioCore, nioEmbedded, nioPosix,
        nioHTTP1, nioWebSocket,
      ],
      // These start a program.
      exclude: withoutTLS ? ["ConfinementRealTimeTests.swift", "EngineProcessRealTimeTests.swift"] : [],
      swiftSettings: common),
    .testTarget(
      name: "AudioForkReceiverTests",
      dependencies: [
        "AudioForkBytes", "AudioForkReceiver", "AudioForkMedia", "AudioForkDialects", "AudioForkSurface",
        "AudioForkTestKit",
        "AudioForkWebSocket", nioCore, nioHTTP1, nioWebSocket,
      ],
      // These start a program.
      exclude: withoutTLS
        ? [
          "ForkRecordingRealTimeTests.swift", "ReportCommandRealTimeTests.swift", "ServeCommandRealTimeTests.swift",
          "ServeSecurelyRealTimeTests.swift",
          "ServeStrangersRealTimeTests.swift",
          "Support/ServeProcess.swift",
        ] : [],
      swiftSettings: common),
  ] + (withoutTLS ? [] : targetsOfProgram) + fuzzers + benchmarks,
  swiftLanguageModes: [.v6],
  cLanguageStandard: .gnu11
)
