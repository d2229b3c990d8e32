import Glibc
import HTTP2Codec
import MeshPrimitives
import Reactor
import TLSEngine
import TLSTestSupport
import TestSupport
import Testing
import XDSDiscovery
import XDSSchema

@testable import XDSClient

/// A control plane with both of its TLS ports on the loopback address, a folder, and a loop for the sidecar under test.
final class MeshFixture {
    let authority: TestAuthority
    let loop: ControlLoop
    let resolver: NameResolver
    let first: FakeServer
    let mutual: FakeServer
    let control: FakeControlPlane
    let folder: String
    var log: [String] = []
    /// Tokens that are still good.
    var tokens: Set<String> = ["good"]
    var lifetime: Int64 = 3600
    /// (token, whom the client's certificate names)
    var signed: [(token: String, peer: String?)] = []
    let name = "spiffe://mesh.test/ns/default/sa/orders"

    init() throws {
        let kernel = LinuxKernel.make()
        let any = SocketAddress(ipv4: 127, 0, 0, 1, port: 0)
        authority = try TestAuthority.ofToday()
        loop = try ControlLoop(kernel: kernel)
        resolver = NameResolver(loop: loop)
        first = try FakeServer(
            kernel: kernel, at: any, tls: try authority.serverContext(requiresClients: false))
        mutual = try FakeServer(
            kernel: kernel, at: any, tls: try authority.serverContext(requiresClients: true))
        control = FakeControlPlane(mutual)
        var template = Array("/tmp/martlet-test-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw TestFailure("no folder") }
        folder = String(decoding: template.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
        try FileSystem.writeAtomically("\(folder)/bundle", authority.bundle)
        try writeToken("good")
        first.onMessage = { [unowned self] call, message in self.sign(call, message, isRenewal: false) }
        let discovery = mutual.onMessage
        mutual.onMessage = { [unowned self] call, message in
            if call.path == CertificateMessages.method {
                self.sign(call, message, isRenewal: true)
            } else {
                discovery?(call, message)
            }
        }
    }

    deinit {
        for name in [
            "cache/identity.pem", "cache/trust-bundle.pem", "cache/configuration", "cache/instance", "bundle",
        ] {
            unlink("\(folder)/\(name)")
        }
        unlink("\(folder)/token")
        rmdir("\(folder)/cache")
        rmdir(folder)
    }

    func writeToken(_ token: String) throws {
        try FileSystem.writeAtomically("\(folder)/token", Array("\(token)\n".utf8), mode: 0o600)
    }

    func bootstrap() throws -> MeshBootstrap {
        let service = try #require(MeshBootstrap.ServiceName("default/orders"))
        var bootstrap = MeshBootstrap(
            control: ["127.0.0.1"], service: service, trustBundle: "\(folder)/bundle")
        (bootstrap.caPort, bootstrap.xdsPort) = (first.address.port, mutual.address.port)
        (bootstrap.tokenFile, bootstrap.cacheDirectory) = ("\(folder)/token", "\(folder)/cache")
        bootstrap.zone = "zone \"1\""
        return bootstrap
    }

    /// Puts a signed manifest beside the control plane's resources; to be done again when those change.
    func signManifest() throws {
        var resources: [SavedConfiguration.Resource] = []
        for kind in ResourceKind.allCases where kind != .manifest {
            for (name, yaml) in control.resources[kind] ?? [] {
                let bytes = WireWriter.write(message(yaml, kind.messageType))
                resources.append(.init(kind: kind, name: name, bytes: bytes))
            }
        }
        let signed = try authority.manifest(resources, service: "default/orders")
        control.manifest = signed
    }

    func identity() throws -> WorkloadIdentity {
        let cache = try CacheDirectory("\(folder)/cache")
        return WorkloadIdentity(loop: loop, resolver: resolver, bootstrap: try bootstrap(), cache: cache) {
            [unowned self] in self.log.append("\($0) \($1)")
        }
    }

    func client() throws -> MeshClient {
        let addresses = MeshAddresses(
            advertised: SocketAddress(ipv4: 127, 0, 0, 1, port: 0),
            apps: [.init(app: .init(port: 8080), listen: SocketAddress(ipv4: 127, 0, 0, 1, port: 40001))],
            outbound: SocketAddress(ipv4: 127, 0, 0, 1, port: 40010))
        return try MeshClient(
            loop: loop, resolver: resolver, bootstrap: try bootstrap(), addresses: addresses,
            surroundings: Sample.surroundings
        ) { [unowned self] in self.log.append("\($0) \($1)") }
    }

    private func sign(_ call: FakeServer.Call, _ message: [UInt8], isRenewal: Bool) {
        typealias F = XDS.MartletSignRequest
        var problems = ConfigProblems()
        guard let request = WireReader.read(message, as: F.messageType, problems: &problems) else { return }
        let token = request.text(F.joinToken)
        signed.append((token, call.peer))
        guard isRenewal || tokens.remove(token) != nil else {
            return call.end(GRPCStatus(code: .permissionDenied, message: "the token is not known"))
        }
        guard let chain = try? authority.sign(request.bytes(F.csrDer), as: name, seconds: lifetime) else {
            return call.end(GRPCStatus(code: .invalidArgument, message: "no certificate for that"))
        }
        typealias R = XDS.MartletSignResponse
        var response = ConfigMessage(R.messageType)
        response.set(R.certificateChainPem, .list([.text(String(decoding: chain, as: UTF8.self))]))
        // Another text than the operator's file, with the same certificate in it.
        response.set(R.trustBundlePem, .text(String(decoding: authority.bundle + [0x0A], as: UTF8.self)))
        call.send(WireWriter.write(response))
        call.end(GRPCStatus(code: .ok))
    }

    /// Until `condition` no longer holds; false if that takes more than ten seconds.
    func run(while condition: () -> Bool) -> Bool {
        let kernel = LinuxKernel.make()
        let limit = kernel.now().advanced(by: .seconds(10))
        while condition() {
            guard kernel.now() < limit else { return false }
            loop.turn(until: .zero)
            first.loop.turn(until: .zero)
            mutual.loop.turn(until: kernel.now().advanced(by: .milliseconds(1)))
        }
        return true
    }

    func mode(_ name: String) -> UInt32 {
        var info = stat()
        return stat("\(folder)/\(name)", &info) == 0 ? UInt32(info.st_mode & 0o777) : 0
    }
}
