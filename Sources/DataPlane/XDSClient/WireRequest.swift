import XDSDiscovery
import XDSSchema

/// What a DiscoveryRequest of ours asks for.
struct WireRequest {
    var kind: ResourceKind
    /// Empty: all of them.
    var names: [String]

    init?(_ bytes: [UInt8]) {
        typealias F = XDS.DiscoveryRequest
        var problems = ConfigProblems()
        guard
            let message = WireReader.read(
                bytes, as: F.messageType, keepsAnyPacked: true, problems: &problems),
            let kind = ResourceKind(typeURL: message.text(F.typeUrl))
        else { return nil }
        (self.kind, names) = (kind, message.texts(F.resourceNames))
    }

    static func kind(of bytes: [UInt8]) -> ResourceKind? { WireRequest(bytes)?.kind }
}
