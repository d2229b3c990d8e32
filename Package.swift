// swift-tools-version: 6.2
import PackageDescription

// The list of targets, and the only list of allowed arrows. The number in a comment is the layer: a target
// imports targets with a smaller number, and nothing else of ours (docs/ARCHITECTURE.md).

let common: [SwiftSetting] = [.treatAllWarnings(as: .error)]

/// A target is one unit for LLVM too, and small functions of other targets are inlined: a request runs through dozens of
/// small functions, and this takes a tenth of its instructions away.
let optimisedAsOne: SwiftSetting = .unsafeFlags(
    ["-Xfrontend", "-enable-single-module-llvm-emission", "-cross-module-optimization"],
    .when(configuration: .release))

/// The data plane: every use of memory that the compiler cannot check is spelled `unsafe`.
let dataPlane: [SwiftSetting] =
    common + [.strictMemorySafety(), .enableExperimentalFeature("Lifetimes"), optimisedAsOne]

func pure(
    _ name: String, in folder: String, _ dependencies: [Target.Dependency] = [], exclude: [String] = [],
    also settings: [SwiftSetting] = []
) -> Target {
    .target(
        name: name, dependencies: dependencies, path: "Sources/\(folder)/\(name)", exclude: exclude,
        swiftSettings: dataPlane + settings)
}

func control(_ name: String, in folder: String, _ dependencies: [Target.Dependency] = []) -> Target {
    .target(name: name, dependencies: dependencies, path: "Sources/\(folder)/\(name)", swiftSettings: common)
}

func command(
    _ name: String, in folder: String = "Sources/Commands", _ dependencies: [Target.Dependency],
    settings: [SwiftSetting] = common
) -> Target {
    .executableTarget(
        name: name, dependencies: dependencies, path: "\(folder)/\(name)", swiftSettings: settings)
}

func tests(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .testTarget(
        name: "\(name)Tests", dependencies: dependencies, path: "Tests/\(name)Tests", swiftSettings: common)
}

let systemTargets: [Target] = [
    .target(name: "CLinux", path: "Sources/System/CLinux"),  // 0
    .target(
        name: "CRE2", path: "Sources/System/CRE2", linkerSettings: [.linkedLibrary("re2")]),  // 0
    .systemLibrary(
        name: "COpenSSL", path: "Sources/System/COpenSSL", pkgConfig: "openssl",
        providers: [.apt(["libssl-dev"])]),  // 0
    .systemLibrary(
        name: "CNGHTTP2", path: "Sources/System/CNGHTTP2", pkgConfig: "libnghttp2",
        providers: [.apt(["libnghttp2-dev"])]),  // 0
    .systemLibrary(
        name: "CYAML", path: "Sources/System/CYAML", pkgConfig: "yaml-0.1", providers: [.apt(["libyaml-dev"])]
    ),  // 0
    .systemLibrary(
        name: "CCAres", path: "Sources/System/CCAres", pkgConfig: "libcares",
        providers: [.apt(["libc-ares-dev"])]),  // 0
    pure("MeshPrimitives", in: "System"),  // 0
    pure("Reactor", in: "System", ["CLinux", "MeshPrimitives"]),  // 1
    pure("RegularExpressions", in: "System", ["CRE2", "MeshPrimitives"]),  // 1
    pure("Simulation", in: "System", ["MeshPrimitives", "Reactor"]),  // 2
]

let protocolTargets: [Target] = [
    pure(
        "HTTPModel", in: "Protocols", ["MeshPrimitives"],
        also: [.enableExperimentalFeature("AddressableParameters")]),  // 1
    pure("TLSEngine", in: "Protocols", ["COpenSSL", "MeshPrimitives"]),  // 1
    pure("HTTP1Codec", in: "Protocols", ["HTTPModel", "MeshPrimitives"]),  // 2
    pure("HTTP2Codec", in: "Protocols", ["CNGHTTP2", "HTTPModel", "MeshPrimitives"]),  // 2
]

let policyAndModelTargets: [Target] = [
    pure(
        "TrafficPolicy", in: "Policy", ["MeshPrimitives"],
        also: [.enableExperimentalFeature("AddressableParameters")]),  // 1
    pure("MeshModel", in: "Model", ["MeshPrimitives", "TrafficPolicy"]),  // 3
    pure("XDSSchema", in: "Model", ["CYAML"], exclude: ["Generator", "Protos"]),  // 0
    pure(
        "XDSDiscovery", in: "Model",
        [
            "MeshModel", "MeshPrimitives", "RegularExpressions", "Telemetry", "TrafficPolicy", "XDSSchema",
        ]),  // 4
]

