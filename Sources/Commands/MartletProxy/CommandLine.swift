import MeshPrimitives
import Proxy
import XDSSchema

/// What `martlet-proxy` was asked to do.
enum ProxyCommand: Equatable {
    case help
    case version
    case run(ProxyOptions)
}

/// Something on the command line that makes no sense; exit status 2.
struct UsageError: Error, Equatable, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}

struct ProxyOptions: Equatable {
    enum Mode: String, CaseIterable { case serve, validate }
    enum DrainStrategy: String, CaseIterable { case gradual, immediate }

    /// A key of the mesh bootstrap, given as a flag.
    struct MeshKey: Equatable {
        var key: String
        var value: String
    }

    /// The most workers: what the data plane keeps a bit for each of.
    static let concurrencyMax = 64

    var configPath: String?
    var configYAML: String?
    /// nil: as many as the process may keep busy.
    var concurrency: Int?
    var mode = Mode.serve
    var serviceNode: String?
    var serviceCluster: String?
    var serviceZone: String?
    var adminAddressPath: String?
    var drainTime = Duration.seconds(600)
    var parentShutdownTime = Duration.seconds(900)
    var drainStrategy = DrainStrategy.gradual
    var fileFlushInterval = Duration.milliseconds(10_000)
    var logPath: String?
    var logLevel = LogLevel.info
    var logFormat = ProcessLog.Format.text
    var meshPath: String?
    var meshKeys: [MeshKey] = []

    /// The environment names a service of the mesh, and there is no bootstrap.
    var isMeshByEnvironment = false

    var isMesh: Bool { meshPath != nil || !meshKeys.isEmpty || isMeshByEnvironment }

    /// For `/server_info`.
    func shown(workers: Int) -> [(name: String, value: String)] {
        var shown = [
            ("concurrency", "\(workers)"), ("config-path", configPath ?? ""),
            ("config-yaml", configYAML ?? ""),
            ("mode", mode.rawValue), ("log-level", logLevel.name), ("log-format", logFormat.rawValue),
            ("log-path", logPath ?? ""), ("service-node", serviceNode ?? ""),
            ("service-cluster", serviceCluster ?? ""), ("service-zone", serviceZone ?? ""),
            ("admin-address-path", adminAddressPath ?? ""), ("mesh", meshPath ?? ""),
            ("drain-strategy", drainStrategy.rawValue),
        ].filter { !$0.1.isEmpty }
        shown.append(("drain-time", "\(drainTime.components.seconds)s"))
        shown.append(("parent-shutdown-time", "\(parentShutdownTime.components.seconds)s"))
        shown.append(("file-flush-interval", "\(Double(fileFlushInterval.nanoseconds) / 1e9)s"))
        return shown.map { (name: $0.0, value: $0.1) }
    }
}

/// Reads the command line: `--flag VALUE` and `--flag=VALUE`, the last one counts.
struct CommandLineReader {
    struct Flag {
        let name: String
        var short: Character?
        /// What stands for its value in the help text; nil: it has none.
        var value: String?
        let help: String
        var isMeshKey = false
        let apply: (inout ProxyOptions, String) throws(UsageError) -> Void
    }

    static func read(
        _ arguments: [String], environment: (String) -> String? = { _ in nil }
    ) throws(UsageError) -> ProxyCommand {
        var options = ProxyOptions()
        let flags = flags
        var rest = arguments[...]
        while let argument = rest.popFirst() {
            let parts = argument.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let name = String(parts.first ?? "")
            if name == "--help" || name == "-h" { return .help }
            if name == "--version" { return .version }
            guard name.hasPrefix("-"), let flag = flags.first(where: { $0.isNamed(name) }) else {
                throw unknown(name, among: flags)
            }
            guard flag.value != nil else {
                if parts.count > 1 { throw UsageError("\(name) takes no value") }
                try flag.apply(&options, "")
                continue
            }
            if parts.count > 1 {
                try flag.apply(&options, String(parts[1]))
            } else if let value = rest.popFirst() {
                try flag.apply(&options, value)
            } else {
                throw UsageError("\(name) needs a value: \(name) \(flag.value ?? "")")
            }
        }
        let hasBootstrap = options.configPath != nil || options.configYAML != nil
        options.isMeshByEnvironment = !hasBootstrap && environment("MARTLET_SERVICE") != nil
        try check(options)
        return .run(options)
    }

