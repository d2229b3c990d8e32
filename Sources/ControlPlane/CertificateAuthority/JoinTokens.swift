import Crypto
import Foundation

/// Join tokens: what a workload shows to get its first certificate. Only their hashes are kept.
public actor JoinTokens {
    public enum Refused: Error, Sendable, Equatable, CustomStringConvertible {
        case unknown
        case expired
        case otherService
        case tooMany

        public var description: String {
            switch self {
            case .unknown: return "the join token is not known, or was used as often as it may be"
            case .expired: return "the join token has expired"
            case .otherService: return "the join token is for another service"
            case .tooMany: return "there are \(JoinTokens.countMax) tokens already"
            }
        }
    }

    public struct Grant: Sendable, Equatable {
        public let token: String
        public let expires: Date
    }

    struct Record: Codable, Equatable {
        let hash: String
        let namespace: String
        let service: String
        let expires: Date
        var usesLeft: Int
    }

    static let countMax = 10_000
    public static let lifetimeDefault = Duration.seconds(3600)
    public static let lifetimeMax = Duration.seconds(30 * 86_400)
    public static let usesMax = 10_000
    private static let file = "tokens.json"

    private let directory: DataDirectory
    private var records: [Record]

    /// Loads the tokens of an earlier run.
    public init(in directory: DataDirectory) throws {
        self.directory = directory
        do {
            records =
                try directory.read(Self.file).map { try JSONDecoder().decode([Record].self, from: $0) } ?? []
        } catch {
            throw DataDirectory.Failed(
                description:
                    "\(directory.path)/\(Self.file): \(error); restore it, or remove it and make new tokens")
        }
    }

    /// A new token for one service. 256 random bits: its plain hash gives nothing away.
    public func make(
        namespace: String, service: String, lifetime: Duration, uses: Int, now: Date
    ) throws -> Grant {
        precondition((1...Self.usesMax).contains(uses) && lifetime > .zero && lifetime <= Self.lifetimeMax)
        records.removeAll { $0.expires <= now }
        guard records.count < Self.countMax else { throw Refused.tooMany }
        let secret = SymmetricKey(size: .bits256).withUnsafeBytes { Data($0) }
        let token =
            "mjt_"
            + secret.base64EncodedString().replacing("+", with: "-").replacing("/", with: "_")
            .replacing("=", with: "")
        let expires = now.addingTimeInterval(TimeInterval(lifetime.components.seconds))
        records.append(
            Record(
                hash: Self.hash(token), namespace: namespace, service: service, expires: expires,
                usesLeft: uses))
        try save()
        return Grant(token: token, expires: expires)
    }

    /// Spends one use. The use is gone on disk before the caller hears that it is good.
    public func redeem(_ token: String, namespace: String, service: String, now: Date) throws {
        let hash = Self.hash(token)
        guard let index = records.firstIndex(where: { $0.hash == hash }) else { throw Refused.unknown }
        guard records[index].expires > now else { throw Refused.expired }
        guard records[index].namespace == namespace, records[index].service == service else {
            throw Refused.otherService
        }
        records[index].usesLeft -= 1
        if records[index].usesLeft == 0 { records.remove(at: index) }
        try save()
    }

    private func save() throws {
        try directory.write(Self.file, try JSONEncoder().encode(records))
    }

    private static func hash(_ token: String) -> String {
        SHA256.hash(data: Data(token.utf8)).map { byte in
            let digits = String(byte, radix: 16)
            return digits.count == 1 ? "0" + digits : digits
        }.joined()
    }
}
