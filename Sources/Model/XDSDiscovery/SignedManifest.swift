import XDSSchema

/// What a control plane of ours vouches for: the list of everything that it has sent, and its signature. It has no
/// effect on traffic; who keeps resources for a later start keeps it with them.
public struct SignedManifest: Sendable, Equatable {
    /// By which it is asked for.
    public static let name = "martlet:manifest"

    /// A `martlet.v1.Manifest`, binary.
    public var manifest: [UInt8]
    public var signature: [UInt8]

    public init(manifest: [UInt8], signature: [UInt8]) {
        (self.manifest, self.signature) = (manifest, signature)
    }

    init(_ message: ConfigMessage) {
        typealias F = XDS.MartletSignedManifest
        self.init(manifest: message.bytes(F.manifest), signature: message.bytes(F.signature))
    }
}