    private static func check(_ options: ProxyOptions) throws(UsageError) {
        let hasBootstrap = options.configPath != nil || options.configYAML != nil
        if options.isMesh, hasBootstrap {
            throw UsageError("--mesh and its keys stand for a bootstrap: leave -c and --config-yaml out")
        }
        if !options.isMesh, !hasBootstrap {
            throw UsageError("there is no configuration: give -c FILE, --config-yaml TEXT or --mesh FILE")
        }
    }

    private static func unknown(_ name: String, among flags: [Flag]) -> UsageError {
        guard name.hasPrefix("-") else { return UsageError("'\(name)' is no flag; see --help") }
        let known = flags.map { "--\($0.name)" } + ["--help", "--version"]
        let nearest = NearestName.of(name, among: known).map { "; did you mean \($0)?" } ?? "; see --help"
        return UsageError("unknown flag \(name)\(nearest)")
    }

    static var help: String {
        let known = flags
        func line(_ flag: Flag) -> String {
            let short = flag.short.map { "-\($0), " } ?? ""
            let left = "  \(short)--\(flag.name)\(flag.value.map { " \($0)" } ?? "")"
            let gap = String(repeating: " ", count: max(1, 38 - left.utf8.count))
            return left + gap + flag.help + "\n"
        }
        var text = """
            martlet-proxy: the sidecar of a Martlet service mesh; also a proxy of its own with an Envoy bootstrap.

            usage: martlet-proxy -c FILE [flags]
                   martlet-proxy --mesh FILE [flags]

            flags:

            """
        for flag in known where !flag.isMeshKey && !flag.help.isEmpty { text += line(flag) }
        text +=
            "      --help, --version\n\nkeys of the mesh bootstrap, each also MARTLET_<KEY> in the environment:\n"
        for flag in known where flag.isMeshKey { text += line(flag) }
        let harmless = known.filter { $0.help.isEmpty }.map { "--\($0.name)" }
        text += "\naccepted without effect, as Envoy has them: \(harmless.joined(separator: " "))\n"
        return text
    }
}

extension CommandLineReader.Flag {
    func isNamed(_ text: String) -> Bool {
        text == "--\(name)" || short.map { text == "-\($0)" } ?? false
    }
}

// The flags.
extension CommandLineReader {
    static var flags: [Flag] { bootstrapFlags + processFlags + harmlessFlags + refusedFlags + meshFlags }

    private static var bootstrapFlags: [Flag] {
        [
            Flag(name: "config-path", short: "c", value: "FILE", help: "bootstrap, YAML or JSON") {
                options, value in
                options.configPath = value
            },
            Flag(name: "config-yaml", value: "TEXT", help: "merged over the file") { options, value in
                options.configYAML = value
            },
            Flag(name: "mode", value: "serve|validate", help: "validate: load, report, exit 0 or 2") {
                options, value throws(UsageError) in
                options.mode = try choice(value, of: "mode")
            },
            Flag(name: "service-node", value: "ID", help: "node.id, whatever the bootstrap says") {
                options, value in
                options.serviceNode = value
            },
            Flag(name: "service-cluster", value: "NAME", help: "node.cluster, likewise") { options, value in
                options.serviceCluster = value
            },
            Flag(name: "service-zone", value: "ZONE", help: "node.locality.zone, likewise") {
                options, value in
                options.serviceZone = value
            },
            Flag(name: "mesh", value: "FILE", help: "a short mesh bootstrap instead") { options, value in
                options.meshPath = value
            },
        ]
    }

    private static var processFlags: [Flag] {
        [
            Flag(
                name: "concurrency", value: "N",
                help: "worker event loops; default: processors of this process"
            ) {
                options, value throws(UsageError) in
                options.concurrency = try number(
                    value, in: 1...ProxyOptions.concurrencyMax, of: "concurrency")
            },
            Flag(name: "admin-address-path", value: "FILE", help: "writes the bound admin address") {
                options, value in
                options.adminAddressPath = value
            },
            Flag(name: "drain-time-s", value: "N", help: "how long a drain may take (600)") {
                options, value throws(UsageError) in
                options.drainTime = .seconds(try number(value, in: 0...86_400 * 365, of: "drain-time-s"))
            },
            Flag(name: "parent-shutdown-time-s", value: "N", help: "how long the old generation lives (900)")
            {
                options, value throws(UsageError) in
                let seconds = try number(value, in: 0...86_400 * 365, of: "parent-shutdown-time-s")
                options.parentShutdownTime = .seconds(seconds)
            },
            Flag(
                name: "drain-strategy", value: "gradual|immediate",
                help: "how connections are drained (gradual)"
            ) {
                options, value throws(UsageError) in
                options.drainStrategy = try choice(value, of: "drain-strategy")
            },
            Flag(name: "file-flush-interval-msec", value: "N", help: "how long log lines may wait (10000)") {
                options, value throws(UsageError) in
                let milliseconds = try number(value, in: 1...86_400_000, of: "file-flush-interval-msec")
                options.fileFlushInterval = .milliseconds(milliseconds)
            },
            Flag(name: "log-path", value: "FILE", help: "the log goes here instead of standard error") {
                options, value in
                options.logPath = value
            },
            Flag(
                name: "log-level", short: "l", value: "LEVEL",
                help: "trace, debug, info, warning, error or off (info)"
            ) { options, value throws(UsageError) in
                guard let level = LogLevel(name: value) else {
                    let names = LogLevel.allCases.map(\.name).joined(separator: ", ")
                    throw UsageError("--log-level \(value): one of \(names)")
                }
                options.logLevel = level
            },
            Flag(name: "log-format", value: "json|text", help: "JSON lines or text (text)") {
                options, value throws(UsageError) in
                options.logFormat = try choice(value, of: "log-format")
            },
        ]
    }

