import MeshPrimitives

/// Request methods that mean something to a proxy (RFC 9110 section 9). `other` is any other token.
public enum Method: UInt8, Sendable, BitwiseCopyable, CaseIterable {
    case get, head, post, put, delete, connect, options, trace, patch, other

    /// Methods are case-sensitive.
    public init(_ token: ByteView) {
        switch token.count {
        case 3: self = token.equals("GET") ? .get : token.equals("PUT") ? .put : .other
        case 4: self = token.equals("POST") ? .post : token.equals("HEAD") ? .head : .other
        case 5: self = token.equals("PATCH") ? .patch : token.equals("TRACE") ? .trace : .other
        case 6: self = token.equals("DELETE") ? .delete : .other
        case 7: self = token.equals("OPTIONS") ? .options : token.equals("CONNECT") ? .connect : .other
        default: self = .other
        }
    }

    /// GET, HEAD, OPTIONS and TRACE (RFC 9110 section 9.2.1): asking twice changes nothing.
    public var isSafe: Bool {
        switch self {
        case .get, .head, .options, .trace: true
        case .post, .put, .delete, .connect, .patch, .other: false
        }
    }

    /// The safe ones, PUT and DELETE (RFC 9110 section 9.2.2).
    public var isIdempotent: Bool { isSafe || self == .put || self == .delete }
}
