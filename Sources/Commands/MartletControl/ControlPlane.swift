import AdminAPI
import CertificateAuthority
import ConfigCompiler
import ControlAPI
import DiscoveryServer
import Fleet
import Foundation
import Logging
import MeshConfig
import ResourceStore
import ServiceLifecycle
import Synchronization

/// The parts of the control plane, wired, and how they run and end.
struct ControlPlane: Sendable {
    struct Settings: Sendable {
        var config: String
        var dataDirectory: String
        var xds: HostPort
        var ca: HostPort
        var xdsTLS: HostPort
        var http: HostPort
        var portsFile: String?
    }

    /// A server that cannot go on.
    struct Failed: Error, CustomStringConvertible {
        let description: String
    }

    /// After a signal open streams and requests get this long.
    private static let stopTime = Duration.milliseconds(300)
    private static let certificateCheckInterval = Duration.seconds(1)
    /// Well below the idle time-outs of what may lie between.
    private static let pulseInterval = Duration.seconds(15)

    private let settings: Settings
    private let logger: Logger
    private let store: ResourceStore
    private let serverCertificate: ServerCertificate
    private let distributor: Distributor
    private let quotas: QuotaKeeper
    private let discovery: DiscoveryServer
    private let api: ControlAPI
    private let events: EventFeed
    private let ports: PortCollector

    /// Loads everything; what is wrong with configuration or data directory is thrown here.
    init(_ settings: Settings, logger: Logger) throws {
        (self.settings, self.logger) = (settings, logger)
        let directory = try DataDirectory(settings.dataDirectory)
        let events = EventFeed()
        self.events = events
        store = try ResourceStore(
            ConfigDirectory([settings.config]), state: try directory.read("revisions.json"), logger: logger,
            persist: { try directory.write("revisions.json", $0) }, looked: { events.publish($0) })
        let snapshot = store.initialSnapshot
        let mesh = snapshot.specification.mesh
        let authority = try CertificateAuthority(in: directory, now: Date())
        let tokens = try JoinTokens(in: directory)
        let adminToken = try AdminToken.load(in: directory)
        serverCertificate = try ServerCertificate(
            authority: authority, trustDomain: mesh.trustDomain, lifetime: mesh.leafLifetime, now: Date())
        let fleet = Fleet(events: events)
        let known = try directory.read("workloads.json").flatMap {
            try? JSONDecoder().decode([Workload].self, from: $0)
        }
        distributor = Distributor(
            Self.state(snapshot), fleet: fleet, authority: authority, workloads: known ?? [], logger: logger
        ) { workloads in
            do {
                try directory.write("workloads.json", try JSONEncoder().encode(workloads))
            } catch {
                logger.error("the workloads cannot be stored", metadata: ["error": "\(error)"])
            }
        }
        quotas = QuotaKeeper(Self.state(snapshot), logger: logger)
        discovery = try DiscoveryServer(
            .init(xds: settings.xds, ca: settings.ca, xdsTLS: settings.xdsTLS), distributor: distributor,
            quotas: quotas, authority: authority, tokens: tokens, serverCertificate: serverCertificate,
            logger: logger)
        let ports = PortCollector(file: settings.portsFile)
        self.ports = ports
        api = ControlAPI(
            .init(
                store: store, fleet: fleet, tokens: tokens, events: events,
                workloads: { [distributor] in await distributor.workloads },
                quotas: { [quotas] in await quotas.status },
                isReady: { ports.isComplete }), adminToken: adminToken, logger: logger)
    }

    private static func state(_ snapshot: StoreSnapshot) -> Distributor.State {
        Distributor.State(
            specification: snapshot.specification,
            policies: PolicyIndex(snapshot.specification, firstSeen: snapshot.firstSeen),
            revision: snapshot.revision,
            seen: snapshot.seen)
    }

    // MARK: Running

