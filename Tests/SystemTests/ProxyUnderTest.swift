import Foundation
import TestSupport
import Testing

/// `martlet-proxy -c` with a bootstrap, started and ready.
final class ProxyUnderTest {
    let directory: TemporaryDirectory
    let process: ProcessUnderTest
    let adminPort: UInt16
    /// Where the listener `main` listens.
    let port: UInt16

    convenience init(
        _ bootstrap: Bootstrap, name: String = "martlet-proxy", workers: Int = 2, arguments: [String] = [],
        in directory: TemporaryDirectory? = nil
    ) throws {
        try self.init(
            yaml: bootstrap.yaml, name: name, workers: workers, arguments: arguments,
            in: directory ?? TemporaryDirectory())
    }

    init(
        yaml: String, name: String = "martlet-proxy", workers: Int = 2, arguments: [String] = [],
        in directory: TemporaryDirectory
    ) throws {
        self.directory = directory
        let file = try directory.write(yaml, to: "\(name).yaml")
        let addressFile = directory.path("\(name).admin")
        process = try ProcessUnderTest(
            "martlet-proxy",
            [
                "-c", file, "--concurrency", "\(workers)", "--admin-address-path", addressFile, "--log-level",
                "debug",
                "--file-flush-interval-msec", "20",
            ] + arguments, in: directory, name: name)
        adminPort = try Self.port(in: try process.waitForFile(addressFile), of: process)
        let (process, adminPort) = (process, adminPort)
        try eventually("/ready of \(name)\n\(process.logTail)") {
            try TestSupport.fetch(port: adminPort, "GET", "/ready").status == 200 ? true : nil
        }
        let listeners = try TestSupport.fetch(port: adminPort, "GET", "/listeners").text
        guard let line = listeners.split(separator: "\n").first(where: { $0.hasPrefix("main::") }) else {
            throw TestFailure("/listeners names no \"main\": \(listeners)\n\(process.logTail)")
        }
        port = try Self.port(in: String(line), of: process)
    }

    private static func port(in text: String, of process: ProcessUnderTest) throws -> UInt16 {
        let line = text.split(whereSeparator: \.isNewline).first ?? ""
        guard
            let port = line.split(separator: ":").last.flatMap({
                UInt16($0.trimmingCharacters(in: .whitespaces))
            })
        else { throw TestFailure("no port in \"\(text)\"\n\(process.logTail)") }
        return port
    }

    /// One request through the proxy on a connection of its own.
    func fetch(
        _ method: String = "GET", _ path: String = "/", host: String = "test",
        fields: [(String, String)] = [],
        body: String? = nil
    ) throws -> HTTPMessage {
        try explaining {
            try TestSupport.fetch(port: port, method, path, host: host, fields: fields, body: body)
        }
    }

    func connect() throws -> TCPStream { try explaining { try TCPStream(port: port) } }

    func admin(_ path: String, method: String = "GET") throws -> HTTPMessage {
        try explaining { try TestSupport.fetch(port: adminPort, method, path) }
    }

    /// A counter or gauge of `/stats`; 0 while it is not there.
    func stat(_ name: String) throws -> Int {
        let prefix = name + ": "
        for line in try admin("/stats").text.split(separator: "\n") where line.hasPrefix(prefix) {
            return Int(line.dropFirst(prefix.count)) ?? 0
        }
        return 0
    }

    /// The sum of all counters that begin with `prefix` and end with `suffix`: listeners are named after their address.
    func stat(_ suffix: String, of prefix: String) throws -> Int {
        var sum = 0
        for line in try admin("/stats").text.split(separator: "\n") where line.hasPrefix(prefix) {
            let parts = line.components(separatedBy: ": ")
            if parts[0].hasSuffix(suffix) { sum += Int(parts.last ?? "") ?? 0 }
        }
        return sum
    }

    /// Waits until a counter has this value.
    func expectStat(_ name: String, _ value: Int, sourceLocation: SourceLocation = #_sourceLocation) throws {
        var last = -1
        do {
            try eventually("\(name)", within: 3) {
                last = try stat(name)
                return last == value ? true : nil
            }
        } catch {
            Issue.record(
                "\(name) should become \(value) and is \(last)\n\(process.logTail)",
                sourceLocation: sourceLocation)
        }
    }

    /// Adds the end of the log to what went wrong.
    func explaining<T>(_ body: () throws -> T) throws -> T {
        do { return try body() } catch { throw TestFailure("\(error)\n\(process.logTail)") }
    }

    /// Waits until a file in the proxy's directory has at least this many lines, and gives them.
    func lines(of file: String, atLeast count: Int) throws -> [String] {
        try eventually(
            "\(count) lines in \(file), which has: \(directory.read(file) ?? "nothing")\n\(process.logTail)"
        ) {
            let lines = (directory.read(file) ?? "").split(separator: "\n").map(String.init)
            return lines.count >= count ? lines : nil
        }
    }
}
