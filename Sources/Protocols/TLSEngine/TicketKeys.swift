import COpenSSL

/// The secret under which a server seals session tickets. Contexts that were given the same keys, and have
/// the same certificate and trust bundle, accept each other's tickets. Never printed.
public struct TicketKeys: Hashable, Sendable, CustomStringConvertible, CustomReflectable {
    static let byteCount = 80
    let bytes: [UInt8]

    /// Fresh random keys; nil when the system has no randomness to give.
    public static func makeRandom() -> TicketKeys? {
        var bytes = [UInt8](repeating: 0, count: byteCount)
        guard unsafe RAND_priv_bytes(&bytes, CInt(byteCount)) == 1 else { return nil }
        return TicketKeys(bytes: bytes)
    }

    private init(bytes: [UInt8]) { self.bytes = bytes }

    public var description: String { "TicketKeys(hidden)" }
    public var customMirror: Mirror { Mirror(self, children: []) }
}
