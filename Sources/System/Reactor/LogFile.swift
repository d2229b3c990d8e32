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
