import MeshPrimitives

/// Names of header fields that the proxy knows; what it meets is looked up once and compared by number from then on.
/// There are fewer than 64 of them, so that a message's set of known names is one word.
public enum FieldName: UInt8, Sendable, BitwiseCopyable, CaseIterable {
    case other
    case host
    case contentLength
    case transferEncoding
    case connection
    case keepAlive
    case proxyConnection
    case te
    case trailer
    case upgrade
    case expect
    case date
    case server
    case xRequestID
    case xForwardedFor
    case xForwardedProto
    case xForwardedClientCert
    case xForwardedHost
    case xForwardedPort
    case traceparent
    case tracestate
    case b3
    case xB3Traceid
    case xB3Spanid
    case xB3Parentspanid
    case xB3Sampled
    case xB3Flags
    case xEnvoyAttemptCount
    case xEnvoyExpectedRqTimeoutMs
    case xEnvoyUpstreamServiceTime
    case xEnvoyRetryOn
    case xEnvoyRetryGrpcOn
    case xEnvoyMaxRetries
    case xEnvoyUpstreamRqTimeoutMs
    case xEnvoyUpstreamRqPerTryTimeoutMs
    case xEnvoyRetriableStatusCodes
    case xEnvoyOverloaded
    case xEnvoyRatelimited
    case xEnvoyInternal
    case xEnvoyExternalAddress
    case xEnvoyOriginalPath
    case xEnvoyDecoratorOperation
    case xMartletRetry
    case retryAfter
    case xRatelimitLimit
    case xRatelimitRemaining
    case xRatelimitReset
    case grpcStatus
    case grpcMessage
    case grpcTimeout
    case contentType
    case userAgent
    case referer
    case location
    case cookie
    case setCookie
    case via
    case authorization
    case proxyStatus
    case idempotencyKey
    case http2Settings
    case proxyAuthenticate
    case proxyAuthorization

    /// Of the word that holds a set of names.
    @inlinable public var bit: UInt64 { 1 &<< UInt64(rawValue) }

    /// The name in lower case; empty for `other`. Of a name that is known when it is compiled, a constant.
    @inlinable @inline(__always) public var text: ByteView {
        switch self {
        case .other: ByteView("")
        case .host: ByteView("host")
        case .contentLength: ByteView("content-length")
        case .transferEncoding: ByteView("transfer-encoding")
        case .connection: ByteView("connection")
        case .keepAlive: ByteView("keep-alive")
        case .proxyConnection: ByteView("proxy-connection")
        case .te: ByteView("te")
        case .trailer: ByteView("trailer")
        case .upgrade: ByteView("upgrade")
        case .expect: ByteView("expect")
        case .date: ByteView("date")
        case .server: ByteView("server")
        case .xRequestID: ByteView("x-request-id")
        case .xForwardedFor: ByteView("x-forwarded-for")
        case .xForwardedProto: ByteView("x-forwarded-proto")
        case .xForwardedClientCert: ByteView("x-forwarded-client-cert")
        case .xForwardedHost: ByteView("x-forwarded-host")
        case .xForwardedPort: ByteView("x-forwarded-port")
        case .traceparent: ByteView("traceparent")
        case .tracestate: ByteView("tracestate")
        case .b3: ByteView("b3")
        case .xB3Traceid: ByteView("x-b3-traceid")
        case .xB3Spanid: ByteView("x-b3-spanid")
        case .xB3Parentspanid: ByteView("x-b3-parentspanid")
        case .xB3Sampled: ByteView("x-b3-sampled")
        case .xB3Flags: ByteView("x-b3-flags")
        case .xEnvoyAttemptCount: ByteView("x-envoy-attempt-count")
        case .xEnvoyExpectedRqTimeoutMs: ByteView("x-envoy-expected-rq-timeout-ms")
        case .xEnvoyUpstreamServiceTime: ByteView("x-envoy-upstream-service-time")
        case .xEnvoyRetryOn: ByteView("x-envoy-retry-on")
        case .xEnvoyRetryGrpcOn: ByteView("x-envoy-retry-grpc-on")
        case .xEnvoyMaxRetries: ByteView("x-envoy-max-retries")
        case .xEnvoyUpstreamRqTimeoutMs: ByteView("x-envoy-upstream-rq-timeout-ms")
        case .xEnvoyUpstreamRqPerTryTimeoutMs: ByteView("x-envoy-upstream-rq-per-try-timeout-ms")
        case .xEnvoyRetriableStatusCodes: ByteView("x-envoy-retriable-status-codes")
        case .xEnvoyOverloaded: ByteView("x-envoy-overloaded")
        case .xEnvoyRatelimited: ByteView("x-envoy-ratelimited")
        case .xEnvoyInternal: ByteView("x-envoy-internal")
        case .xEnvoyExternalAddress: ByteView("x-envoy-external-address")
        case .xEnvoyOriginalPath: ByteView("x-envoy-original-path")
        case .xEnvoyDecoratorOperation: ByteView("x-envoy-decorator-operation")
        case .xMartletRetry: ByteView("x-martlet-retry")
        case .retryAfter: ByteView("retry-after")
        case .xRatelimitLimit: ByteView("x-ratelimit-limit")
        case .xRatelimitRemaining: ByteView("x-ratelimit-remaining")
        case .xRatelimitReset: ByteView("x-ratelimit-reset")
        case .grpcStatus: ByteView("grpc-status")
        case .grpcMessage: ByteView("grpc-message")
        case .grpcTimeout: ByteView("grpc-timeout")
        case .contentType: ByteView("content-type")
        case .userAgent: ByteView("user-agent")
        case .referer: ByteView("referer")
        case .location: ByteView("location")
        case .cookie: ByteView("cookie")
        case .setCookie: ByteView("set-cookie")
        case .via: ByteView("via")
        case .authorization: ByteView("authorization")
        case .proxyStatus: ByteView("proxy-status")
        case .idempotencyKey: ByteView("idempotency-key")
        case .http2Settings: ByteView("http2-settings")
        case .proxyAuthenticate: ByteView("proxy-authenticate")
        case .proxyAuthorization: ByteView("proxy-authorization")
        }
    }

