import HTTPModel
import MeshPrimitives

/// Which words a command operator of Envoy's format strings stands for.
enum OperatorKind: UInt8, BitwiseCopyable, CaseIterable {
    case requestField, responseField, trailerField
    case startTime, emitTime
    case duration, requestDuration, requestTxDuration, responseDuration, responseTxDuration
    case bytesReceived, bytesSent, requestHeaderBytes, responseHeaderBytes
    case protocolName, upstreamProtocol
    case responseCode, responseCodeDetails, connectionTerminationDetails, responseFlags, responseFlagsLong
    case routeName, virtualHostName, upstreamCluster
    case upstreamHost, upstreamHostAlone, upstreamHostPort
    case upstreamLocal, upstreamLocalAlone, upstreamLocalPort
    case upstreamFailure, attemptCount
    case retryReasons, retryRefusal, shadowDecisions
    case downstreamRemote, downstreamRemoteAlone, downstreamRemotePort
    case downstreamDirect, downstreamDirectAlone, downstreamDirectPort
    case downstreamLocal, downstreamLocalAlone, downstreamLocalPort
    case peerURISAN, peerDNSSAN, peerSubject, peerIssuer, peerSerial, peerFingerprint, peerCertificate
    case peerValidFrom, peerValidUntil
    case localURISAN, localDNSSAN, localSubject
    case tlsVersion, tlsCipher, tlsSessionID, serverName
    case connectionID, streamID, traceID, spanID
    case hostname, localReplyBody
    /// What never is there: of features that are refused where they are configured.
    case absent
    case grpcStatus, grpcStatusSnake, grpcStatusNumber

    /// What an operator without argument is called.
    init?(_ name: String) {
        let kind: OperatorKind? =
            switch name {
            case "DURATION": .duration
            case "REQUEST_DURATION": .requestDuration
            case "REQUEST_TX_DURATION": .requestTxDuration
            case "RESPONSE_DURATION": .responseDuration
            case "RESPONSE_TX_DURATION": .responseTxDuration
            case "BYTES_RECEIVED": .bytesReceived
            case "BYTES_SENT": .bytesSent
            case "REQUEST_HEADERS_BYTES", "DOWNSTREAM_HEADER_BYTES_RECEIVED": .requestHeaderBytes
            case "RESPONSE_HEADERS_BYTES", "DOWNSTREAM_HEADER_BYTES_SENT": .responseHeaderBytes
            case "PROTOCOL": .protocolName
            case "UPSTREAM_PROTOCOL": .upstreamProtocol
            case "RESPONSE_CODE": .responseCode
            case "RESPONSE_CODE_DETAILS": .responseCodeDetails
            case "CONNECTION_TERMINATION_DETAILS": .connectionTerminationDetails
            case "RESPONSE_FLAGS": .responseFlags
            case "RESPONSE_FLAGS_LONG": .responseFlagsLong
            case "ROUTE_NAME": .routeName
            case "VIRTUAL_HOST_NAME": .virtualHostName
            case "UPSTREAM_CLUSTER", "UPSTREAM_CLUSTER_RAW": .upstreamCluster
            case "LOCAL_REPLY_BODY": .localReplyBody
            case "HOSTNAME": .hostname
            case "CONNECTION_ID": .connectionID
            case "STREAM_ID": .streamID
            case "TRACE_ID": .traceID
            case "SPAN_ID": .spanID
            case "GRPC_STATUS": .grpcStatus
            case "GRPC_STATUS_NUMBER": .grpcStatusNumber
            case "REQUESTED_SERVER_NAME": .serverName
            case "MARTLET_RETRY_REASONS": .retryReasons
            case "MARTLET_RETRY_REFUSAL": .retryRefusal
            case "MARTLET_SHADOW": .shadowDecisions
            case "VIRTUAL_CLUSTER_NAME", "DOWNSTREAM_TRANSPORT_FAILURE_REASON": .absent
            default: Self.address(name) ?? Self.peer(name)
            }
        guard let kind else { return nil }
        self = kind
    }

    private static func address(_ name: String) -> OperatorKind? {
        switch name {
        case "UPSTREAM_HOST", "UPSTREAM_REMOTE_ADDRESS": .upstreamHost
        case "UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT": .upstreamHostAlone
        case "UPSTREAM_REMOTE_PORT": .upstreamHostPort
        case "UPSTREAM_LOCAL_ADDRESS": .upstreamLocal
        case "UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT": .upstreamLocalAlone
        case "UPSTREAM_LOCAL_PORT": .upstreamLocalPort
        case "UPSTREAM_REQUEST_ATTEMPT_COUNT": .attemptCount
        case "UPSTREAM_TRANSPORT_FAILURE_REASON": .upstreamFailure
        case "DOWNSTREAM_REMOTE_ADDRESS": .downstreamRemote
        case "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT": .downstreamRemoteAlone
        case "DOWNSTREAM_REMOTE_PORT": .downstreamRemotePort
        case "DOWNSTREAM_DIRECT_REMOTE_ADDRESS": .downstreamDirect
        case "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT": .downstreamDirectAlone
        case "DOWNSTREAM_DIRECT_REMOTE_PORT": .downstreamDirectPort
        case "DOWNSTREAM_LOCAL_ADDRESS": .downstreamLocal
        case "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT": .downstreamLocalAlone
        case "DOWNSTREAM_LOCAL_PORT": .downstreamLocalPort
        default: nil
        }
    }

    private static func peer(_ name: String) -> OperatorKind? {
        switch name {
        case "DOWNSTREAM_PEER_URI_SAN": .peerURISAN
        case "DOWNSTREAM_PEER_DNS_SAN": .peerDNSSAN
        case "DOWNSTREAM_PEER_SUBJECT": .peerSubject
        case "DOWNSTREAM_PEER_ISSUER": .peerIssuer
        case "DOWNSTREAM_PEER_SERIAL": .peerSerial
        case "DOWNSTREAM_PEER_FINGERPRINT_256": .peerFingerprint
        case "DOWNSTREAM_PEER_CERT": .peerCertificate
        case "DOWNSTREAM_LOCAL_URI_SAN": .localURISAN
        case "DOWNSTREAM_LOCAL_DNS_SAN": .localDNSSAN
        case "DOWNSTREAM_LOCAL_SUBJECT": .localSubject
        case "DOWNSTREAM_TLS_VERSION": .tlsVersion
        case "DOWNSTREAM_TLS_CIPHER": .tlsCipher
        case "DOWNSTREAM_TLS_SESSION_ID": .tlsSessionID
        default: nil
        }
    }
}

/// A field's name in a format: what it is looked up by.
struct FormatField: Sendable, BitwiseCopyable {
    enum Pseudo: UInt8, Sendable, BitwiseCopyable { case none, method, path, authority, scheme, status }

    let known: FieldName
    let pseudo: Pseudo
    /// Of the name, in lower case, among the format's literals.
    let start: Int32
    let count: Int32

    /// Appends the name to `literals`.
    init(_ text: String, in literals: inout [UInt8]) {
        let name = text.utf8.map(\.asciiLowercased)
        start = Int32(literals.count)
        count = Int32(name.count)
        literals += name
        known = name.withByteView { FieldName($0) }
        pseudo =
            switch String(decoding: name, as: UTF8.self) {
            case ":method": .method
            case ":path": .path
            case ":authority", "host": .authority
            case ":scheme": .scheme
            case ":status": .status
            default: .none
            }
    }
}
