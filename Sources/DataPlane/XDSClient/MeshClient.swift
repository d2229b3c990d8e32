import MeshModel
import MeshPrimitives
import Reactor
import XDSDiscovery
import XDSSchema

/// A sidecar's side of the mesh: gets a certificate, follows the control plane with it, and keeps the last good
/// configuration, with which the next run starts if the control plane is away.
public final class MeshClient {
    /// The secret that never travels: the workload's own certificate and key.
    /// The control plane, as configurations name it.
    public static var controlCluster: String { MeshNode.controlCluster }
    public static let identitySecret = "martlet:identity"
    /// How long the control plane is waited for before a saved configuration is used.
    static let savedAfter = Duration.seconds(5)
    /// Changes of the configuration within this time are saved once.
    static let saveDelay = Duration.seconds(1)

    private let loop: ControlLoop
    private let resolver: NameResolver
    private let node: MeshNode
    private let surroundings: ConfigSurroundings
    private let cache: CacheDirectory?
    private let log: LogSink
    private let service: String
    private let trustBundle: String
    private var saved: SavedConfiguration?
    private var saveTimer: ControlLoop.Timer?
    private var graceTimer: ControlLoop.Timer?
    private var problem: String?
    private var wroteLast: SavedConfiguration?

    public let identity: WorkloadIdentity
    /// nil until there is a certificate.
    public private(set) var discovery: DiscoveryClient?

    /// At most one in a turn.
    public var configurationChanged: ((Configuration) -> Void)?
    /// A first certificate, or a renewed one; configurations that use it follow by themselves.
    public var identityChanged: ((WorkloadIdentity.Credentials) -> Void)?

    /// Fails if the cache directory cannot be used.
    public init(
        loop: ControlLoop, resolver: NameResolver, bootstrap: MeshBootstrap, addresses: MeshAddresses,
        surroundings: ConfigSurroundings, log: @escaping LogSink
    ) throws(FileError) {
        (self.loop, self.resolver, self.surroundings, self.log) = (loop, resolver, surroundings, log)
        var cache: CacheDirectory?
        if let path = bootstrap.cacheDirectory { cache = try CacheDirectory(path) }
        self.cache = cache
        let instance = try Self.instance(cache, loop.kernel)
        node = MeshNode(bootstrap: bootstrap, addresses: addresses, instance: instance)
        identity = WorkloadIdentity(
            loop: loop, resolver: resolver, bootstrap: bootstrap, cache: cache, log: log)
        service = "\(bootstrap.service)"
        trustBundle = bootstrap.trustBundle
        if let cache { loadSaved(cache) }
    }

    private func loadSaved(_ cache: CacheDirectory) {
        do throws(SavedConfiguration.Refused) {
            let bytes: [UInt8]?
            do throws(FileError) {
                bytes = try cache.read(
                    CacheDirectory.configurationName, bytesMax: SavedConfiguration.bytesMax)
            } catch {
                throw SavedConfiguration.Refused(description: "\(error)")
            }
            guard let bytes else { return }
            let found = try SavedConfiguration(encoded: bytes)
            try check(found)
            saved = found
        } catch {
            log(
                .error,
                "the saved configuration in \(cache.path)/\(CacheDirectory.configurationName) is not used: \(error)"
            )
        }
    }

    /// By the operator's own bundle: what lies in the cache vouches for nothing.
    private func check(_ configuration: SavedConfiguration) throws(SavedConfiguration.Refused) {
        let bundle: [UInt8]
        do throws(FileError) {
            bundle = try FileSystem.read(trustBundle, bytesMax: WorkloadIdentity.smallFileMax)
        } catch {
            throw SavedConfiguration.Refused(description: "trust-bundle: \(error)")
        }
        try configuration.check(service: service, trustBundlePEM: bundle, now: loop.wallClock.seconds)
    }

    /// Once.
    public func start() {
        identity.identityChanged = { [weak self] credentials in self?.received(credentials) }
        identity.start()
    }

    public func stop() {
        for timer in [saveTimer, graceTimer] { if let timer { loop.cancel(timer) } }
        (saveTimer, graceTimer, configurationChanged, identityChanged) = (nil, nil, nil, nil)
        if discovery?.statistics.isConnected == true { save() }
        identity.stop()
        discovery?.stop()
    }

    /// There is a certificate, and a whole configuration, from the control plane or from an earlier run. A discovery
    /// that has waited in vain for a first answer is none.
    public var isReady: Bool {
        guard let discovery else { return false }
        return discovery.isReady && discovery.statistics[.listener].updateSuccess > 0
    }

    /// In words, for `/ready` and logs.
    public var state: String {
        if let problem { return problem }
        guard let discovery else { return identity.state }
        return "\(discovery.state); \(identity.state)"
    }

    // MARK: Certificate

