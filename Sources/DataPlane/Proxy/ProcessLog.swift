import MeshPrimitives
import Reactor
import Synchronization
import Telemetry

/// How much the process says of itself.
public enum LogLevel: UInt8, Sendable, CaseIterable, Comparable {
    case trace, debug, info, warning, error, off

    /// Written out: to ask the runtime for it costs a start half a millisecond.
    public var name: String {
        switch self {
        case .trace: "trace"
        case .debug: "debug"
        case .info: "info"
        case .warning: "warning"
        case .error: "error"
        case .off: "off"
        }
    }

    /// Envoy's words count too: `warn`, `critical`.
    public init?(name: some StringProtocol) {
        switch name.lowercased() {
        case "warn": self = .warning
        case "critical": self = .error
        case let word:
            guard let level = Self.allCases.first(where: { $0.name == word }) else { return nil }
            self = level
        }
    }

    public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

/// What the process tells its operator: lines of text or JSON, on standard error or in a file. Any thread may speak;
/// nobody waits for whoever reads, and the number of lines per second is bounded: what is beyond is counted and the
/// count reported. Secrets have no way in: a message is a literal, and a detail is an error's own text.
public final class ProcessLog: Sendable {
    public enum Format: String, Sendable, CaseIterable { case text, json }

    /// Lines per second; further ones are only counted.
    public static let linesPerSecondMax = 200
    /// Bytes of a detail; the rest is cut off.
    public static let detailBytesMax = 4096
    /// Bytes that wait for a slow reader; lines beyond are counted as suppressed.
    public static let waitingBytesMax = 256 << 10

    private struct Lines {
        var waiting: [UInt8] = []
        var second = Int64.min
        var countInSecond = 0
        var suppressed = 0
        var requestFlush: (@Sendable () -> Void)?
    }

    private struct Output: ~Copyable {
        var file: LogFile?
        var unwritten: [UInt8] = []
        var offset = 0
    }

    private let kernel: Kernel
    private let format: Format
    private let threshold: Atomic<UInt8>
    private let lines = Mutex(Lines())
    private let output: Mutex<Output>

    /// On standard error. Without one nothing is written.
    public init(level: LogLevel, format: Format = .text, kernel: Kernel = LinuxKernel.make()) {
        (self.kernel, self.format) = (kernel, format)
        threshold = Atomic(level.rawValue)
        output = Mutex(Output(file: try? LogFile("/dev/stderr")))
    }

    /// In a file, which is appended to.
    public init(
        level: LogLevel, format: Format, path: String, kernel: Kernel = LinuxKernel.make()
    ) throws(FileError) {
        (self.kernel, self.format) = (kernel, format)
        threshold = Atomic(level.rawValue)
        output = Mutex(Output(file: try LogFile(path)))
    }

    /// May be changed while the process runs.
    public var level: LogLevel {
        get { LogLevel(rawValue: threshold.load(ordering: .relaxed)) ?? .off }
        set { threshold.store(newValue.rawValue, ordering: .relaxed) }
    }

    public func isNoted(_ level: LogLevel) -> Bool {
        level != .off && level.rawValue >= threshold.load(ordering: .relaxed)
    }

    /// `detail` is made only where the level is wanted.
    public func note(
        _ level: LogLevel, _ message: StaticString, detail: @autoclosure () -> String = "",
        peer: SocketAddress? = nil, local: SocketAddress? = nil
    ) {
        guard isNoted(level) else { return }
        let now = kernel.wallClock()
        var line: [UInt8] = []
        append(level, message, detail(), peer, local, at: now, to: &line)
        let request = lines.withLock { lines -> (@Sendable () -> Void)? in
            begin(now.seconds, &lines)
            guard lines.countInSecond < Self.linesPerSecondMax,
                lines.waiting.count + line.count <= Self.waitingBytesMax
            else {
                lines.suppressed += 1
                return nil
            }
            lines.countInSecond += 1
            lines.waiting += line
            return lines.requestFlush ?? { [self] in flush() }
        }
        request?()
    }

    /// From now on lines are not written by those who note them: `request` is called, on any thread, and somebody then
    /// calls `flush`. nil: they are written at once.
    public func setFlushRequest(_ request: (@Sendable () -> Void)?) {
        lines.withLock { $0.requestFlush = request }
    }

    /// Writes what waits, as far as the reader takes it now.
    public func flush() {
        output.withLock { output in
            while true {
                if output.offset == output.unwritten.count {
                    output.unwritten.removeAll(keepingCapacity: true)
                    output.offset = 0
                    let now = kernel.wallClock().seconds
                    lines.withLock { lines in
                        begin(now, &lines)
                        swap(&lines.waiting, &output.unwritten)
                    }
                    if output.unwritten.isEmpty { return }
                }
                guard write(&output) else { return }
            }
        }
    }

    /// Goes on in a new file, if the old one was moved away.
    public func reopen() {
        output.withLock { output in
            guard var file = output.file.take() else { return }
            // If there is no new one, the old one goes on.
            try? file.reopen()
            output.file = consume file
        }
    }

    /// False if the reader takes no more at present. What cannot be written at all is dropped.
    private func write(_ output: inout Output) -> Bool {
        guard let file = output.file.take() else {
            output.offset = output.unwritten.count
            return true
        }
        let offset = output.offset
        let count = output.unwritten.withByteView { bytes in
            (try? file.appendReady(bytes.dropFirst(offset))) ?? bytes.count - offset
        }
        output.file = consume file
        output.offset += count
        return count > 0
    }

    /// A new second has lines again, and tells what the last one lacks.
    private func begin(_ second: Int64, _ lines: inout Lines) {
        guard second != lines.second else { return }
        (lines.second, lines.countInSecond) = (second, 0)
        guard lines.suppressed > 0 else { return }
        let report = "\(lines.suppressed)"
        lines.suppressed = 0
        let now = WallInstant(nanoseconds: second * 1_000_000_000)
        append(.warning, "log lines suppressed", report, nil, nil, at: now, to: &lines.waiting)
    }

    private func append(
        _ level: LogLevel, _ message: StaticString, _ detail: String, _ peer: SocketAddress?,
        _ local: SocketAddress?, at now: WallInstant, to line: inout [UInt8]
    ) {
        let detail = detail.utf8.prefix(Self.detailBytesMax)
        switch format {
        case .json:
            line += Array("{\"time\":\"".utf8)
            TimeFormat.iso8601.append(now.nanoseconds, to: &line)
            line += Array("\",\"level\":\"\(level.name)\",\"message\":".utf8)
            JSONText.append(string: ByteView(message), to: &line)
            if !detail.isEmpty {
                line += Array(",\"detail\":".utf8)
                Array(detail).withByteView { JSONText.append(string: $0, to: &line) }
            }
            if let peer { line += Array(",\"peer\":\"\(peer)\"".utf8) }
            if let local { line += Array(",\"local\":\"\(local)\"".utf8) }
            line += Array("}\n".utf8)
        case .text:
            TimeFormat.iso8601.append(now.nanoseconds, to: &line)
            line += Array(" \(level.name) \(message)".utf8)
            if !detail.isEmpty {
                line += Array(": ".utf8)
                // One note is one line, whatever a peer sent.
                line += detail.map { $0 < 0x20 || $0 == 0x7f ? 0x20 : $0 }
            }
            if let peer { line += Array(" peer=\(peer)".utf8) }
            if let local { line += Array(" local=\(local)".utf8) }
            line.append(0x0a)
        }
    }
}
