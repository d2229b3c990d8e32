import Foundation

/// One of our binaries, running. Both its streams go into a log file; it is killed with its owner.
public final class ProcessUnderTest: @unchecked Sendable {
    public let name: String
    public let logPath: String
    private let process = Process()

    /// Starts `binary` (a product's name) with its log in `directory`.
    public init(
        _ binary: String, _ arguments: [String], in directory: TemporaryDirectory, name: String? = nil,
        environment: [String: String] = [:]
    ) throws {
        self.name = name ?? binary
        logPath = directory.path("\(self.name).log")
        guard FileManager.default.createFile(atPath: logPath, contents: nil),
            let log = FileHandle(forWritingAtPath: logPath)
        else { throw TestFailure("cannot write \(logPath)") }
        process.executableURL = try Self.locate(binary)
        process.arguments = arguments
        process.currentDirectoryURL = directory.url
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = log
        process.standardError = log
        try process.run()
        try? log.close()
    }

    deinit {
        if process.isRunning { kill(process.processIdentifier, SIGKILL) }
    }

    /// `MARTLET_BINARIES` names the folder of the binaries; else they lie beside the tests that are running.
    static func locate(_ binary: String) throws -> URL {
        let chosen = ProcessInfo.processInfo.environment["MARTLET_BINARIES"].map { URL(fileURLWithPath: $0) }
        let folder =
            chosen
            ?? URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()
        for candidate in [folder, repositoryRoot.appendingPathComponent(".build/debug")] {
            let url = candidate.appendingPathComponent(binary)
            if FileManager.default.isExecutableFile(atPath: url.path) { return url }
            if chosen != nil { break }
        }
        throw TestFailure("\(binary) is not in \(folder.path): `swift build`, or set MARTLET_BINARIES")
    }

    public var processID: Int32 { process.processIdentifier }
    public var isRunning: Bool { process.isRunning }
    public var log: String { (try? String(contentsOfFile: logPath, encoding: .utf8)) ?? "" }

    /// The end of the log, for a message.
    public var logTail: String {
        let lines = log.split(separator: "\n", omittingEmptySubsequences: false).suffix(15)
        return "--- \(name) log (\(logPath)) ---\n" + lines.joined(separator: "\n")
    }

    public func signal(_ number: Int32) { kill(process.processIdentifier, number) }

    /// The exit status, or minus the signal that ended it. Fails when the process is still there after `seconds`.
    public func exitStatus(within seconds: Double = 10) throws -> Int32 {
        try eventually("the end of \(name)\n\(logTail)", within: seconds) { process.isRunning ? nil : true }
        return process.terminationReason == .exit ? process.terminationStatus : -process.terminationStatus
    }

    /// Waits until `path` has text. Fails at once when the process ends before.
    public func waitForFile(_ path: String, within seconds: Double = 10) throws -> String {
        let deadline = Date(timeIntervalSinceNow: seconds)
        while Date() < deadline {
            if let text = try? String(contentsOfFile: path, encoding: .utf8), !text.isEmpty { return text }
            guard process.isRunning else {
                throw TestFailure(
                    "\(name) ended with \(process.terminationStatus) before it wrote \(path)\n\(logTail)")
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

/// Runs a program of the system to its end. Its output is read while it runs.
public struct ToolResult: Sendable {
    public let status: Int32
    public let output: String
    public let errors: String
}

/// Runs `tool` (looked up on `PATH`), with `input` on its standard input, for `seconds` at the most.
public func runTool(
    _ tool: String, _ arguments: [String], input: String = "", within seconds: Double = 30
) throws -> ToolResult {
    let directory = try TemporaryDirectory()
    let (inPath, outPath, errorPath) = (directory.path("in"), directory.path("out"), directory.path("err"))
    try input.write(toFile: inPath, atomically: false, encoding: .utf8)
    for path in [outPath, errorPath] { _ = FileManager.default.createFile(atPath: path, contents: nil) }
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = [tool] + arguments
    process.standardInput = FileHandle(forReadingAtPath: inPath)
    process.standardOutput = FileHandle(forWritingAtPath: outPath)
    process.standardError = FileHandle(forWritingAtPath: errorPath)
    try process.run()
    defer { if process.isRunning { kill(process.processIdentifier, SIGKILL) } }
    try eventually("the end of \(tool) \(arguments.joined(separator: " "))", within: seconds) {
        process.isRunning ? nil : true
    }
    let status = process.terminationReason == .exit ? process.terminationStatus : -process.terminationStatus
    func text(_ path: String) -> String {
        String(decoding: FileManager.default.contents(atPath: path) ?? Data(), as: UTF8.self)
    }
    return ToolResult(status: status, output: text(outPath), errors: text(errorPath))
}
