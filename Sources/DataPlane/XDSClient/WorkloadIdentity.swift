import MeshPrimitives
import Reactor
import TLSEngine

/// Gets the certificate of this workload, keeps it for a restart, and renews it in time. The private key is made here
/// and goes nowhere but into the cache directory and the proxy's own TLS.
///
/// A first certificate costs a join token, on the port that asks for no client certificate; a later one is got with the
/// one before, on the port of discovery. Whatever fails is tried again, and the last good certificate stays.
public final class WorkloadIdentity {
    /// What this workload shows, and what it trusts.
    public struct Credentials: Sendable, Equatable, CustomStringConvertible, CustomReflectable {
        public let spiffeID: String
        public let certificateChainPEM: [UInt8]
        /// Secret.
        public let privateKeyPEM: [UInt8]
        /// Empty: only what the bootstrap's file holds.
        public let trustBundlePEM: [UInt8]
        /// Seconds since 1970.
        public let notAfter: Int64

        public var description: String { "Credentials(\(spiffeID))" }
        public var customMirror: Mirror { Mirror(self, children: ["spiffeID": spiffeID]) }

        var tlsIdentity: TLSSettings.Identity {
            TLSSettings.Identity(certificateChain: certificateChainPEM, privateKey: privateKeyPEM)
        }
    }

    struct Problem: Error, CustomStringConvertible {
        let description: String
    }

    /// For one request, the connection included.
    static let requestTimeout = Duration.seconds(15)
    static let smallFileMax = 1 << 20
    /// By whose name the control plane is known, in any trust domain.
    static let controlIdentity = SANMatcher(.uri, .suffix("/ns/martlet/sa/control"))

    private let loop: ControlLoop
    private let resolver: NameResolver
    private let bootstrap: MeshBootstrap
    private let cache: CacheDirectory?
    private let log: LogSink
    private var channel: GRPCChannel?
    private var timer: ControlLoop.Timer?
    private var delay = ReconnectDelay(from: .seconds(1), to: .seconds(60))
    private var firstHost = 0
    /// Seconds that the current certificate had left when it was got.
    private var life: Int64 = 0

    public private(set) var current: Credentials?
    /// Why the last request failed; nil after a success.
    public private(set) var lastFailure: String?
    /// A new certificate, the first or a renewed one.
    public var identityChanged: ((Credentials) -> Void)?

    public init(
        loop: ControlLoop, resolver: NameResolver, bootstrap: MeshBootstrap, cache: CacheDirectory?,
        log: @escaping LogSink
    ) {
        (self.loop, self.resolver, self.bootstrap, self.cache, self.log) = (
            loop, resolver, bootstrap, cache, log
        )
    }

    /// Takes the certificate of an earlier run if it still serves, else asks for one.
    public func start() {
        do throws(Problem) {
            if let saved = try load() { return adopt(saved, isSaved: true) }
        } catch {
            log(.warning, "the saved certificate cannot be used: \(error)")
        }
        request()
    }

    public func stop() {
        if let timer { loop.cancel(timer) }
        (timer, identityChanged) = (nil, nil)
        channel?.close()
        channel = nil
    }

    /// Asks for a new certificate at once.
    public func renew() {
        if let timer { loop.cancel(timer) }
        timer = nil
        request()
    }

    /// In words, for `/ready` and logs.
    public var state: String {
        if let current, isValid(current) {
            return lastFailure.map { "certificate not renewed: \($0)" }
                ?? "certificate of \(current.spiffeID)"
        }
        return lastFailure.map { "no certificate: \($0)" } ?? "waiting for a certificate"
    }

    /// Where the control plane is, by mutual TLS; for discovery and renewal.
    public func mutualTarget() -> Result<ClientTarget, TargetProblem> {
        guard let current else { return .failure(TargetProblem(description: "no certificate yet")) }
        do throws(Problem) {
            return .success(try target(port: bootstrap.xdsPort, identity: current.tlsIdentity))
        } catch {
            return .failure(TargetProblem(description: "\(error)"))
        }
    }