let dataPlaneTargets: [Target] = [
    pure(
        "Telemetry", in: "DataPlane", ["HTTPModel", "MeshPrimitives", "TrafficPolicy"],
        also: [.enableExperimentalFeature("AddressableParameters")]),  // 2
    pure(
        "Proxy", in: "DataPlane",
        [
            "HTTP1Codec", "HTTP2Codec", "HTTPModel", "MeshModel", "MeshPrimitives", "Reactor",
            "RegularExpressions", "TLSEngine", "Telemetry", "TrafficPolicy",
        ], also: [.enableExperimentalFeature("AddressableParameters")]),  // 5
    pure(
        "ProxyAdmin", in: "DataPlane",
        [
            "HTTP1Codec", "HTTPModel", "MeshModel", "MeshPrimitives", "Proxy", "Reactor", "TLSEngine",
            "Telemetry", "TrafficPolicy", "XDSClient", "XDSDiscovery", "XDSSchema",
        ]),  // 6
    pure(
        "XDSClient", in: "DataPlane",
        [
            "HTTP2Codec", "HTTPModel", "MeshModel", "MeshPrimitives", "Reactor", "TLSEngine", "XDSDiscovery",
            "XDSSchema",
        ]),  // 5
    pure(
        "HealthChecks", in: "DataPlane",
        [
            "HTTP1Codec", "HTTP2Codec", "HTTPModel", "MeshModel", "MeshPrimitives", "Reactor", "TLSEngine",
            "Telemetry", "TrafficPolicy", "XDSClient",
        ]),  // 6
    pure(
        "TraceExport", in: "DataPlane",
        [
            "HTTP1Codec", "HTTP2Codec", "HTTPModel", "MeshModel", "MeshPrimitives", "Reactor", "Telemetry",
            "XDSClient",
        ]),  // 6
    pure(
        "QuotaClient", in: "DataPlane",
        ["MeshModel", "MeshPrimitives", "Proxy", "Reactor", "TrafficPolicy", "XDSClient"]),  // 6
    pure(
        "NameResolution", in: "DataPlane",
        ["CCAres", "MeshModel", "MeshPrimitives", "Reactor", "XDSClient"]),  // 6
]

let swiftProtobuf: Target.Dependency = .product(name: "SwiftProtobuf", package: "swift-protobuf")
let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")
let x509: Target.Dependency = .product(name: "X509", package: "swift-certificates")
let crypto: Target.Dependency = .product(name: "Crypto", package: "swift-crypto")
let swiftASN1: Target.Dependency = .product(name: "SwiftASN1", package: "swift-asn1")
let argumentParser: Target.Dependency = .product(name: "ArgumentParser", package: "swift-argument-parser")
let grpcCore: Target.Dependency = .product(name: "GRPCCore", package: "grpc-swift-2")
let grpcTransport: Target.Dependency = .product(
    name: "GRPCNIOTransportHTTP2", package: "grpc-swift-nio-transport")
let certificateReloading: Target.Dependency = .product(
    name: "NIOCertificateReloading", package: "swift-nio-extras")
let nioSSL: Target.Dependency = .product(name: "NIOSSL", package: "swift-nio-ssl")
let hummingbird: Target.Dependency = .product(name: "Hummingbird", package: "hummingbird")
let hummingbirdTesting: Target.Dependency = .product(name: "HummingbirdTesting", package: "hummingbird")
let serviceLifecycle: Target.Dependency = .product(
    name: "ServiceLifecycle", package: "swift-service-lifecycle")

let controlPlaneTargets: [Target] = [
    control("AdminAPI", in: "ControlPlane"),  // 0
    control("XDSMessages", in: "ControlPlane", [swiftProtobuf]),  // 0
    control("MeshConfig", in: "ControlPlane", ["AdminAPI", "CYAML", "RegularExpressions"]),  // 4
    control("CertificateAuthority", in: "ControlPlane", [crypto, swiftASN1, x509]),  // 4
    control("ResourceStore", in: "ControlPlane", ["MeshConfig", crypto, logging]),  // 5
    control("ConfigCompiler", in: "ControlPlane", ["MeshConfig", "XDSMessages", crypto, swiftProtobuf]),  // 5
    control("Fleet", in: "ControlPlane", ["AdminAPI", "ConfigCompiler"]),  // 6
    control(
        "DiscoveryServer", in: "ControlPlane",
        [
            "AdminAPI", "CertificateAuthority", "ConfigCompiler", "Fleet", "MeshConfig", "MeshPrimitives",
            "TrafficPolicy",
            "XDSMessages", certificateReloading,
            grpcCore, grpcTransport, logging, nioSSL, swiftProtobuf, x509,
        ]),  // 6
    control(
        "ControlAPI", in: "ControlPlane",
        [
            "AdminAPI", "CertificateAuthority", "ConfigCompiler", "Fleet", "MeshConfig", "ResourceStore",
            crypto,
            hummingbird, logging,
        ]),  // 6
]

