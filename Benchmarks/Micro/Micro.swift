// Micro: one small part of a request's work each, without a socket: what parsing a head, picking an endpoint or asking a
// rate limit costs. `make micro` runs it for times, and under callgrind for instructions and allocations.

import Benchmark
import Foundation

let benchmarks: @Sendable () -> Void = {
    // Under callgrind the work is done once or a thousand times, and the difference is counted: the measuring
    // library's own work falls out.
    let scale = ProcessInfo.processInfo.environment["MICRO_SCALE"]
    Benchmark.defaultConfiguration = .init(
        metrics: [.wallClock, .throughput], warmupIterations: scale == nil ? 1 : 0,
        scalingFactor: scale == "1" ? .one : .kilo, maxDuration: .seconds(scale == nil ? 1 : 600),
        maxIterations: scale == nil ? 100_000 : 1)

    measure("parse a request of 7 fields", RequestParsing())
    measure("parse a request of 25 fields", RequestParsing(moreFields: 18))
    measure("parse an answer of 6 fields", AnswerParsing())
    measure("build a head of 8 fields", HeadBuilding())
    for count in [2, 10, 100, 1000] {
        measure("round robin over \(count)", Balancing(.roundRobin, endpoints: count))
        measure("least request over \(count)", Balancing(.leastRequest(choices: 2), endpoints: count))
        measure("random over \(count)", Balancing(.random, endpoints: count))
    }
    measure("round robin over 100, weighted", Balancing(.roundRobin, endpoints: 100, isWeighted: true))
    measure("rate limit that lets pass", Limiting(maxTokens: 1_000_000))
    measure("rate limit that denies", Limiting(maxTokens: 1))
    measure("timer set and cancelled, 10 others", Timing(others: 10))
    measure("timer set and cancelled, 100,000 others", Timing(others: 100_000))
    measure("timer set and fired", Firing())
    measure("HTTP/2: request and answer, both ends, fields known", Streaming(isRepeated: true))
    measure("HTTP/2: request and answer, both ends, fields new", Streaming(isRepeated: false))
}

private func measure(_ name: String, _ part: @autoclosure @escaping @Sendable () -> some Part) {
    Benchmark(name) { benchmark in
        let part = part()
        part.runOnce()
        benchmark.startMeasurement()
        for _ in benchmark.scaledIterations { part.runOnce() }
        benchmark.stopMeasurement()
    }
}
