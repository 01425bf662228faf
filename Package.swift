// swift-tools-version: 6.2
// SPDX-License-Identifier: Apache-2.0
import PackageDescription

// Warnings are errors wherever CI is set; a user's newer compiler may know warnings that we don't.
let strict: [SwiftSetting] = Context.environment["CI"] != nil ? [.treatAllWarnings(as: .error)] : []
/// For the sanitizers (scripts/lab/sanitized): all but TLS, the program and the tests that need either, so that BoringSSL
/// need not be compiled once more for each of them. Dependencies stay, or Package.resolved would change to and fro.
let withoutTLS = Context.environment["AUDIOFORK_WITHOUT_TLS"] != nil
/// For scripts/lab/fuzz: the fuzzers too, and code that counts what an input reaches. The value is libFuzzer's path.
let fuzzer = Context.environment["AUDIOFORK_FUZZER"]
let counted: [SwiftSetting] = fuzzer != nil ? [.unsafeFlags(["-sanitize=fuzzer"])] : []
let common: [SwiftSetting] =
  [.enableUpcomingFeature("ExistentialAny"), .enableUpcomingFeature("InternalImportsByDefault"),
   .enableUpcomingFeature("MemberImportVisibility")] + strict + counted
/// The engine's rooms, as they are installed: who looks at thousands of forks 50 times a second cannot look up in a table at
/// each field whether somebody else is at it. The sanitized builds do, and so do their tests.
let unwatched: [SwiftSetting] =
  withoutTLS ? [] : [.unsafeFlags(["-enforce-exclusivity=unchecked"], .when(configuration: .release))]
/// Rooms where unsafe pointers may not be used without the word `unsafe` (docs/internals/ARCHITECTURE.md, "Rooms").
let safe: [SwiftSetting] = common + [.strictMemorySafety()]

let nioCore = Target.Dependency.product(name: "NIOCore", package: "swift-nio")
// Its locks are pthread's, which the thread sanitizer sees; the standard library's Mutex it does not.
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
  // The one room that knows TLS. The engine and the receiver are handed it, so that they can be built without.
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
      "AudioForkLink", "AudioForkOptions", "AudioForkReceiver", "AudioForkReference", "AudioForkRing", "AudioForkTLS",
      "CAudioForkProcess", arguments, logging, lifecycle, nioCore, signals,
    ], swiftSettings: common,
    // The programs carry the Swift runtime inside. Here and not as --static-swift-stdlib, because that would compile
    // everything a second time for the tests, which need the dynamic one.
    linkerSettings: [
      .unsafeFlags(["-static-stdlib"]), .linkedLibrary("_FoundationCShims"), .linkedLibrary("_FoundationCollections"),
    ]),
  .testTarget(
    name: "AudioForkTLSTests",
    dependencies: [
      "AudioForkEngine", "AudioForkEngineTestKit", "AudioForkLink", "AudioForkTLS", "AudioForkWebSocket", "AudioForkCore",
      "AudioForkTestKit", nioLocks, nioCore, nioEmbedded, nioPosix, nioHTTP1, nioSSL,
    ], swiftSettings: common),
  // What is done for each block, one step after the other, and a malloc that counts: in front of glibc's in the tests'
  // program. The sanitizers have a malloc of their own.
  .target(name: "CAllocationCount", path: "Benchmarks/CAllocationCount"),
  .target(
    name: "AudioForkSteps",
    dependencies: [
      "AudioForkCore", "AudioForkDialects", "AudioForkLink", "AudioForkOptions", "AudioForkResampling", "AudioForkRing",
      "AudioForkTap", "AudioForkTestKit", "AudioForkWebSocket", "CAudioForkABI", nioCore,
    ],
    path: "Benchmarks/Steps", swiftSettings: common),
  .testTarget(name: "AllocationTests", dependencies: ["AudioForkSteps", "CAllocationCount"], swiftSettings: common),
  .testTarget(
    name: "IntegrationTests",
    dependencies: ["AsteriskTestKit", "AudioForkTestKit", "AudioForkCore", "AudioForkOptions", "CAudioForkABI"],
    exclude: ["Fixtures"], swiftSettings: common),
]