    private func target(port: UInt16, identity: TLSSettings.Identity?) throws(Problem) -> ClientTarget {
        var settings = TLSSettings(role: .client, identity: identity, trust: .bundle(try trust()))
        settings.peerNames = [Self.controlIdentity]
        settings.versionMin = .tls13
        settings.applicationProtocols = ["h2"]
        do throws(TLSSettingsError) {
            return ClientTarget(
                hosts: bootstrap.control.map { ClientTarget.Host(name: $0, port: port) },
                tls: try TLSContext(settings), pings: ClientTarget.Pings())
        } catch {
            throw Problem(description: "TLS: \(error)")
        }
    }

    /// The operator's bundle, and what the control plane has added to it since.
    private func trust() throws(Problem) -> [UInt8] {
        let pinned: [UInt8]
        do throws(FileError) {
            pinned = try FileSystem.read(bootstrap.trustBundle, bytesMax: Self.smallFileMax)
        } catch {
            throw Problem(description: "trust-bundle: \(error)")
        }
        guard let later = current?.trustBundlePEM, !later.isEmpty, later != pinned else { return pinned }
        return pinned + [0x0A] + later
    }

    // MARK: Requests

    private func request() {
        guard channel == nil else { return }
        do throws(Problem) {
            try send()
        } catch {
            failed("\(error)")
        }
    }

    private func send() throws(Problem) {
        let renewed = current.flatMap { isValid($0) ? $0 : nil }
        let token = renewed == nil ? try joinToken() : ""
        let key: WorkloadKey
        let csr: [UInt8]
        do throws(TLSSettingsError) {
            key = try WorkloadKey()
            // The control plane knows by the token or the certificate who asks; the name is for its log.
            csr = try key.certificateRequest(
                uriSAN: current?.spiffeID ?? "spiffe://mesh\(identityPath)")
        } catch {
            throw Problem(description: "\(error)")
        }
        let target = try target(
            port: renewed == nil ? bootstrap.caPort : bootstrap.xdsPort, identity: renewed?.tlsIdentity)
        let channel = GRPCChannel(
            loop: loop, resolver: resolver, target: target, authority: "martlet-control", firstHost: firstHost
        ) { _ in }
        self.channel = channel
        let message = CertificateMessages.request(csr: csr, token: token, service: "\(bootstrap.service)")
        channel.call(path: CertificateMessages.method, message: message, deadline: Self.requestTimeout) {
            [weak self] result in self?.answered(result, key)
        }
    }

    /// Of the file now: an operator may have put a new one there.
    private func joinToken() throws(Problem) -> String {
        guard let path = bootstrap.tokenFile else {
            throw Problem(
                description: "token-file: is missing, and there is no certificate of an earlier run")
        }
        do throws(FileError) {
            let bytes = try FileSystem.read(path, bytesMax: 4096)
            return bytes.withByteView { bytes in
                var end = bytes.count
                while end > 0, bytes[end - 1] <= 0x20 { end -= 1 }
                return bytes.prefix(end).text
            }
        } catch {
            throw Problem(description: "token-file: \(error)")
        }
    }

    private func answered(_ result: Result<[UInt8], GRPCFailure>, _ key: WorkloadKey) {
        let channel = channel
        self.channel = nil
        // Not within a call of the channel's own.
        loop.atEndOfTurn { channel?.close() }
        switch result {
        case .failure(let failure): failed("\(failure)")
        case .success(let bytes):
            do throws(Problem) {
                guard let response = CertificateMessages.response(bytes) else {
                    throw Problem(description: "the control plane's answer cannot be read")
                }
                let made = try credentials(key, chain: response.chainPEM, bundle: response.trustBundlePEM)
                save(made)
                adopt(made, isSaved: false)
            } catch {
                failed("\(error)")
            }
        }
    }

    private func failed(_ reason: String) {
        lastFailure = reason
        firstHost &+= 1
        var wait = delay.next(using: &loop.random)
        let left = (current?.notAfter ?? 0) - loop.wallClock.seconds
        if current != nil, left < life / 10 {
            log(
                .error,
                "the certificate \(left > 0 ? "expires in \(left) s" : "has expired") and is not renewed: \(reason)"
            )
        } else {
            log(.warning, "no \(current == nil ? "" : "new ")certificate: \(reason)")
        }
        // A short life leaves no time for long pauses.
        if current != nil { wait = min(wait, .seconds(max(1, life / 10))) }
        timer = loop.after(wait) { [weak self] in
            self?.timer = nil
            self?.request()
        }
    }

    // MARK: Certificates

