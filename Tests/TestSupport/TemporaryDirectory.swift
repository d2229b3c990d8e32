import Foundation

/// A directory of its own, removed with its owner (kept when `MARTLET_KEEP_LOGS` is set).
public final class TemporaryDirectory: Sendable {
    public let url: URL

    public init() throws {
        let parent = FileManager.default.temporaryDirectory
        url = parent.appendingPathComponent("martlet-test-\(UUID().uuidString.prefix(8))")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    }

    deinit {
        if ProcessInfo.processInfo.environment["MARTLET_KEEP_LOGS"] == nil {
            try? FileManager.default.removeItem(at: url)
        }
    }

    public func path(_ name: String) -> String { url.appendingPathComponent(name).path }

    /// Writes the whole file at once, and gives its path.
    @discardableResult
    public func write(_ text: String, to name: String) throws -> String {
        try text.write(toFile: path(name), atomically: true, encoding: .utf8)
        return path(name)
    }

    /// The text of a file, nil while it is not there.
    public func read(_ name: String) -> String? { try? String(contentsOfFile: path(name), encoding: .utf8) }
}
