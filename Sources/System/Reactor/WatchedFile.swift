/// Tells, when asked, whether a path has another content than the last time. Asking is one stat(2): for files that are
/// looked at every few seconds.
public struct WatchedFile: Sendable {
    public let path: String
    private var seen: FileIdentity?

    /// What is there now counts as seen.
    public init(_ path: String) {
        self.path = path
        seen = try? FileSystem.identity(of: path)
    }

    /// A file that is missing has not changed: whoever replaces it in two steps is in between.
    public mutating func hasChanged() -> Bool {
        guard let found = try? FileSystem.identity(of: path), found != seen else { return false }
        seen = found
        return true
    }
}
