/// What a run has measured.
struct LoadReport {
    /// Answers that came within the measured time.
    var answers = 0
    /// By the first digit of their status.
    var classes = [Int](repeating: 0, count: 10)
    var connectFailures = 0
    /// Connections that ended, or said something that is no HTTP, while an answer was due.
    var broken = 0
    /// Requests sent without an answer, or due and never sent, at the end of a run at a fixed rate.
    var unanswered = 0
    var seconds = 0.0
    var latency = LatencyHistogram()

    private static let quantiles: [(String, Double)] = [
        ("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999),
    ]

    private var rate: Double { seconds > 0 ? Double(answers) / seconds : 0 }

    private static func microseconds(_ nanoseconds: UInt64) -> Double { Double(nanoseconds / 100) / 10 }

    var text: String {
        var lines = "\(answers) answers in \(Double(Int(seconds * 1000)) / 1000) s: \(Int(rate)) per second\n"
        let statuses = classes.enumerated().filter { $1 > 0 }.map { "\($0)xx: \($1)" }
        lines += "status  \(statuses.joined(separator: ", "))\n"
        lines += "errors  connect \(connectFailures), broken \(broken), unanswered \(unanswered)\n"
        lines += "µs      "
        for (name, share) in Self.quantiles {
            lines += "\(name) \(Self.microseconds(latency.quantile(share)))  "
        }
        return lines + "max \(Self.microseconds(latency.longest))\n"
    }

    var json: String {
        let statuses = classes.enumerated().filter { $1 > 0 }.map { "\"\($0)xx\":\($1)" }
        let times = Self.quantiles.map { "\"\($0)\":\(Self.microseconds(latency.quantile($1)))" }
        return "{\"answers\":\(answers),\"seconds\":\(seconds),\"per_second\":\(rate),"
            + "\"status\":{\(statuses.joined(separator: ","))},"
            + "\"errors\":{\"connect\":\(connectFailures),\"broken\":\(broken),\"unanswered\":\(unanswered)},"
            + "\"microseconds\":{\(times.joined(separator: ",")),\"mean\":\(latency.mean / 1000),"
            + "\"max\":\(Self.microseconds(latency.longest))}}"
    }
}
