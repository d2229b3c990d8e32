import Glibc
import MeshConfig

/// Finds and reads the files of operators: every `*.yaml` and `*.yml` below a folder, or single files by name.
public struct ConfigDirectory: Sendable {
    public struct Unreadable: Error, Sendable, Equatable, CustomStringConvertible {
        public let path: String
        public let problem: String

        public var description: String {
            "\(path):1:1: document: \(problem); check the path and its permissions"
        }
    }

    static let filesMax = 10_000
    static let depthMax = 16
    static let bytesMax = 64 << 20

    /// What tells one state of a file from another without reading it.
    struct Stamp: Sendable, Hashable {
        let path: String
        let inode: UInt64
        let size: Int64
        let seconds: Int
        let nanoseconds: Int
    }

    public let paths: [String]

    public init(_ paths: [String]) { self.paths = paths }

    /// All files in the order of their names. A path that is a file is taken whatever it is called.
    func stamps() throws(Unreadable) -> [Stamp] {
        var stamps: [Stamp] = []
        for path in paths {
            try collect(path, depth: 0, into: &stamps)
        }
        return stamps.sorted { $0.path < $1.path }
    }

    public func read() throws(Unreadable) -> [MeshSpecification.Source] {
        var total = 0
        var sources: [MeshSpecification.Source] = []
        for stamp in try stamps() {
            let bytes = try Self.readFile(stamp.path)
            total += bytes.count
            guard total <= Self.bytesMax else {
                throw Unreadable(
                    path: stamp.path, problem: "the files have more than \(Self.bytesMax) bytes together")
            }
            sources.append(MeshSpecification.Source(name: stamp.path, bytes: bytes))
        }
        return sources
    }

    private func collect(_ path: String, depth: Int, into stamps: inout [Stamp]) throws(Unreadable) {
        var status = stat()
        guard stat(path, &status) == 0 else {
            // A file that vanished between the listing and now is no error; the operator's own path is.
            guard depth == 0 else { return }
            throw Unreadable(path: path, problem: String(cString: strerror(errno)))
        }
        guard status.st_mode & S_IFMT == S_IFDIR else {
            guard depth == 0 || path.hasSuffix(".yaml") || path.hasSuffix(".yml") else { return }
            guard stamps.count < Self.filesMax else {
                throw Unreadable(path: path, problem: "there are more than \(Self.filesMax) files")
            }
            stamps.append(
                Stamp(
                    path: path, inode: UInt64(status.st_ino), size: Int64(status.st_size),
                    seconds: status.st_mtim.tv_sec, nanoseconds: status.st_mtim.tv_nsec))
            return
        }
        guard depth < Self.depthMax else {
            throw Unreadable(path: path, problem: "folders are nested deeper than \(Self.depthMax)")
        }
        for name in try Self.names(in: path) where !name.hasPrefix(".") {
            try collect(
                path.hasSuffix("/") ? path + name : "\(path)/\(name)", depth: depth + 1, into: &stamps)
        }
    }

    private static func names(in path: String) throws(Unreadable) -> [String] {
        guard let directory = opendir(path) else {
            throw Unreadable(path: path, problem: String(cString: strerror(errno)))
        }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: Int(NAME_MAX) + 1) { String(cString: $0) }
            }
            names.append(name)
        }
        return names
    }

    private static func readFile(_ path: String) throws(Unreadable) -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw Unreadable(path: path, problem: String(cString: strerror(errno))) }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 64 << 10)
        while bytes.count <= bytesMax {
            let count = Glibc.read(descriptor, &chunk, chunk.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw Unreadable(path: path, problem: String(cString: strerror(errno))) }
            guard count > 0 else { break }
            bytes += chunk[..<count]
        }
        return bytes
    }
}