    private var identityPath: String { "/ns/\(bootstrap.service.namespace)/sa/\(bootstrap.service.name)" }

    private func isValid(_ credentials: Credentials) -> Bool { loop.wallClock.seconds < credentials.notAfter }

    private func adopt(_ credentials: Credentials, isSaved: Bool) {
        current = credentials
        lastFailure = nil
        delay.succeeded()
        life = credentials.notAfter - loop.wallClock.seconds
        let wait = Self.renewalDelay(life: .seconds(life), using: &loop.random)
        log(
            .info,
            "\(isSaved ? "saved " : "")certificate of \(credentials.spiffeID), valid for \(life) s, renewed in \(wait.nanoseconds / 1_000_000_000) s"
        )
        timer = loop.after(wait) { [weak self] in
            self?.timer = nil
            self?.request()
        }
        loop.atEndOfTurn { [weak self] in
            guard let self, self.current == credentials else { return }
            self.identityChanged?(credentials)
        }
    }

    /// At half of what is left of a certificate's life, give or take a tenth of that.
    static func renewalDelay(life: Duration, using random: inout SeededRandom) -> Duration {
        let nanoseconds = max(0, life.nanoseconds)
        let spread = nanoseconds / 10
        let early = nanoseconds / 2 - spread / 2
        return max(.seconds(1), .nanoseconds(early + Int64(random.below(UInt64(spread + 1)))))
    }

    /// Checks that the certificate is ours: for this key, this service, and now.
    private func credentials(
        _ key: WorkloadKey, chain: [UInt8], bundle: [UInt8]
    ) throws(Problem) -> Credentials {
        do throws(TLSSettingsError) {
            guard let leaf = try CertificateInfo.parse(pem: chain).first else {
                throw TLSSettingsError.badCertificate("there is none")
            }
            guard try key.matches(certificatePEM: chain) else {
                throw TLSSettingsError.privateKeyDoesNotMatchCertificate
            }
            guard let spiffeID = leaf.spiffeID, spiffeID.hasSuffix(identityPath) else {
                throw TLSSettingsError.badCertificate(
                    "it is of \(leaf.spiffeID ?? "nobody"), not of \(identityPath)")
            }
            guard leaf.notAfter > loop.wallClock.seconds else {
                throw TLSSettingsError.badCertificate("it has expired")
            }
            return Credentials(
                spiffeID: spiffeID, certificateChainPEM: chain, privateKeyPEM: try key.pem(),
                trustBundlePEM: bundle,
                notAfter: leaf.notAfter)
        } catch {
            throw Problem(description: "\(error)")
        }
    }

    private func load() throws(Problem) -> Credentials? {
        guard let cache else { return nil }
        let saved: [UInt8]?
        let bundle: [UInt8]
        do throws(FileError) {
            saved = try cache.read(CacheDirectory.identityName)
            bundle = try cache.read(CacheDirectory.bundleName) ?? []
        } catch {
            throw Problem(description: "\(error)")
        }
        guard let saved else { return nil }
        let key: WorkloadKey
        do throws(TLSSettingsError) {
            key = try WorkloadKey(pem: saved)
        } catch {
            throw Problem(description: "\(error)")
        }
        return try credentials(key, chain: PEMBlocks.certificates(of: saved), bundle: bundle)
    }

    private func save(_ credentials: Credentials) {
        guard let cache else { return }
        do throws(FileError) {
            try cache.write(
                CacheDirectory.identityName, credentials.privateKeyPEM + credentials.certificateChainPEM)
            if !credentials.trustBundlePEM.isEmpty {
                try cache.write(CacheDirectory.bundleName, credentials.trustBundlePEM)
            }
        } catch {
            log(.warning, "the certificate cannot be kept for a restart: \(error)")
        }
    }
}

/// A PEM text taken apart.
enum PEMBlocks {
    /// Only the certificates, in their order: the rest may be secret.
    static func certificates(of pem: [UInt8]) -> [UInt8] {
        var found: [UInt8] = []
        var isInside = false
        for line in pem.split(separator: 0x0A, omittingEmptySubsequences: true) {
            if line.starts(with: Array("-----BEGIN CERTIFICATE-----".utf8)) { isInside = true }
            if isInside { found += line + [0x0A] }
            if line.starts(with: Array("-----END CERTIFICATE-----".utf8)) { isInside = false }
        }
        return found
    }
}
