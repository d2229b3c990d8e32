import Reactor

/// The folder in which a sidecar keeps what it needs for a restart: mode 0700, its files 0600. Every call blocks, for
/// as long as small files take.
public struct CacheDirectory: Sendable {
    /// Key and certificate together, so that they always belong together.
    static let identityName = "identity.pem"
    static let bundleName = "trust-bundle.pem"
    static let configurationName = "configuration"
    static let instanceName = "instance"
    private static let smallBytesMax = 1 << 20

    public let path: String

    /// Makes the folder if it is not there; its parent must be.
    public init(_ path: String) throws(FileError) {
        self.path = path
        try FileSystem.makeDirectory(path, mode: 0o700)
    }

    /// nil if there is no such file.
    func read(_ name: String, bytesMax: Int = smallBytesMax) throws(FileError) -> [UInt8]? {
        do throws(FileError) {
            return try FileSystem.read("\(path)/\(name)", bytesMax: bytesMax)
        } catch {
            if error.problem == .system(.noSuchFile) { return nil }
            throw error
        }
    }

    func write(_ name: String, _ bytes: [UInt8]) throws(FileError) {
        try FileSystem.writeAtomically("\(path)/\(name)", bytes, mode: 0o600)
    }
}
