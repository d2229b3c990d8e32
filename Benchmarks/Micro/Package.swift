// swift-tools-version: 6.2
import PackageDescription

// A package of its own, so that building Martlet does not fetch and build the measuring library. Built with
// MARTLET_TARGETS, which makes the main package offer the named targets and nothing else: see `make micro`.
let package = Package(
    name: "Micro",
    dependencies: [
        .package(name: "martlet", path: "../.."),
        // Without its traits, which count allocations: the packages behind them are large, and callgrind counts better.
        .package(url: "https://github.com/ordo-one/benchmark.git", from: "1.38.1", traits: []),
    ],
    targets: [
        .target(
            name: "Parts", dependencies: [.product(name: "MartletParts", package: "martlet")], path: "Parts"),
        .executableTarget(name: "Count", dependencies: ["Parts"], path: "Count"),
        .executableTarget(
            name: "Micro", dependencies: ["Parts", .product(name: "Benchmark", package: "benchmark")],
            path: ".",
            sources: ["Micro.swift"], plugins: [.plugin(name: "BenchmarkPlugin", package: "benchmark")]),
    ])
