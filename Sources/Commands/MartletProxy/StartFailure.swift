import XDSSchema

/// Why the process ends before it serves: an exit status and lines for standard error.
struct StartFailure: Error {
    var status: Int32
    var lines: [String]

    /// 2: the operator can mend it in the configuration.
    static func configuration(_ problems: ConfigProblems) -> StartFailure {
        var lines = problems.list.map { "\($0)" }
        if problems.omitted > 0 { lines.append("and \(problems.omitted) more") }
        return StartFailure(status: 2, lines: lines)
    }

    static func usage(_ error: UsageError) -> StartFailure {
        StartFailure(status: 2, lines: ["martlet-proxy: \(error)"])
    }

    /// 1: the machine would not have it.
    static func running(_ line: String) -> StartFailure { StartFailure(status: 1, lines: [line]) }
}
