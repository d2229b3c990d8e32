/// Of what formats show, that which takes work to find out: it is looked up only where a format has it.
public struct LogNeeds: OptionSet, Sendable, BitwiseCopyable {
    public let rawValue: UInt16

    public init(rawValue: UInt16) { self.rawValue = rawValue }

    public static let upstreamLocal = LogNeeds(rawValue: 1)
    public static let upstreamFailure = LogNeeds(rawValue: 2)
    public static let ownCertificate = LogNeeds(rawValue: 4)
    public static let serverName = LogNeeds(rawValue: 8)
    public static let hostname = LogNeeds(rawValue: 16)
    public static let localReplyBody = LogNeeds(rawValue: 32)
    /// More of the caller's certificate than URIs and subject.
    public static let peerDetails = LogNeeds(rawValue: 64)
    public static let peerCertificate = LogNeeds(rawValue: 128)
    /// Cipher suite and session.
    public static let session = LogNeeds(rawValue: 256)

    init(_ kind: OperatorKind) {
        self =
            switch kind {
            case .upstreamLocal, .upstreamLocalAlone, .upstreamLocalPort: .upstreamLocal
            case .upstreamFailure, .responseCodeDetails: .upstreamFailure
            case .localURISAN, .localDNSSAN, .localSubject: .ownCertificate
            case .peerDNSSAN, .peerIssuer, .peerSerial, .peerFingerprint, .peerValidFrom, .peerValidUntil:
                .peerDetails
            case .peerCertificate: .peerCertificate
            case .tlsCipher, .tlsSessionID: .session
            case .serverName: .serverName
            case .hostname: .hostname
            case .localReplyBody: .localReplyBody
            default: []
            }
    }
}