    private func received(_ credentials: WorkloadIdentity.Credentials) {
        if discovery == nil { startDiscovery() }
        discovery?.provide(
            .identity(
                KeyMaterial(
                    certificateChainPEM: credentials.certificateChainPEM,
                    privateKeyPEM: credentials.privateKeyPEM)),
            named: Self.identitySecret)
        if discovery != nil, !isStarted {
            isStarted = true
            discovery?.start()
        }
        identityChanged?(credentials)
    }
    private var isStarted = false

    private func startDiscovery() {
        switch node.makeBootstrap(surroundings) {
        case .failure(let failure):
            problem = "the node cannot be described: \(failure)"
            log(.error, problem ?? "")
        case .success(let bootstrap):
            let discovery = DiscoveryClient(
                loop: loop, resolver: resolver, bootstrap: bootstrap, surroundings: surroundings,
                target: { [weak self] in
                    self?.identity.mutualTarget() ?? .failure(TargetProblem(description: "stopped"))
                }, log: log)
            discovery.configurationChanged = { [weak self] in self?.received($0) }
            discovery.settled = { [weak self] in self?.saveSoon() }
            discovery.streamFailed = { [weak self] _ in self?.useSaved() }
            self.discovery = discovery
            graceTimer = loop.after(Self.savedAfter) { [weak self] in
                self?.graceTimer = nil
                self?.useSaved()
            }
        }
    }

    // MARK: Configuration

    private func received(_ configuration: Configuration) {
        var configuration = configuration
        configuration.clusters.removeAll { $0.name == MeshNode.controlCluster }
        configurationChanged?(configuration)
    }

    /// The control plane is away, or says nothing: what it said in an earlier run is better than nothing.
    private func useSaved() {
        guard let discovery, !isReady, let saved else { return }
        guard !discovery.statistics.isConnected || discovery.statistics[.cluster].updateSuccess == 0 else {
            return
        }
        self.saved = nil
        log(.warning, "the control plane is away; the configuration of an earlier run is used")
        discovery.replay(saved)
    }

    private func saveSoon() {
        guard cache != nil, saveTimer == nil, isReady, discovery?.statistics.isConnected == true else {
            return
        }
        saveTimer = loop.after(Self.saveDelay) { [weak self] in
            self?.saveTimer = nil
            self?.save()
        }
    }

    /// Only what the control plane has signed as a whole; between two states there is nothing to save.
    private func save() {
        guard let cache, let discovery, isReady, let manifest = discovery.manifest else { return }
        let current = SavedConfiguration(discovery.held, manifest: manifest)
        guard current != wroteLast else { return }
        do throws(SavedConfiguration.Refused) {
            try check(current)
        } catch {
            return log(.debug, "the configuration is not kept for a restart yet: \(error)")
        }
        let bytes = current.encoded()
        guard bytes.count <= SavedConfiguration.bytesMax else {
            return log(.warning, "the configuration is too large to be kept for a restart")
        }
        do throws(FileError) {
            try cache.write(CacheDirectory.configurationName, bytes)
            wroteLast = current
        } catch {
            log(.warning, "the configuration cannot be kept for a restart: \(error)")
        }
    }

    // MARK: At the start

    /// Which of a service's workloads this is: kept, so that it is the same after a restart.
    private static func instance(_ cache: CacheDirectory?, _ kernel: Kernel) throws(FileError) -> String {
        if let bytes = try cache?.read(CacheDirectory.instanceName) {
            let text = String(decoding: bytes, as: UTF8.self)
            if text.utf8.count == 8, UInt32(text, radix: 16) != nil { return text }
        }
        let digits = String(UInt32(truncatingIfNeeded: kernel.randomSeed()), radix: 16)
        let text = String(repeating: "0", count: 8 - digits.count) + digits
        try cache?.write(CacheDirectory.instanceName, Array(text.utf8))
        return text
    }

    /// The address from which this machine speaks to the control plane, for a bootstrap without `address`; nil if none
    /// of its hosts has a route. Blocks for the names' lookup, and sends at most one segment to each.
    public static func sourceAddress(
        towards bootstrap: MeshBootstrap, kernel: Kernel,
        lookUp: (String) -> NameResolver.Answer = { NameResolver.addresses(of: $0) }
    ) -> SocketAddress? {
        for host in bootstrap.control {
            let numeric = SocketAddress(host, port: 0).map { [$0] }
            for address in numeric ?? (try? lookUp(host).get()) ?? [] {
                // The machine chooses the source when the connection begins; whether anybody answers does not matter.
                var target = address
                target.port = bootstrap.xdsPort
                switch kernel.connect(target) {
                case .connected(let descriptor), .inProgress(let descriptor):
                    defer { kernel.close(descriptor) }
                    if var local = try? kernel.localAddress(descriptor) {
                        local.port = 0
                        return local
                    }
                case .failed:
                    // Nobody listens at all, on this very machine.
                    if address.isLoopback { return address }
                }
            }
        }
        return nil
    }
}
