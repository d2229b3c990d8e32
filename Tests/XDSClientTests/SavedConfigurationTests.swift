import MeshPrimitives
import TLSTestSupport
import TestSupport
import Testing
import XDSDiscovery
import XDSSchema

@testable import TLSEngine
@testable import XDSClient

@Suite("SavedConfiguration")
struct SavedConfigurationTests {
    private typealias Resource = SavedConfiguration.Resource
    private static let service = "default/orders"
    private static let resources: [Resource] = [
        .init(kind: .cluster, name: "ä", bytes: [1, 2, 3]),
        .init(kind: .secret, name: "", bytes: []),
        .init(kind: .listener, name: "l", bytes: [UInt8](repeating: 9, count: 7000)),
    ]
    private let authority: TestAuthority
    private let sample: SavedConfiguration

    init() throws {
        authority = try TestAuthority.ofToday()
        sample = SavedConfiguration(
            resources: Self.resources, manifest: try authority.manifest(Self.resources, service: Self.service)
        )
    }

    /// Why it is refused; nil if it is not.
    private func refusal(_ configuration: SavedConfiguration, service: String = service) -> String? {
        do throws(SavedConfiguration.Refused) {
            try configuration.check(
                service: service, trustBundlePEM: authority.bundle, now: authority.now)
            return nil
        } catch {
            return error.description
        }
    }

    @Test("What was written is read again, and holds")
    func roundTrip() throws {
        #expect(try SavedConfiguration(encoded: sample.encoded()) == sample)
        #expect(refusal(sample) == nil)
    }

    @Test("A changed byte is noticed, wherever it is, and so is a missing end", arguments: UInt64(0)..<300)
    func damage(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var bytes = sample.encoded()
        let place = Int(random.below(UInt64(bytes.count)))
        if seed.isMultiple(of: 3) {
            bytes.removeLast(bytes.count - place)
        } else {
            bytes[place] ^= 1 << UInt8(random.below(8))
        }
        let read = try? SavedConfiguration(encoded: bytes)
        #expect(read.map { refusal($0) != nil } ?? true)
    }

    @Test("A resource that is another one, one too many or missing is refused by its name")
    func foreignResources() {
        var changed = sample
        changed.resources[0].bytes = [1, 2, 4]
        #expect(refusal(changed) == "cluster 'ä' is not what the control plane signed")
        var extra = sample
        extra.resources.append(.init(kind: .cluster, name: "b", bytes: []))
        #expect(refusal(extra) == "cluster 'b' is not what the control plane signed")
        var twice = sample
        twice.resources.append(twice.resources[2])
        #expect(refusal(twice) == "listener 'l' is not what the control plane signed")
        var missing = sample
        missing.resources.removeLast()
        #expect(refusal(missing) == "listener 'l' is missing")
        // A proxy does not ask for every secret.
        var partial = sample
        partial.resources.remove(at: 1)
        #expect(refusal(partial) == nil)
    }

    @Test("It is good for its own service only, and with an authority of the bundle only")
    func owner() throws {
        #expect(
            refusal(sample, service: "default/quotes") == "it is of default/orders, not of default/quotes")
        var foreign = sample
        foreign.manifest = try TestAuthority.ofToday().manifest(Self.resources, service: Self.service)
        #expect(refusal(foreign) == "the signature is not of an authority in the trust bundle")
        #expect(throws: SavedConfiguration.Refused.self) {
            try SavedConfiguration(encoded: Array("martlet configuration 1\n".utf8))
        }
    }
}

extension TestAuthority {
    /// As a control plane of ours makes one.
    func manifest(_ resources: [SavedConfiguration.Resource], service: String) throws -> SignedManifest {
        typealias F = XDS.MartletManifest
        var manifest = ConfigMessage(F.messageType)
        manifest.set(F.service, .text(service))
        let list = resources.map { resource in
            typealias R = XDS.MartletManifestResource
            var entry = ConfigMessage(R.messageType)
            entry.set(R.typeUrl, .text(resource.kind.typeURL))
            if !resource.name.isEmpty { entry.set(R.name, .text(resource.name)) }
            entry.set(R.digest, .bytes(sha256(resource.bytes)))
            return ConfigValue.message(entry)
        }
        manifest.set(F.resources, .list(list))
        let bytes = WireWriter.write(manifest)
        return SignedManifest(
            manifest: bytes, signature: try signature(over: SavedConfiguration.purpose + bytes))
    }
}