    func run() async throws {
        let application = api.makeApplication(at: settings.http) { [ports, settings] port in
            ports.httpIsBound(HostPort(host: settings.http.host, port: port))
        }
        var configuration = ServiceGroupConfiguration(
            services: [
                .init(service: Steps { try await serveDiscovery() }),
                .init(service: Steps { await follow() }),
                .init(
                    service: Steps {
                        do {
                            try await withGracefulShutdownHandler {
                                try await application.run()
                            } onGracefulShutdown: {
                                // The server waits for its answers to end, and these never would.
                                events.close()
                            }
                        } catch {
                            throw Failed(description: "\(settings.http): cannot serve HTTP: \(error)")
                        }
                    }),
            ], gracefulShutdownSignals: [.sigterm, .sigint],
            logger: Logger(label: "lifecycle") { _ in SwiftLogNoOpLogHandler() })
        configuration.maximumGracefulShutdownDuration = Self.stopTime
        configuration.maximumCancellationDuration = Self.stopTime
        try await ServiceGroup(configuration: configuration).run()
        logger.notice("stopped")
    }

    private func serveDiscovery() async throws {
        try await withGracefulShutdownHandler {
            try await discovery.run { [ports, logger] addresses in
                try await ports.discoveryIsBound(addresses)
                logger.notice(
                    "listening",
                    metadata: [
                        "xds": "\(addresses.xds)", "ca": "\(addresses.ca)", "xds_tls": "\(addresses.xdsTLS)",
                        "http": "\(ports.http?.description ?? "")",
                    ])
            }
        } onGracefulShutdown: {
            discovery.stop()
            Task {
                await distributor.closeAll()
                await quotas.closeAll()
            }
        }
    }

    /// Carries new revisions to the distributor, and renews the servers' own certificate.
    private func follow() async {
        await distributor.start()
        await cancelWhenGracefulShutdown {
            await withTaskGroup(of: Void.self) { group in
                group.addTask { await store.watch() }
                group.addTask {
                    for await snapshot in await store.snapshots() {
                        let state = Self.state(snapshot)
                        await distributor.update(state)
                        await quotas.update(state)
                    }
                }
                group.addTask { await renewCertificates() }
                group.addTask {
                    while (try? await Task.sleep(for: Self.pulseInterval)) != nil { events.pulse() }
                }
                await group.waitForAll()
            }
        }
    }

    private func renewCertificates() async {
        while (try? await Task.sleep(for: Self.certificateCheckInterval)) != nil {
            let mesh = await distributor.mesh
            do {
                let isRenewed = try serverCertificate.renewIfDue(
                    trustDomain: mesh.trustDomain, lifetime: mesh.leafLifetime, now: Date())
                if isRenewed { logger.info("own certificate renewed") }
            } catch {
                logger.error("the own certificate cannot be renewed", metadata: ["error": "\(error)"])
            }
        }
    }
}

/// A service that is one function.
private struct Steps: Service {
    let body: @Sendable () async throws -> Void

    func run() async throws { try await body() }
}

/// Learns the bound addresses, and writes them once all are there.
final class PortCollector: Sendable {
    private let file: String?
    private let addresses = Mutex<(http: HostPort?, isComplete: Bool)>((nil, false))
    private let (bound, boundContinuation) = AsyncStream.makeStream(of: HostPort.self)

    init(file: String?) { self.file = file }

    var http: HostPort? { addresses.withLock { $0.http } }

    var isComplete: Bool { addresses.withLock { $0.isComplete } }

    func httpIsBound(_ address: HostPort) {
        addresses.withLock { $0.http = address }
        boundContinuation.yield(address)
        boundContinuation.finish()
    }

    /// Waits for the HTTP address, then writes the file: who reads it can connect to all of them.
    func discoveryIsBound(_ discovery: DiscoveryServer.Addresses) async throws {
        var iterator = bound.makeAsyncIterator()
        guard let http = await iterator.next() else { return }
        if let file {
            let ports = ControlPorts(
                xds: "\(discovery.xds)", ca: "\(discovery.ca)", xdsTLS: "\(discovery.xdsTLS)", http: "\(http)"
            )
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            try AtomicFile.write(try encoder.encode(ports) + Data("\n".utf8), to: file, mode: 0o644)
        }
        addresses.withLock { $0.isComplete = true }
    }
}