let commandTargets: [Target] = [
    command(
        "MartletProxy",
        [
            "HTTP2Codec", "HTTPModel", "HealthChecks", "MeshModel", "MeshPrimitives", "NameResolution",
            "Proxy", "ProxyAdmin", "QuotaClient", "Reactor", "TLSEngine", "Telemetry", "TraceExport",
            "TrafficPolicy", "XDSClient", "XDSDiscovery", "XDSSchema",
        ], settings: dataPlane),  // 7
    command(
        "MartletControl",
        [
            "AdminAPI", "CertificateAuthority", "ConfigCompiler", "ControlAPI", "DiscoveryServer", "Fleet",
            "MeshConfig", "ResourceStore", argumentParser, logging, serviceLifecycle,
        ]),  // 7
    command("MartletCLI", ["AdminAPI", "MeshConfig", "ResourceStore", argumentParser]),  // 7
    command("DemoServices", ["MeshPrimitives"]),  // 7
    command(
        "MartletLoad", in: "Benchmarks", ["HTTP1Codec", "HTTPModel", "MeshPrimitives", "Reactor"],
        settings: dataPlane),  // 7
]

let testTargets: [Target] = [
    .target(name: "TestSupport", path: "Tests/TestSupport", swiftSettings: common),
    .target(
        name: "TLSTestSupport", dependencies: ["COpenSSL", "TestSupport"], path: "Tests/TLSTestSupport",
        swiftSettings: common),
    tests("MeshPrimitives", ["MeshPrimitives"]),
    tests("Reactor", ["MeshPrimitives", "Reactor", "Simulation"]),
    tests("RegularExpressions", ["MeshPrimitives", "RegularExpressions"]),
    tests("HTTPModel", ["HTTPModel", "MeshPrimitives"]),
    tests("HTTP1Codec", ["HTTP1Codec", "HTTPModel", "MeshPrimitives"]),
    tests("HTTP2Codec", ["HTTP2Codec", "HTTPModel", "MeshPrimitives"]),
    tests("TLSEngine", ["COpenSSL", "MeshPrimitives", "TLSEngine", "TLSTestSupport", "TestSupport"]),
    tests("TrafficPolicy", ["MeshPrimitives", "TrafficPolicy"]),
    tests("Telemetry", ["AdminAPI", "HTTPModel", "MeshPrimitives", "Telemetry", "TrafficPolicy"]),
    tests("XDSSchema", ["XDSSchema"]),
    tests("XDSDiscovery", ["MeshModel", "MeshPrimitives", "TrafficPolicy", "XDSDiscovery", "XDSSchema"]),
    tests(
        "XDSClient",
        [
            "HTTP2Codec", "HTTPModel", "MeshModel", "MeshPrimitives", "Reactor", "Simulation", "TLSEngine",
            "TLSTestSupport", "TestSupport", "XDSClient", "XDSDiscovery", "XDSSchema",
        ]),
    tests(
        "HealthChecks",
        [
            "HealthChecks", "MeshModel", "MeshPrimitives", "Reactor", "Telemetry", "TrafficPolicy",
            "XDSClient",
        ]),
    tests(
        "QuotaClient",
        [
            "HTTP2Codec", "HTTPModel", "MeshModel", "MeshPrimitives", "Proxy", "QuotaClient", "Reactor",
            "TestSupport", "TrafficPolicy", "XDSClient",
        ]),
    tests("NameResolution", ["MeshModel", "MeshPrimitives", "NameResolution", "Reactor", "XDSClient"]),
    tests(
        "TraceExport",
        [
            "HTTPModel", "MeshModel", "MeshPrimitives", "Reactor", "Telemetry", "TestSupport", "TraceExport",
            "XDSClient",
        ]),
    tests(
        "ProxyAdmin",
        [
            "HTTPModel", "MartletProxy", "MeshModel", "MeshPrimitives", "Proxy", "ProxyAdmin", "Reactor",
            "Telemetry", "TrafficPolicy", "XDSClient", "XDSDiscovery", "XDSSchema",
        ]),
    tests(
        "Proxy",
        [
            "HTTP1Codec", "HTTPModel", "MeshModel", "MeshPrimitives", "Proxy", "Reactor", "Simulation",
            "Telemetry",
            "TestSupport", "TrafficPolicy",
        ]),
    tests("MeshConfig", ["MeshConfig", "TestSupport"]),
    tests("CertificateAuthority", ["CertificateAuthority", crypto, swiftASN1, x509]),
    tests("ConfigCompiler", ["ConfigCompiler", "MeshConfig", "XDSMessages"]),
    tests("ResourceStore", ["MeshConfig", "ResourceStore", logging]),
    tests("Fleet", ["AdminAPI", "ConfigCompiler", "Fleet"]),
    tests(
        "DiscoveryServer",
        [
            "AdminAPI", "ConfigCompiler", "DiscoveryServer", "MeshConfig", "MeshModel", "MeshPrimitives",
            "TrafficPolicy", "XDSDiscovery", "XDSMessages", "XDSSchema", crypto, grpcCore, grpcTransport,
            logging,
        ]),
    tests(
        "ControlAPI",
        [
            "AdminAPI", "CertificateAuthority", "ConfigCompiler", "ControlAPI", "Fleet", "MeshConfig",
            "ResourceStore",
            hummingbird, hummingbirdTesting, logging,
        ]),
    tests(
        "Simulation",
        ["HTTPModel", "MeshModel", "MeshPrimitives", "Proxy", "Reactor", "Simulation", "TrafficPolicy"]),
    .testTarget(
        name: "SystemTests", dependencies: ["TestSupport"], path: "Tests/SystemTests", exclude: ["peers"],
        swiftSettings: common),
    tests("Tidy", ["TestSupport"]),
]

