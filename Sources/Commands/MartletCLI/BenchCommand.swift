import ArgumentParser
import Foundation

/// `martlet bench`: what the way through a proxy costs, measured on this host against the way without it.
///
/// The load comes from `martlet-load`, which lies beside this program. Rounds alternate between the two ways, so that
/// what the host does meanwhile falls on both; what is printed are medians.
struct BenchCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench",
        abstract: "Measures what the way through a proxy costs, on this host.",
        discussion: """
            Both URLs are plain HTTP: for mutual TLS name the outbound listener of the caller's sidecar. Latencies are \
            taken at a fixed rate and counted from the moment at which each request was due; the closed loop says how \
            many answers come when each connection asks again at once. It is a load test: point it at nothing that \
            others need.
            """)

    @Option(help: ArgumentHelp("The service without the proxy.", valueName: "url"))
    var direct: String

    @Option(help: ArgumentHelp("The same service through the proxy.", valueName: "url"))
    var through: String

    @Option(help: "The Host field of the requests through the proxy, such as orders.default.")
    var host: String?

    @Option(help: "Kept open, each used by one request at a time.")
    var connections = 16

    @Option(help: "Requests per second when latencies are taken.")
    var rate = 1000

    @Option(help: "Seconds of each of the measurements, four in a round.")
    var seconds = 3.0

    @Option(help: "How often all of it is measured.")
    var rounds = 3

    @Option(help: "The proxy's process, for its processor time per request; may be repeated.")
    var proxyPID: [Int32] = []

    @Option(name: [.customShort("o"), .long], help: "table, json or yaml.")
    var output = OutputFormat.table

    func validate() throws {
        for url in [direct, through] where BenchTarget(url) == nil {
            throw ValidationError("'\(url)' is not a URL like http://HOST:PORT/PATH")
        }
        for (name, value, range) in [
            ("--connections", connections, 1...10_000), ("--rate", rate, 1...1_000_000),
            ("--rounds", rounds, 1...100),
        ] where !range.contains(value) {
            throw ValidationError(
                "\(name): a number from \(range.lowerBound) to \(range.upperBound) is meant")
        }
        guard (0.1...600).contains(seconds) else { throw ValidationError("--seconds: 0.1 to 600 are meant") }
    }

    func run() async throws {
        guard let direct = BenchTarget(direct), let through = BenchTarget(through) else { return }
        let generator = try LoadGenerator.besideThisProgram()
        let ways = [
            try direct.resolved(host: nil), try through.resolved(host: host),
        ]
        var measured: [[BenchFigures]] = [[], []]
        for round in 0..<rounds {
            // Who comes first changes, so that neither always meets the caches of the other.
            for way in round.isMultiple(of: 2) ? [0, 1] : [1, 0] {
                measured[way].append(try measure(ways[way], with: generator, isThroughProxy: way == 1))
            }
        }
        let report = BenchReport(direct: .median(of: measured[0]), through: .median(of: measured[1]))
        Output.line(try Output.encoded(report, as: output) ?? report.table)
    }

    private func measure(
        _ target: LoadGenerator.Target, with generator: LoadGenerator, isThroughProxy: Bool
    ) throws -> BenchFigures {
        let settings = LoadGenerator.Settings(connections: connections, seconds: seconds, rate: nil)
        let before = try isThroughProxy ? ProcessorTime.nanoseconds(of: proxyPID) : 0
        let closed = try generator.run(target, settings)
        let spent = try isThroughProxy ? ProcessorTime.nanoseconds(of: proxyPID) - before : 0
        let paced = try generator.run(
            target, LoadGenerator.Settings(connections: connections, seconds: seconds, rate: rate))
        return BenchFigures(
            requestsPerSecond: closed.perSecond,
            p50: paced.microseconds.p50, p90: paced.microseconds.p90, p99: paced.microseconds.p99,
            p999: paced.microseconds.p999,
            proxyMicroseconds: isThroughProxy && !proxyPID.isEmpty && closed.answers > 0
                ? Double(spent) / Double(closed.answers) / 1000 : nil)
    }
}

/// The medians of one way. Latencies are in microseconds.
struct BenchFigures: Encodable {
    var requestsPerSecond: Double
    var p50: Double
    var p90: Double
    var p99: Double
    var p999: Double
    /// Processor time of the proxy for each request in the closed loop.
    var proxyMicroseconds: Double?

    static func median(of rounds: [BenchFigures]) -> BenchFigures {
        func middle(_ value: (BenchFigures) -> Double) -> Double {
            let sorted = rounds.map(value).sorted()
            let half = sorted.count / 2
            if sorted.isEmpty { return 0 }
            return sorted.count.isMultiple(of: 2) ? (sorted[half - 1] + sorted[half]) / 2 : sorted[half]
        }
        let hasTimes = rounds.allSatisfy { $0.proxyMicroseconds != nil }
        return BenchFigures(
            requestsPerSecond: middle(\.requestsPerSecond), p50: middle(\.p50), p90: middle(\.p90),
            p99: middle(\.p99), p999: middle(\.p999),
            proxyMicroseconds: hasTimes ? middle { $0.proxyMicroseconds ?? 0 } : nil)
    }
}

struct BenchReport: Encodable {
    let direct: BenchFigures
    let through: BenchFigures

    var table: String {
        func row(_ name: String, _ value: (BenchFigures) -> Double, unit: String) -> [String] {
            let (without, with) = (value(direct), value(through))
            return [
                name, Self.number(without), Self.number(with),
                (with < without ? "-" : "+") + Self.number(abs(with - without)), unit,
            ]
        }
        var rows = [
            row("closed loop", \.requestsPerSecond, unit: "requests/s"),
            row("p50", \.p50, unit: "µs"), row("p90", \.p90, unit: "µs"), row("p99", \.p99, unit: "µs"),
            row("p99.9", \.p999, unit: "µs"),
        ]
        if let time = through.proxyMicroseconds {
            rows.append(["processor time of the proxy", "", Self.number(time), "", "µs per request"])
        }
        return Output.table(["", "DIRECT", "THROUGH", "ADDED", ""], rows)
    }

    private static func number(_ value: Double) -> String {
        value >= 100 ? String(Int(value.rounded())) : String((value * 10).rounded() / 10)
    }
}