    /// Envoy's, for things that are not there or cannot be otherwise here. They have no help text.
    private static var harmlessFlags: [Flag] {
        let withValue = [
            "base-id", "base-id-path", "component-log-level", "restart-epoch", "socket-path", "socket-mode",
            "local-address-ip-version",
        ]
        let without = [
            "cpuset-threads", "disable-hot-restart", "enable-core-dump", "enable-fine-grain-logging",
            "log-format-escaped", "reject-unknown-dynamic-fields", "skip-hot-restart-on-no-parent",
            "use-dynamic-base-id",
        ]
        return withValue.map { Flag(name: $0, value: "VALUE", help: "") { _, _ in } }
            + without.map { Flag(name: $0, help: "") { _, _ in } }
    }

    /// Envoy's, that ask for what this proxy never does.
    private static var refusedFlags: [Flag] {
        ["allow-unknown-fields", "allow-unknown-static-fields", "ignore-unknown-dynamic-fields"].map { name in
            Flag(name: name, help: "refused: unknown fields are errors") { (_, _) throws(UsageError) in
                throw UsageError("--\(name): unknown fields are always refused; leave the flag out")
            }
        }
    }

    private static var meshFlags: [Flag] {
        let keys = [
            ("control", "HOST[,HOST]", "hosts of the control plane"),
            ("xds-port", "PORT", "its port for discovery (15012)"),
            ("ca-port", "PORT", "its port for certificates (15011)"),
            ("service", "NAMESPACE/NAME", "the service that this proxy stands beside"),
            ("app", "LIST", "ports of the application: [{port: 8080, protocol: http}]"),
            ("token-file", "PATH", "join token for the first certificate"),
            ("trust-bundle", "PATH", "certificates that are trusted"),
            ("address", "ADDRESS", "advertised; default: the source address towards control"),
            ("admin", "HOST:PORT", "admin pages (127.0.0.1:15000)"),
            ("inbound", "HOST:PORT", "where the application's callers connect"),
            ("outbound", "HOST:PORT", "where the application sends its calls"),
            ("health", "HOST:PORT", "readiness"),
            ("metrics", "HOST:PORT", "statistics for Prometheus"),
            ("ports-file", "PATH", "writes the bound addresses"),
            ("upstreams", "LIST", "local ports: [{service: a/b, port: 80, listen: \"127.0.0.1:0\"}]"),
            ("cache-dir", "PATH", "key, certificate and last configuration"),
            ("zone", "ZONE", "where this proxy runs"),
            ("labels", "LABELS", "of this instance: {version: v2}"),
            ("intercept", "none|redirect|tproxy", "how calls come here"),
        ]
        return keys.map { key, value, help in
            Flag(name: key, value: value, help: help, isMeshKey: true) { options, value in
                options.meshKeys.removeAll { $0.key == key }
                options.meshKeys.append(ProxyOptions.MeshKey(key: key, value: value))
            }
        }
    }

    private static func number(
        _ text: String, in range: ClosedRange<Int>, of name: String
    ) throws(UsageError) -> Int {
        guard let number = Int(text), range.contains(number) else {
            throw UsageError("--\(name) \(text): a number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    private static func choice<Choice: RawRepresentable & CaseIterable>(
        _ text: String, of name: String
    ) throws(UsageError) -> Choice where Choice.RawValue == String {
        guard let choice = Choice(rawValue: text) else {
            throw UsageError(
                "--\(name) \(text): one of \(Choice.allCases.map(\.rawValue).joined(separator: ", "))")
        }
        return choice
    }
}
