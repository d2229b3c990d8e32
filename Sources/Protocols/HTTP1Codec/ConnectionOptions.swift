import HTTPModel
import MeshPrimitives

/// The members of a message's `Connection` fields (RFC 9110 section 7.6.1).
struct ConnectionOptions {
    private(set) var hasClose = false
    private(set) var hasKeepAlive = false
    private(set) var hasUpgrade = false

    /// Marks the fields that the options name. nil if an option is no token, if there are too many of them, or if
    /// one names a field that must reach the other side: taking away `Host`, a length or a caller's identity on
    /// the sender's demand would change what the message means to whoever reads it next.
    init?(marking head: inout MessageHead, _ bytes: ByteView) {
        var count = 0
        var next = head.firstIndex(of: .connection)
        while let index = next {
            next = head.firstIndex(of: .connection, from: index + 1)
            // What nearly all connections say, without taking it apart.
            let value = head.value(index, in: bytes)
            if value.equalsLowercased("keep-alive"), !head.contains(.keepAlive) {
                hasKeepAlive = true
                continue
            }
            let isValid = value.allMembers { option in
                count += 1
                return count <= HTTP1Limits.connectionOptionsMax && read(option, bytes, &head)
            }
            guard isValid else { return nil }
        }
    }

    private mutating func read(_ option: ByteView, _ bytes: ByteView, _ head: inout MessageHead) -> Bool {
        if option.equalsLowercased("close") {
            hasClose = true
            return true
        }
        let name = FieldName(option)
        switch name {
        case .other: guard option.isToken else { return false }
        case .keepAlive: hasKeepAlive = true
        case .upgrade: hasUpgrade = true
        case .host, .contentLength, .xForwardedFor, .xForwardedHost, .xForwardedProto, .xForwardedPort,
            .xForwardedClientCert:
            return false
        default: break
        }
        guard head.contains(name) else { return true }
        for index in 0..<head.count where head.field(index).name == name {
            if name != .other || head.name(index, in: bytes).equalsIgnoringCase(option) {
                head.markConnectionOption(index)
            }
        }
        return true
    }
}
