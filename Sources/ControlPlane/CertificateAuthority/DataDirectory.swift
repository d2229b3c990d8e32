import Foundation
import Synchronization

/// The control plane's own folder: keys, tokens, revisions. One process at a time; every file is replaced whole.
public final class DataDirectory: Sendable {
    public struct Failed: Error, Sendable, CustomStringConvertible {
        public let description: String
    }

    public let path: String
    private let lock: Int32
    private let writes = Mutex(0)

    /// Makes the folder with mode 0700 if it is not there, and claims it until the process ends.
    public init(_ path: String) throws {
        self.path = path
        do {
            try FileManager.default.createDirectory(
                atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        } catch {
            throw Failed(description: "\(path): cannot be made: \(error.localizedDescription)")
        }
        guard chmod(path, 0o700) == 0 else { throw Self.failure("\(path): mode 0700") }
        lock = open("\(path)/lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard lock >= 0 else { throw Self.failure("\(path)/lock") }
        guard flock(lock, LOCK_EX | LOCK_NB) == 0 else {
            close(lock)
            throw Failed(
                description:
                    "\(path): another martlet-control uses it; stop that one, or give another --data-dir")
        }
    }

    deinit { close(lock) }

    /// The file's bytes; `nil` if there is none.
    public func read(_ name: String) throws -> Data? {
        let file = "\(path)/\(name)"
        guard FileManager.default.fileExists(atPath: file) else { return nil }
        return try Data(contentsOf: URL(filePath: file))
    }

    /// Replaces the file: after a crash there is the old content or the new, never a part.
    public func write(_ name: String, _ data: Data, mode: mode_t = 0o600) throws {
        try writes.withLock { _ in
            try AtomicFile.write(data, to: "\(path)/\(name)", mode: mode)
        }
    }

    private static func failure(_ what: String) -> Failed {
        Failed(description: "\(what): \(String(cString: strerror(errno)))")
    }
}

/// Writes files so that a reader sees the old content or the new.
public enum AtomicFile {
    /// A temporary file beside the target, made durable, then renamed over it.
    public static func write(_ data: Data, to path: String, mode: mode_t) throws {
        let temporary = "\(path).new"
        unlink(temporary)
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode)
        guard descriptor >= 0 else { throw failure(temporary) }
        defer { close(descriptor) }
        // The mode of `open` is cut by the umask; a trust bundle must be readable for all the same.
        guard fchmod(descriptor, mode) == 0 else { throw failure(temporary) }
        var offset = 0
        try data.withUnsafeBytes { bytes in
            while offset < bytes.count {
                let count = Foundation.write(
                    descriptor, bytes.baseAddress?.advanced(by: offset), bytes.count - offset)
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { throw failure(temporary) }
                offset += count
            }
        }
        guard fsync(descriptor) == 0, rename(temporary, path) == 0 else { throw failure(path) }
    }

    private static func failure(_ path: String) -> DataDirectory.Failed {
        DataDirectory.Failed(description: "\(path): \(String(cString: strerror(errno)))")
    }
}