let fuzzers: [Target] =
  fuzzer.map { library in
    [
      .target(name: "CLibFuzzer", path: "Fuzz/CLibFuzzer"),
      .executableTarget(
        name: "audiofork-fuzz",
        dependencies: [
          "CLibFuzzer", "AudioForkCore", "AudioForkDialects", "AudioForkEngine", "AudioForkLink", "AudioForkOptions", "AudioForkReceiver",
          "AudioForkResampling", "AudioForkRing", "AudioForkTap", "AudioForkWebSocket", "CAudioForkABI", nioCore, nioEmbedded,
          nioHTTP1, nioWebSocket,
        ],
        path: "Fuzz/Targets", swiftSettings: common,
        linkerSettings: [.unsafeFlags([library]), .linkedLibrary("stdc++")]),
    ]
  } ?? []

/// For scripts/lab/bench-micro: what single steps cost. A part of this package, since nothing of it is public.
let measures = Context.environment["AUDIOFORK_BENCHMARKS"] != nil
let benchmarks: [Target] =
  measures
  ? [
    .executableTarget(
      name: "audiofork-benchmarks", dependencies: ["AudioForkSteps", .product(name: "Benchmark", package: "benchmark")],
      path: "Benchmarks/Micro", swiftSettings: common, plugins: [.plugin(name: "BenchmarkPlugin", package: "benchmark")]),
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
    // What capture module and engine share: nothing of Asterisk, nothing of Swift.
    .target(name: "CAudioForkABI"),
    // System calls that Swift cannot make.
    .target(name: "CAudioForkProcess"),
    .target(name: "AudioForkOptions", swiftSettings: safe),
    .target(name: "AudioForkLink", dependencies: ["AudioForkOptions"], swiftSettings: safe),

    // The capture side. Module/Makefile compiles the same files as Embedded Swift into app_audiofork.so.
    .target(name: "AudioForkTap", dependencies: ["CAudioForkABI"], swiftSettings: common),

    // The engine side, bottom up.
    .systemLibrary(name: "CSpeexDSP", pkgConfig: "speexdsp", providers: [.apt(["libspeexdsp-dev"])]),
    .systemLibrary(name: "CSndfile", pkgConfig: "sndfile", providers: [.apt(["libsndfile1-dev"])]),
    .target(name: "AudioForkCore", swiftSettings: safe),
    .target(name: "AudioForkResampling", dependencies: ["AudioForkCore", "CSpeexDSP"], swiftSettings: common),
    .target(
      name: "AudioForkRing", dependencies: ["CAudioForkABI", "AudioForkCore", "AudioForkLink"], swiftSettings: common + unwatched),
    .target(name: "AudioForkDialects", dependencies: ["AudioForkCore", "AudioForkOptions"], swiftSettings: safe),
    .target(
      name: "AudioForkWebSocket",
      dependencies: ["AudioForkCore", nioCore, nioHTTP1, nioWebSocket], swiftSettings: safe + unwatched),
    .target(
      name: "AudioForkEngine",
      dependencies: [
        "AudioForkCore", "AudioForkLink", "AudioForkOptions", "AudioForkRing", "AudioForkResampling", "AudioForkDialects",
        "AudioForkWebSocket", "CAudioForkABI", "CAudioForkProcess", nioLocks, nioCore, nioPosix, signals,
      ], swiftSettings: common + unwatched),
    .target(
      name: "AudioForkReceiver",
      dependencies: [
        "AudioForkCore", "AudioForkDialects", "CSndfile", nioCore, nioPosix, nioHTTP1, nioWebSocket, lifecycle,
      ], swiftSettings: common),
    // The tables of AudioForkOptions as Asterisk's XML and as parts of the reference pages.
    .target(name: "AudioForkReference", dependencies: ["AudioForkOptions"], swiftSettings: safe),
    // The capture side once more, against a faked Asterisk: what Swift Testing and the sanitizers exercise.
    .target(
      name: "CAsterisk", dependencies: ["CAudioForkABI"], path: "Tests/CAsterisk",
      cSettings: [.define("_GNU_SOURCE")]),
    .target(
      name: "AudioForkCapture", dependencies: ["CAsterisk", "AudioForkLink", "AudioForkOptions", "AudioForkTap"],
      swiftSettings: strict),
    .testTarget(
      name: "AudioForkCaptureTests",
      dependencies: [
        "AudioForkCapture", "AudioForkLink", "AudioForkOptions", "CAsterisk", "AudioForkTap", "AudioForkRing", "AudioForkCore",
        "AudioForkTestKit",
      ],
      swiftSettings: common),

    // Tests and what they stand on. Never part of a product.
    .target(name: "AudioForkTestKit", dependencies: ["AudioForkCore"], swiftSettings: common),
    // A TCP proxy that does to connections what networks and servers do.
    .target(name: "AudioForkFaultKit", dependencies: [nioCore, nioPosix], swiftSettings: common),
    // The engine inside the test's process, calls for it and a server for them.
    .target(
      name: "AudioForkEngineTestKit",
      dependencies: [
        "AudioForkEngine", "AudioForkLink", "AudioForkWebSocket", "AudioForkTap", "AudioForkCore", "AudioForkTestKit",
        "CAudioForkABI", nioLocks,
        nioCore, nioPosix, nioHTTP1, nioWebSocket,
      ], swiftSettings: common),
    .target(name: "AsteriskTestKit", swiftSettings: common),
    // Calls under faults, and the account of what became of their audio: `make chaos` and its like.
    .target(
      name: "AudioForkProof",
      dependencies: [
        "AsteriskTestKit", "AudioForkTestKit", "AudioForkFaultKit", "AudioForkLink", "AudioForkTap", "AudioForkCore",
        "CAudioForkABI",
      ], swiftSettings: common),
    .executableTarget(
      name: "audiofork-proof", dependencies: ["AudioForkProof", arguments], swiftSettings: common),
    .testTarget(
      name: "AudioForkProofTests", dependencies: ["AsteriskTestKit", "AudioForkProof", "AudioForkCore"], swiftSettings: common),
    .testTarget(
      name: "AudioForkOptionsTests", dependencies: ["AudioForkOptions", "AudioForkReference"], swiftSettings: common),
    .testTarget(
      name: "AudioForkLinkTests", dependencies: ["AudioForkLink", "AudioForkOptions", "AudioForkTestKit"],
      swiftSettings: common),
    .testTarget(
      name: "AudioForkTapTests",
      dependencies: ["AudioForkLink", "AudioForkTap", "AudioForkRing", "AudioForkCore", "CAudioForkABI", "AudioForkTestKit"],
      swiftSettings: common),
    .testTarget(
      name: "AudioForkCoreTests",
      dependencies: ["AudioForkCore", "AudioForkResampling", "AudioForkTap", "CAudioForkABI", "AudioForkTestKit"],
      swiftSettings: common),
    .testTarget(
      name: "AudioForkEngineTests",
      dependencies: [
        "AudioForkEngine", "AudioForkLink", "AudioForkWebSocket", "AudioForkDialects", "AudioForkRing", "AudioForkTap",
        "AudioForkCore", "AudioForkOptions", "AudioForkTestKit", "AudioForkEngineTestKit", "AudioForkFaultKit",
        "CAudioForkABI", "CAudioForkProcess", nioLocks, nioCore, nioEmbedded, nioPosix, nioHTTP1, nioWebSocket,
      ],
      // It starts the program.
      exclude: withoutTLS ? ["EngineProcessRealTimeTests.swift"] : [], swiftSettings: common),
    .testTarget(
      name: "AudioForkReceiverTests",
      dependencies: [
        "AudioForkReceiver", "AudioForkCore", nioCore, nioHTTP1, nioWebSocket,
      ],
      // These start the program.
      exclude: withoutTLS
        ? [
          "ForkRecordingRealTimeTests.swift", "ServeCommandRealTimeTests.swift", "ServeSecurelyRealTimeTests.swift",
          "ServeStrangersRealTimeTests.swift",
          "Support/ServeProcess.swift",
        ] : [],
      swiftSettings: common),
  ] + (withoutTLS ? [] : targetsOfProgram) + fuzzers + benchmarks,
  swiftLanguageModes: [.v6],
  cLanguageStandard: .gnu11
)
