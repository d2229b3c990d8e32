import HTTP2Codec

/// Why a call did not succeed, in words for logs and `/ready`.
public enum GRPCFailure: Error, Equatable, Sendable, CustomStringConvertible {
    /// There is no connection, or no longer: "10.0.0.1:15012: connection refused".
    case connection(String)
    /// The server's own answer.
    case status(GRPCStatus)
    /// An answer that is not gRPC's.
    case notGRPC(String)
    case deadlineExceeded

    public var description: String {
        switch self {
        case .connection(let text): text
        case .status(let status):
            "grpc-status \(status.code.rawValue)\(status.message.isEmpty ? "" : ": \(status.message)")"
        case .notGRPC(let text): text
        case .deadlineExceeded: "no answer in time"
        }
    }
}
