import CLinux
import Glibc
import MeshPrimitives

/// Why a file could not be read or written.
public struct FileError: Error, Equatable, Sendable, CustomStringConvertible {
    public enum Problem: Equatable, Sendable {
        case system(SystemErrno)
        case larger(thanBytes: Int)
    }

    public let path: String
    public let problem: Problem

    public init(path: String, problem: Problem) { (self.path, self.problem) = (path, problem) }

    init(_ path: String, negated result: Int) {
        self.init(path: path, problem: .system(SystemErrno(negated: result)))
    }

    public var description: String {
        switch problem {
        case .system(let code): "\(path): \(code)"
        case .larger(let max): "\(path): larger than \(max) bytes"
        }
    }
}

/// What tells one content of a path from another without reading it. Links are followed: replacing what one leads to
/// changes the identity.
public struct FileIdentity: Hashable, Sendable {
    private let device, inode: UInt64
    private let modified, changed: Int64
    /// Bytes.
    public let size: Int64
    public let isDirectory: Bool

    init(_ bare: martlet_file_identity) {
        (device, inode) = (bare.device, bare.inode)
        (modified, changed) = (bare.modified_nanoseconds, bare.changed_nanoseconds)
        size = bare.size
        isDirectory = bare.is_directory != 0
    }
}

/// Small files, whole. Every call blocks: for start-up and for threads that carry no requests.
public enum FileSystem {
    /// The whole file, if it has at most `bytesMax` bytes.
    public static func read(_ path: String, bytesMax: Int) throws(FileError) -> [UInt8] {
        let file = try OpenFile(path, O_RDONLY, mode: 0)
        var bytes: [UInt8] = []
        // A large file is not moved again and again as it grows. Those of /proc have no size: read until the end.
        if let identity = try? identity(of: path), identity.size <= Int64(bytesMax) {
            bytes.reserveCapacity(Int(identity.size))
        }
        var chunk = [UInt8](repeating: 0, count: min(bytesMax + 1, 64 << 10))
        while true {
            let size = chunk.count
            let count = unsafe martlet_read(file.rawValue, &chunk, size)
            if count < 0 { throw FileError(path, negated: count) }
            if count == 0 { return bytes }
            guard bytes.count + count <= bytesMax else {
                throw FileError(path: path, problem: .larger(thanBytes: bytesMax))
            }
            bytes += chunk[..<count]
        }
    }

    /// Replaces the file in one step: whoever opens it finds the old or the new content, whole, and after a power cut
    /// too. `mode` is taken as it is, whatever the umask.
    public static func writeAtomically(
        _ path: String, _ bytes: [UInt8], mode: UInt32 = 0o644
    ) throws(FileError) {
        let temporary = "\(path).\(String(LinuxKernel.make().randomSeed(), radix: 36)).tmp"
        do throws(FileError) {
            let file = try OpenFile(temporary, O_WRONLY | O_CREAT | O_EXCL, mode: 0o600)
            try bytes.withByteView { bytes throws(FileError) in try file.write(bytes) }
            try file.check(martlet_fchmod(file.rawValue, mode))
            try file.check(martlet_fsync(file.rawValue))
        } catch {
            _ = unsafe martlet_unlink(temporary)
            throw FileError(path: path, problem: error.problem)
        }
        let result = unsafe martlet_rename(temporary, path)
        if result < 0 {
            _ = unsafe martlet_unlink(temporary)
            throw FileError(path, negated: result)
        }
        let slash = path.lastIndex(of: "/")
        let folder = slash.map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
        let directory = try OpenFile(folder, O_RDONLY | O_DIRECTORY, mode: 0)
        try directory.check(martlet_fsync(directory.rawValue))
    }

    public static func identity(of path: String) throws(FileError) -> FileIdentity {
        var bare = martlet_file_identity()
        let result = unsafe martlet_stat(path, &bare)
        if result < 0 { throw FileError(path, negated: result) }
        return FileIdentity(bare)
    }

    /// One that is there already is left as it is. Parents are not made.
    public static func makeDirectory(_ path: String, mode: UInt32) throws(FileError) {
        let result = unsafe martlet_mkdir(path, mode)
        if result >= 0 { return }
        if result == -Int(EEXIST), let found = try? identity(of: path), found.isDirectory { return }
        throw FileError(path, negated: result)
    }

    /// Fails if there is none.
    public static func remove(_ path: String) throws(FileError) {
        let result = unsafe martlet_unlink(path)
        if result < 0 { throw FileError(path, negated: result) }
    }
}

/// An open file, closed with the value.
struct OpenFile: ~Copyable {
    let rawValue: Int32
    let path: String

    init(_ path: String, _ flags: Int32, mode: UInt32) throws(FileError) {
        let result = unsafe martlet_open(path, flags, mode)
        if result < 0 { throw FileError(path, negated: result) }
        (rawValue, self.path) = (Int32(result), path)
    }

    init(duplicating descriptor: Int32, _ path: String) throws(FileError) {
        let result = martlet_duplicate(descriptor)
        if result < 0 { throw FileError(path, negated: result) }
        (rawValue, self.path) = (Int32(result), path)
    }

    deinit { _ = Glibc.close(rawValue) }

    func check(_ result: Int) throws(FileError) {
        if result < 0 { throw FileError(path, negated: result) }
    }

    /// All of it.
    func write(_ bytes: ByteView) throws(FileError) {
        var rest = bytes
        while !rest.isEmpty {
            let count = unsafe martlet_write(rawValue, rest.pointer, rest.count)
            try check(count)
            rest = rest.dropFirst(count)
        }
    }
}