    /// Letters of `name` may have either case.
    public init(_ name: ByteView) {
        switch name.count {
        case 2:
            switch name[0] | 0x20 {
            case 0x62: self = name.equalsLowercased("b3") ? .b3 : .other
            case 0x74: self = name.equalsLowercased("te") ? .te : .other
            default: self = .other
            }
        case 3:
            self = name.equalsLowercased("via") ? .via : .other
        case 4:
            switch name[0] | 0x20 {
            case 0x64: self = name.equalsLowercased("date") ? .date : .other
            case 0x68: self = name.equalsLowercased("host") ? .host : .other
            default: self = .other
            }
        case 6:
            switch name[0] | 0x20 {
            case 0x63: self = name.equalsLowercased("cookie") ? .cookie : .other
            case 0x65: self = name.equalsLowercased("expect") ? .expect : .other
            case 0x73: self = name.equalsLowercased("server") ? .server : .other
            default: self = .other
            }
        case 7:
            switch name[0] | 0x20 {
            case 0x72: self = name.equalsLowercased("referer") ? .referer : .other
            case 0x74: self = name.equalsLowercased("trailer") ? .trailer : .other
            case 0x75: self = name.equalsLowercased("upgrade") ? .upgrade : .other
            default: self = .other
            }
        case 8:
            self = name.equalsLowercased("location") ? .location : .other
        case 10:
            switch name[0] | 0x20 {
            case 0x63: self = name.equalsLowercased("connection") ? .connection : .other
            case 0x6b: self = name.equalsLowercased("keep-alive") ? .keepAlive : .other
            case 0x73: self = name.equalsLowercased("set-cookie") ? .setCookie : .other
            case 0x74: self = name.equalsLowercased("tracestate") ? .tracestate : .other
            case 0x75: self = name.equalsLowercased("user-agent") ? .userAgent : .other
            case 0x78: self = name.equalsLowercased("x-b3-flags") ? .xB3Flags : .other
            default: self = .other
            }
        case 11:
            switch name[0] | 0x20 {
            case 0x67: self = name.equalsLowercased("grpc-status") ? .grpcStatus : .other
            case 0x72: self = name.equalsLowercased("retry-after") ? .retryAfter : .other
            case 0x74: self = name.equalsLowercased("traceparent") ? .traceparent : .other
            case 0x78: self = name.equalsLowercased("x-b3-spanid") ? .xB3Spanid : .other
            default: self = .other
            }
        case 12:
            switch name[9] | 0x20 {
            case 0x2d: self = name.equalsLowercased("x-request-id") ? .xRequestID : .other
            case 0x61: self = name.equalsLowercased("grpc-message") ? .grpcMessage : .other
            case 0x65: self = name.equalsLowercased("x-b3-traceid") ? .xB3Traceid : .other
            case 0x6c: self = name.equalsLowercased("x-b3-sampled") ? .xB3Sampled : .other
            case 0x6f: self = name.equalsLowercased("grpc-timeout") ? .grpcTimeout : .other
            case 0x74: self = name.equalsLowercased("proxy-status") ? .proxyStatus : .other
            case 0x79: self = name.equalsLowercased("content-type") ? .contentType : .other
            default: self = .other
            }
        case 13:
            self = name.equalsLowercased("authorization") ? .authorization : .other
        case 14:
            switch name[0] | 0x20 {
            case 0x63: self = name.equalsLowercased("content-length") ? .contentLength : .other
            case 0x68: self = name.equalsLowercased("http2-settings") ? .http2Settings : .other
            default: self = .other
            }
        case 15:
            switch name[2] | 0x20 {
            case 0x65: self = name.equalsLowercased("idempotency-key") ? .idempotencyKey : .other
            case 0x66: self = name.equalsLowercased("x-forwarded-for") ? .xForwardedFor : .other
            case 0x6d: self = name.equalsLowercased("x-martlet-retry") ? .xMartletRetry : .other
            default: self = .other
            }
        case 16:
            switch name[12] | 0x20 {
            case 0x68: self = name.equalsLowercased("x-forwarded-host") ? .xForwardedHost : .other
            case 0x70: self = name.equalsLowercased("x-forwarded-port") ? .xForwardedPort : .other
            case 0x72: self = name.equalsLowercased("x-envoy-internal") ? .xEnvoyInternal : .other
            case 0x74: self = name.equalsLowercased("proxy-connection") ? .proxyConnection : .other
            case 0x79: self = name.equalsLowercased("x-envoy-retry-on") ? .xEnvoyRetryOn : .other
            default: self = .other
            }
        case 17:
            switch name[13] | 0x20 {
            case 0x61: self = name.equalsLowercased("x-b3-parentspanid") ? .xB3Parentspanid : .other
            case 0x64: self = name.equalsLowercased("transfer-encoding") ? .transferEncoding : .other
            case 0x65: self = name.equalsLowercased("x-ratelimit-reset") ? .xRatelimitReset : .other
            case 0x69: self = name.equalsLowercased("x-ratelimit-limit") ? .xRatelimitLimit : .other
            case 0x72: self = name.equalsLowercased("x-forwarded-proto") ? .xForwardedProto : .other
            default: self = .other
            }
        case 18:
            switch name[0] | 0x20 {
            case 0x70: self = name.equalsLowercased("proxy-authenticate") ? .proxyAuthenticate : .other
            case 0x78: self = name.equalsLowercased("x-envoy-overloaded") ? .xEnvoyOverloaded : .other
            default: self = .other
            }
        case 19:
            switch name[8] | 0x20 {
            case 0x6d: self = name.equalsLowercased("x-envoy-max-retries") ? .xEnvoyMaxRetries : .other
            case 0x72: self = name.equalsLowercased("x-envoy-ratelimited") ? .xEnvoyRatelimited : .other
            case 0x74: self = name.equalsLowercased("proxy-authorization") ? .proxyAuthorization : .other
            default: self = .other
            }
        case 21:
            switch name[8] | 0x20 {
            case 0x61:
                self =
                    name.equalsLowercased("x-envoy-attempt-count")
                    ? .xEnvoyAttemptCount
                    : .other
            case 0x6d:
                self =
                    name.equalsLowercased("x-ratelimit-remaining")
                    ? .xRatelimitRemaining
                    : .other
            case 0x6f:
                self =
                    name.equalsLowercased("x-envoy-original-path")
                    ? .xEnvoyOriginalPath
                    : .other
            case 0x72: self = name.equalsLowercased("x-envoy-retry-grpc-on") ? .xEnvoyRetryGrpcOn : .other
            default: self = .other
            }
        case 23:
            self = name.equalsLowercased("x-forwarded-client-cert") ? .xForwardedClientCert : .other
        case 24:
            self = name.equalsLowercased("x-envoy-external-address") ? .xEnvoyExternalAddress : .other
        case 27:
            self = name.equalsLowercased("x-envoy-decorator-operation") ? .xEnvoyDecoratorOperation : .other
        case 29:
            self =
                name.equalsLowercased("x-envoy-upstream-service-time") ? .xEnvoyUpstreamServiceTime : .other
        case 30:
            switch name[8] | 0x20 {
            case 0x65:
                self =
                    name.equalsLowercased("x-envoy-expected-rq-timeout-ms")
                    ? .xEnvoyExpectedRqTimeoutMs
                    : .other
            case 0x72:
                self =
                    name.equalsLowercased("x-envoy-retriable-status-codes")
                    ? .xEnvoyRetriableStatusCodes
                    : .other
            case 0x75:
                self =
                    name.equalsLowercased("x-envoy-upstream-rq-timeout-ms")
                    ? .xEnvoyUpstreamRqTimeoutMs
                    : .other
            default: self = .other
            }
        case 38:
            self =
                name.equalsLowercased("x-envoy-upstream-rq-per-try-timeout-ms")
                ? .xEnvoyUpstreamRqPerTryTimeoutMs : .other
        default: self = .other
        }
    }

    /// Only about the connection that it came on; never forwarded (RFC 9110 section 7.6.1).
    public var isHopByHop: Bool {
        switch self {
        case .connection, .keepAlive, .proxyConnection, .transferEncoding, .te, .upgrade, .http2Settings: true
        default: false
        }
    }
}
