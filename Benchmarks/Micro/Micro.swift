// Micro: one small part of a request's work each, without a socket: what parsing a head, picking an endpoint or asking a
// rate limit costs. `make micro` runs it for times; instructions and allocations come from `Count`, under callgrind.

import Benchmark
import Parts

let benchmarks: @Sendable () -> Void = {
    Benchmark.defaultConfiguration = .init(
        metrics: [.wallClock, .throughput], warmupIterations: 1, scalingFactor: .kilo,
        maxDuration: .seconds(1),
        maxIterations: 100_000)
    for (name, make) in parts {
        Benchmark(name) { benchmark in
            let part = make()
            part.runOnce()
            benchmark.startMeasurement()
            for _ in benchmark.scaledIterations { part.runOnce() }
            benchmark.stopMeasurement()
        }
    }
}
