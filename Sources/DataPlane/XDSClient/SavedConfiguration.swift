import MeshPrimitives
import Reactor
import TLSEngine
import XDSDiscovery
import XDSSchema

/// The resources of the last good configuration, as they lie in a file for the next start, with the control plane's
/// signature.
///
/// The file: a line that names the format, the manifest and its signature, then for each resource its kind (one byte),
/// its name and its message; everything but the kind has its length before it (four bytes, first byte highest). The
/// manifest names every resource with its digest, so that the one signature covers all of them: who can write to the
/// folder can take the file away or put an older one there, but cannot make a configuration.
///
/// Versions are not kept: a proxy that comes back with them could be taken for one that is up to date.
public struct SavedConfiguration: Sendable, Equatable {
    public struct Resource: Sendable, Equatable {
        public var kind: ResourceKind
        public var name: String
        /// The message, binary.
        public var bytes: [UInt8]

        public init(kind: ResourceKind, name: String, bytes: [UInt8]) {
            (self.kind, self.name, self.bytes) = (kind, name, bytes)
        }
    }

    /// Why it is not to be used.
    struct Refused: Error, Equatable, CustomStringConvertible {
        let description: String
    }

    /// Larger files are neither written nor read.
    public static let bytesMax = 256 << 20
    private static let format = Array("martlet configuration 2\n".utf8)
    /// Before the manifest when it is signed, so that the signature can be of nothing else.
    static let purpose = Array("martlet.v1.Manifest\0".utf8)

    public var manifest: SignedManifest
    public var resources: [Resource]

    public init(resources: [Resource], manifest: SignedManifest) {
        (self.resources, self.manifest) = (resources, manifest)
    }

    /// What is in force; static resources are the bootstrap's and come from there again.
    public init(_ held: [HeldResource], manifest: SignedManifest) {
        self.init(
            resources: held.filter { !$0.isStatic && !$0.isWarming }.map {
                Resource(kind: $0.kind, name: $0.name, bytes: $0.bytes)
            }, manifest: manifest)
    }

    // MARK: Whether it may be used

    private struct Key: Hashable {
        var kind: ResourceKind
        var name: String
    }

    /// That an authority of the bundle has signed all of it for this service, and that no cluster and no listener is
    /// missing; of the other kinds a proxy has what it asks for. `now` in seconds since 1970.
    func check(service: String, trustBundlePEM: [UInt8], now: Int64) throws(Refused) {
        do throws(SignatureFailure) {
            try verifySignature(
                of: Self.purpose + manifest.manifest, signature: manifest.signature,
                trustBundlePEM: trustBundlePEM, now: now)
        } catch {
            throw Refused(description: "\(error)")
        }
        typealias F = XDS.MartletManifest
        var problems = ConfigProblems()
        let message = WireReader.read(
            manifest.manifest, as: F.messageType, skipsUnknown: true, problems: &problems)
        guard let message else { throw Refused(description: "the manifest cannot be read") }
        guard message.text(F.service) == service else {
            throw Refused(description: "it is of \(message.text(F.service)), not of \(service)")
        }
        var digests: [Key: [UInt8]] = [:]
        for resource in message.messages(F.resources) {
            typealias R = XDS.MartletManifestResource
            guard let kind = ResourceKind(typeURL: resource.text(R.typeUrl)) else { continue }
            digests[Key(kind: kind, name: resource.text(R.name))] = resource.bytes(R.digest)
        }
        for resource in resources {
            let key = Key(kind: resource.kind, name: resource.name)
            // Taken out, so that a second one of the name is one too many.
            guard let digest = digests.removeValue(forKey: key), digest == sha256(resource.bytes) else {
                throw Refused(
                    description:
                        "\(resource.kind.word) '\(resource.name)' is not what the control plane signed")
            }
        }
        let missing = digests.keys.filter { $0.kind.isWholeState }.map { "\($0.kind.word) '\($0.name)'" }
        if let first = missing.min() { throw Refused(description: "\(first) is missing") }
    }

    // MARK: Instead of a control plane

    /// A DiscoveryResponse with what is there of what is asked for; nil if that is nothing.
    func response(to request: WireRequest) -> [UInt8]? {
        typealias F = XDS.DiscoveryResponse
        let found = resources.filter {
            $0.kind == request.kind && (request.names.isEmpty || request.names.contains($0.name))
        }
        guard !found.isEmpty else { return nil }
        var response = ConfigMessage(F.messageType)
        response.set(F.typeUrl, .text(request.kind.typeURL))
        response.set(F.nonce, .text("saved"))
        response.set(
            F.resources,
            .list(
                found.map { resource in
                    var packed = ConfigMessage(XDS.AnyMessage.messageType)
                    packed.set(XDS.AnyMessage.typeUrl, .text(resource.kind.typeURL))
                    packed.set(XDS.AnyMessage.value, .bytes(resource.bytes))
                    return .message(packed)
                }))
        return WireWriter.write(response)
    }

    // MARK: The file

    public func encoded() -> [UInt8] {
        var bytes = Self.format
        func append(_ part: [UInt8]) {
            let count = UInt32(clamping: part.count)
            bytes += [
                UInt8(count >> 24), UInt8(count >> 16 & 255), UInt8(count >> 8 & 255), UInt8(count & 255),
            ]
            bytes += part
        }
        append(manifest.manifest)
        append(manifest.signature)
        for resource in resources {
            bytes.append(UInt8(resource.kind.rawValue))
            append(Array(resource.name.utf8))
            append(resource.bytes)
        }
        return bytes
    }

    /// What `encoded` made; whether it may be used is for `check` to say.
    init(encoded bytes: [UInt8]) throws(Refused) {
        guard bytes.starts(with: Self.format) else {
            throw Refused(description: "it has another format, of another version of this program")
        }
        var offset = Self.format.count
        func next() throws(Refused) -> [UInt8] {
            let damage = Refused(description: "it is damaged")
            guard bytes.count - offset >= 4 else { throw damage }
            let count = bytes[offset..<offset + 4].reduce(0) { $0 << 8 | Int($1) }
            offset += 4
            guard bytes.count - offset >= count else { throw damage }
            defer { offset += count }
            return Array(bytes[offset..<offset + count])
        }
        manifest = SignedManifest(manifest: try next(), signature: try next())
        resources = []
        while offset < bytes.count {
            guard let kind = ResourceKind(rawValue: Int(bytes[offset])) else {
                throw Refused(description: "it is damaged")
            }
            offset += 1
            let name = String(decoding: try next(), as: UTF8.self)
            resources.append(Resource(kind: kind, name: name, bytes: try next()))
        }
    }
}