var targets =
    systemTargets + protocolTargets + policyAndModelTargets + dataPlaneTargets + controlPlaneTargets
    + commandTargets + testTargets
var dependencies: [Package.Dependency] = [
    .package(url: "https://github.com/apple/swift-argument-parser.git", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-asn1.git", from: "1.7.4"),
    .package(url: "https://github.com/apple/swift-certificates.git", from: "1.21.1"),
    .package(url: "https://github.com/apple/swift-crypto.git", from: "4.5.2"),
    .package(url: "https://github.com/apple/swift-log.git", from: "1.16.2"),
    .package(url: "https://github.com/apple/swift-nio-extras.git", from: "1.35.2"),
    .package(url: "https://github.com/apple/swift-nio-ssl.git", from: "2.37.6"),
    .package(url: "https://github.com/apple/swift-protobuf.git", from: "1.39.0"),
    .package(url: "https://github.com/grpc/grpc-swift-2.git", from: "2.4.3"),
    .package(url: "https://github.com/grpc/grpc-swift-nio-transport.git", from: "2.9.2"),
    .package(url: "https://github.com/hummingbird-project/hummingbird.git", from: "2.28.1"),
    .package(url: "https://github.com/swift-server/swift-service-lifecycle.git", from: "2.13.0"),
]
var products: [Product] = [
    .executable(name: "martlet-proxy", targets: ["MartletProxy"]),
    .executable(name: "martlet-control", targets: ["MartletControl"]),
    .executable(name: "martlet", targets: ["MartletCLI"]),
    .executable(name: "martlet-demo-service", targets: ["DemoServices"]),
    .executable(name: "martlet-load", targets: ["MartletLoad"]),
]

// `MARTLET_TARGETS=ProxyTests,HTTP1CodecTests swift test` builds these targets and what they stand on, and nothing
// else: without it `swift test` builds the control plane and its packages first, which takes minutes.
if let chosen = Context.environment["MARTLET_TARGETS"] {
    var wanted = Set(chosen.split(separator: ",").map(String.init))
    var usesPackages = false
    var queue = Array(wanted)
    while let name = queue.popLast() {
        guard let target = targets.first(where: { $0.name == name }) else { fatalError("no target \(name)") }
        for dependency in target.dependencies {
            switch dependency {
            case .byNameItem(let other, _), .targetItem(let other, _):
                if wanted.insert(other).inserted { queue.append(other) }
            case .productItem: usesPackages = true
            @unknown default: break
            }
        }
    }
    targets.removeAll { !wanted.contains($0.name) }
    // Under this name Benchmarks/Micro, a package of its own, gets at what it measures.
    let parts = targets.filter { $0.type == .regular }.map(\.name)
    products = parts.isEmpty ? [] : [.library(name: "MartletParts", targets: parts)]
    if !usesPackages { dependencies = [] }
}

let package = Package(
    name: "martlet", products: products, dependencies: dependencies, targets: targets,
    cxxLanguageStandard: .cxx17)
