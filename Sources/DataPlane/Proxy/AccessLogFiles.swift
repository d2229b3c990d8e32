import MeshModel
import MeshPrimitives
import Reactor
import Synchronization

/// The files of all access logs, one for each path however many logs name it.
public final class AccessLogFiles: Sendable {
    private struct Registry {
        var files: [String: AccessLogFile] = [:]
        var requestFlush: (@Sendable () -> Void)?
    }

    private let registry = Mutex(Registry())

    public init() {}

    /// One that cannot be opened is tried again at each flush; see `problems`.
    public func file(for destination: AccessLog.Destination) -> AccessLogFile {
        let path =
            switch destination {
            case .file(let path): path
            case .stdout: "/dev/stdout"
            case .stderr: "/dev/stderr"
            }
        return registry.withLock { registry in
            if let known = registry.files[path] { return known }
            let file = AccessLogFile(path: path)
            file.setFlushRequest(registry.requestFlush)
            registry.files[path] = file
            return file
        }
    }

    /// Called on any thread when a file has much to write: somebody then calls `flush`.
    public func setFlushRequest(_ request: (@Sendable () -> Void)?) {
        registry.withLock { registry in
            registry.requestFlush = request
            for file in registry.files.values { file.setFlushRequest(request) }
        }
    }

    /// Writes what waits. Files that no log names any more are closed.
    public func flush() {
        for file in all { file.flush() }
        registry.withLock { registry in
            // A list of its own: the keys would hold the files, too.
            for path in Array(registry.files.keys) where isKnownUniquelyReferenced(&registry.files[path]) {
                registry.files[path] = nil
            }
        }
    }

    public func reopen() { for file in all { file.reopen() } }

    /// Why files cannot be opened, by path.
    public var problems: [FileError] { all.compactMap(\.problem).sorted { $0.path < $1.path } }

    /// Lines that found their file's buffer full.
    public var droppedLines: Int { all.reduce(0) { $0 + $1.droppedLines } }

    private var all: [AccessLogFile] {
        registry.withLock { $0.files.values.sorted { $0.path < $1.path } }
    }
}

/// A file of log lines: workers append to a buffer, the control thread writes it. Workers wait for each other's copying
/// only, never for the disk.
public final class AccessLogFile: Sendable {
    /// Bytes that may wait for the file; further lines are dropped and counted.
    public static let waitingBytesMax = 4 << 20
    /// From so many bytes on somebody is asked to flush.
    static let flushBytesMin = 64 << 10

    private struct Lines {
        var waiting: [UInt8] = []
        var dropped = 0
        var isFlushRequested = false
        var requestFlush: (@Sendable () -> Void)?
    }

    private struct Output: ~Copyable {
        var file: LogFile?
        var problem: FileError?
        var unwritten: [UInt8] = []
        var offset = 0
    }

    public let path: String
    private let lines = Mutex(Lines())
    private let output: Mutex<Output>

    init(path: String) {
        self.path = path
        output = Mutex(Output())
        open()
    }

    /// Keeps the line whole or drops it.
    public func append(_ line: [UInt8]) { line.withByteView { append($0) } }

    public func append(_ line: ByteView) {
        let request = lines.withLock { lines -> (@Sendable () -> Void)? in
            guard lines.waiting.count + line.count <= Self.waitingBytesMax else {
                lines.dropped += 1
                return nil
            }
            unsafe line.withUnsafeBytes { bytes in unsafe lines.waiting.append(contentsOf: bytes) }
            guard lines.waiting.count >= Self.flushBytesMin, !lines.isFlushRequested else { return nil }
            lines.isFlushRequested = true
            return lines.requestFlush
        }
        request?()
    }

    public var droppedLines: Int { lines.withLock { $0.dropped } }

    /// Why the file could not be opened the last time.
    public var problem: FileError? { output.withLock { $0.problem } }

    func setFlushRequest(_ request: (@Sendable () -> Void)?) { lines.withLock { $0.requestFlush = request } }

    /// Writes what waits, as far as it goes without waiting for the reader of a pipe.
    public func flush() {
        output.withLock { output in
            if output.file == nil { Self.open(path, &output) }
            while true {
                if output.offset == output.unwritten.count {
                    output.offset = 0
                    // A burst's memory is given back.
                    output.unwritten.removeAll(
                        keepingCapacity: output.unwritten.count <= 2 * Self.flushBytesMin)
                    lines.withLock { lines in
                        lines.isFlushRequested = false
                        swap(&lines.waiting, &output.unwritten)
                    }
                    if output.unwritten.isEmpty { return }
                }
                guard write(&output) else { return }
            }
        }
    }

    /// Goes on in a new file, with whole lines: what waits goes to the old one.
    func reopen() {
        flush()
        output.withLock { output in
            guard var file = output.file.take() else { return Self.open(path, &output) }
            do throws(FileError) {
                try file.reopen()
                output.problem = nil
            } catch {
                output.problem = error
            }
            output.file = consume file
        }
    }

    private func open() { output.withLock { Self.open(path, &$0) } }

    private static func open(_ path: String, _ output: inout Output) {
        do throws(FileError) {
            output.file = try LogFile(path)
            output.problem = nil
        } catch {
            output.problem = error
        }
    }

    /// False if no more can be written at present. What fails for good, as on a full disk, is lost.
    private func write(_ output: inout Output) -> Bool {
        // Without a file the lines wait, up to their bound.
        guard let file = output.file.take() else { return false }
        let offset = output.offset
        let count = output.unwritten.withByteView { bytes in
            (try? file.appendReady(bytes.dropFirst(offset))) ?? bytes.count - offset
        }
        output.file = consume file
        output.offset += count
        return count > 0
    }
}
