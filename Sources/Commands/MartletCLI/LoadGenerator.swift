import Foundation

/// `martlet-load`, started once for each measurement.
struct LoadGenerator {
    struct Target {
        /// A numeric HOST:PORT.
        let address: String
        let host: String
        let path: String
    }

    struct Settings {
        let connections: Int
        let seconds: Double
        /// Requests per second; nil asks again as soon as an answer is there.
        let rate: Int?
    }

    /// What it has measured; latencies in microseconds.
    struct Report: Decodable {
        struct Latencies: Decodable {
            let p50: Double
            let p90: Double
            let p99: Double
            let p999: Double

            enum CodingKeys: String, CodingKey {
                case p50, p90, p99
                case p999 = "p99.9"
            }
        }

        let answers: Int
        let perSecond: Double
        let status: [String: Int]
        let errors: [String: Int]
        let microseconds: Latencies

        enum CodingKeys: String, CodingKey {
            case answers, status, errors, microseconds
            case perSecond = "per_second"
        }
    }

    static let name = "martlet-load"

    private let executable: URL

    /// The one in this program's folder, else the first one on the path.
    static func besideThisProgram() throws -> LoadGenerator {
        var folders: [URL] = []
        if let own = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe") {
            folders.append(URL(fileURLWithPath: own).deletingLastPathComponent())
        }
        let path = ProcessInfo.processInfo.environment["PATH"] ?? ""
        folders += path.split(separator: ":").map { URL(fileURLWithPath: String($0)) }
        let candidates = folders.map { $0.appendingPathComponent(name) }
        guard let found = candidates.first(where: { FileManager.default.isExecutableFile(atPath: $0.path) })
        else {
            throw BenchFailure("\(name) is neither beside this program nor on PATH")
        }
        return LoadGenerator(executable: found)
    }

    /// Fails unless every answer was a success: figures of errors would only look good.
    func run(_ target: Target, _ settings: Settings) throws -> Report {
        let process = Process()
        process.executableURL = executable
        process.arguments =
            [
                "--target", target.address, "--host", target.host, "--path", target.path, "--json",
                "--connections", String(settings.connections), "--duration", String(settings.seconds),
                "--warmup", "0.3",
            ] + (settings.rate.map { ["--rate", String($0)] } ?? [])
        let (answer, complaint) = (Pipe(), Pipe())
        process.standardOutput = answer
        process.standardError = complaint
        process.standardInput = FileHandle.nullDevice
        try process.run()
        let bytes = answer.fileHandleForReading.readDataToEndOfFile()
        let words = String(decoding: complaint.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        guard let report = try? JSONDecoder().decode(Report.self, from: bytes) else {
            throw BenchFailure(
                "\(target.address): \(words.trimmingCharacters(in: .whitespacesAndNewlines))")
        }
        let errors = report.errors.filter { $0.value > 0 }.map { "\($0.value) × \($0.key)" }
        let statuses = report.status.filter { $0.key != "2xx" && $0.value > 0 }.map {
            "\($0.value) × \($0.key)"
        }
        guard errors.isEmpty && statuses.isEmpty else {
            throw BenchFailure(
                "\(target.address): not all requests succeeded: "
                    + (statuses + errors).sorted().joined(separator: ", "))
        }
        return report
    }
}

/// Time on a processor, user and system, of all threads.
enum ProcessorTime {
    static func nanoseconds(of processes: [Int32]) throws -> UInt64 {
        var total: UInt64 = 0
        for process in processes {
            let tasks = "/proc/\(process)/task"
            guard let threads = try? FileManager.default.contentsOfDirectory(atPath: tasks) else {
                throw BenchFailure("there is no process \(process), or it is another user's")
            }
            for thread in threads {
                // A thread that has ended meanwhile has no file any more.
                let text =
                    (try? String(contentsOfFile: "\(tasks)/\(thread)/schedstat", encoding: .utf8)) ?? ""
                total += text.split(separator: " ").first.flatMap { UInt64($0) } ?? 0
            }
        }
        return total
    }
}
