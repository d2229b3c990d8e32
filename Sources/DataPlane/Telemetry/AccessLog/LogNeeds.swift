/// Of what formats show, that which takes work to find out: it is looked up only where a format has it.
public struct LogNeeds: OptionSet, Sendable, BitwiseCopyable {
    public let rawValue: UInt8

    public init(rawValue: UInt8) { self.rawValue = rawValue }

    public static let upstreamLocal = LogNeeds(rawValue: 1)
    public static let upstreamFailure = LogNeeds(rawValue: 2)
    public static let localURISAN = LogNeeds(rawValue: 4)
    public static let serverName = LogNeeds(rawValue: 8)
    public static let hostname = LogNeeds(rawValue: 16)
    public static let localReplyBody = LogNeeds(rawValue: 32)

    init(_ kind: OperatorKind) {
        self =
            switch kind {
            case .upstreamLocal, .upstreamLocalAlone, .upstreamLocalPort: .upstreamLocal
            case .upstreamFailure, .responseCodeDetails: .upstreamFailure
            case .localURISAN: .localURISAN
            case .serverName: .serverName
            case .hostname: .hostname
            case .localReplyBody: .localReplyBody
            default: []
            }
    }
}
