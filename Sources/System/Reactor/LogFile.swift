import CLinux
import Glibc
import MeshPrimitives

/// A file that many may append to at once, and that can be moved away under it: `reopen` goes on in a new one.
/// "/dev/stdout" and "/dev/stderr" are the process's own.
public struct LogFile: ~Copyable {
    public let path: String
    private var file: OpenFile

    public init(_ path: String, mode: UInt32 = 0o644) throws(FileError) {
        self.path = path
        file = try Self.open(path, mode: mode)
    }

    /// Whole lines at best: one call is one write, unless the disk is full.
    public func append(_ bytes: ByteView) throws(FileError) { try file.write(bytes) }

    /// As much as goes without waiting for whoever reads a pipe or terminal; the bytes written, 0 if none.
    public func appendReady(_ bytes: ByteView) throws(FileError) -> Int {
        var question = pollfd(fd: file.rawValue, events: Int16(POLLOUT), revents: 0)
        // A pipe that can be written takes this much at once (pipe(7), PIPE_BUF); files can always be.
        let piece = 4096
        var written = 0
        while written < bytes.count {
            guard unsafe poll(&question, 1, 0) > 0 else { break }
            let rest = bytes.dropFirst(written).prefix(isRegular ? bytes.count : piece)
            let count = unsafe martlet_write(file.rawValue, rest.pointer, rest.count)
            if count == -Int(EAGAIN) || count == 0 { break }
            try file.check(count)
            written += count
        }
        return written
    }

    private var isRegular: Bool {
        var status = stat()
        return unsafe fstat(file.rawValue, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
    }

    /// If this fails, the old file is still the one that is written.
    public mutating func reopen(mode: UInt32 = 0o644) throws(FileError) {
        file = try Self.open(path, mode: mode)
    }

    private static func open(_ path: String, mode: UInt32) throws(FileError) -> OpenFile {
        // Opening them by name fails where they are sockets, and forgets O_APPEND's place where they are files.
        switch path {
        case "/dev/stdout": return try OpenFile(duplicating: STDOUT_FILENO, path)
        case "/dev/stderr": return try OpenFile(duplicating: STDERR_FILENO, path)
        default: return try OpenFile(path, O_WRONLY | O_APPEND | O_CREAT, mode: mode)
        }
    }
}
