import Foundation

/// One of our binaries, running. Both its streams go into a log file; it is killed with its owner.
public final class ProcessUnderTest: Sendable {
    public let name: String
    public let logPath: String
    private let child: ChildProcess

    /// Starts `binary` (a product's name) with its log in `directory`, which is its working directory too.
    public init(
        _ binary: String, _ arguments: [String], in directory: TemporaryDirectory, name: String? = nil,
        environment: [String: String] = [:]
    ) throws {
        self.name = name ?? binary
        logPath = directory.path("\(self.name).log")
        child = try ChildProcess(
            try Self.locate(binary).path, arguments, in: directory.url.path, environment: environment,
            input: "/dev/null", output: logPath, errors: nil)
    }

    /// A tool of the machine's, looked up on `PATH`.
    public init(tool: String, _ arguments: [String], in directory: TemporaryDirectory) throws {
        name = tool
        logPath = directory.path("\(tool).log")
        child = try ChildProcess(
            tool, arguments, in: directory.url.path, input: "/dev/null", output: logPath, errors: nil)
    }

    deinit { child.kill() }

    /// `MARTLET_BINARIES` names the folder of the binaries; else they lie beside the tests that are running.
    public static func locate(_ binary: String) throws -> URL {
        let chosen = ProcessInfo.processInfo.environment["MARTLET_BINARIES"].map { URL(fileURLWithPath: $0) }
        let running = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
            .deletingLastPathComponent()
        let folders = chosen.map { [$0] } ?? [running, repositoryRoot.appendingPathComponent(".build/debug")]
        for folder in folders {
            let url = folder.appendingPathComponent(binary)
            if FileManager.default.isExecutableFile(atPath: url.path) { return url }
        }
        throw TestFailure(
            "\(binary) is not in \(folders.map(\.path)): `swift build`, or set MARTLET_BINARIES")
    }

    public var processID: Int32 { child.processID }
    public var isRunning: Bool { child.status == nil }
    public var log: String { (try? String(contentsOfFile: logPath, encoding: .utf8)) ?? "" }

    /// The end of the log, for a message.
    public var logTail: String {
        let lines = log.split(separator: "\n", omittingEmptySubsequences: false).suffix(15)
        return "--- \(name) log (\(logPath)) ---\n" + lines.joined(separator: "\n")
    }

    public func signal(_ number: Int32) { child.signal(number) }

    /// The exit status, or minus the signal that ended it. Fails when the process is still there after `seconds`.
    public func exitStatus(within seconds: Double = 10) throws -> Int32 {
        try eventually("the end of \(name)\n\(logTail)", within: seconds) { child.status }
    }

    /// Waits until `path` has text. Fails at once when the process ends before.
    public func waitForFile(_ path: String, within seconds: Double = 10) throws -> String {
        let deadline = Date(timeIntervalSinceNow: seconds)
        while Date() < deadline {
            if let text = try? String(contentsOfFile: path, encoding: .utf8), !text.isEmpty { return text }
            if let status = child.status {
                throw TestFailure("\(name) ended with \(status) before it wrote \(path)\n\(logTail)")
            }
            usleep(5_000)
        }
        throw TestFailure("\(name) did not write \(path) within \(seconds) s\n\(logTail)")
    }

    /// KiB of memory that are resident; with `anonymous` those that no file backs.
    public func residentKiB(anonymous: Bool = false) throws -> Int {
        let status = try String(contentsOfFile: "/proc/\(processID)/status", encoding: .utf8)
        let key = anonymous ? "RssAnon:" : "VmRSS:"
        for line in status.split(separator: "\n") where line.hasPrefix(key) {
            if let number = line.split(whereSeparator: { $0 == " " || $0 == "\t" }).dropFirst().first.flatMap(
                { Int($0) })
            {
                return number
            }
        }
        throw TestFailure("no \(key) of \(name)")
    }

    /// Open descriptors.
    public func descriptorCount() throws -> Int {
        try FileManager.default.contentsOfDirectory(atPath: "/proc/\(processID)/fd").count
    }
}

/// What a program of the system said.
public struct ToolResult: Sendable {
    public let status: Int32
    public let output: String
    public let errors: String
}

/// Runs `tool` (looked up on `PATH`) to its end, with `input` on its standard input, for `seconds` at the most.
public func runTool(
    _ tool: String, _ arguments: [String], input: String = "", within seconds: Double = 30
) throws -> ToolResult {
    let directory = try TemporaryDirectory()
    let child = try ChildProcess(
        tool, arguments, in: directory.url.path, input: directory.write(input, to: "in"),
        output: directory.path("out"), errors: directory.path("err"))
    defer { child.kill() }
    let status = try eventually("the end of \(tool) \(arguments.joined(separator: " "))", within: seconds) {
        child.status
    }
    return ToolResult(
        status: status, output: directory.read("out") ?? "", errors: directory.read("err") ?? "")
}
