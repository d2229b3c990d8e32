import CertificateAuthority
import ConfigCompiler
import Fleet
import Foundation
import GRPCCore
import Logging
import MeshConfig
import XDSMessages

/// Owns all streams: compiles when the mesh changes, and sends each proxy what is new for it.
public actor Distributor {
    /// What is in force, from the store.
    public struct State: Sendable {
        public let specification: MeshSpecification
        public let policies: PolicyIndex
        public let revision: Int
        /// When the change was seen.
        public let seen: ContinuousClock.Instant

        public init(
            specification: MeshSpecification, policies: PolicyIndex, revision: Int,
            seen: ContinuousClock.Instant
        ) {
            (self.specification, self.policies) = (specification, policies)
            (self.revision, self.seen) = (revision, seen)
        }
    }

    typealias StreamID = StreamAdmission.StreamID

    private struct Stream {
        let peer: Peer
        let mustMatch: Bool
        let queue: AsyncStream<Envoy_Service_Discovery_V3_DiscoveryResponse>.Continuation
        var node: ProxyNode?
        var session: DiscoverySession?
        /// What was signed last for it.
        var manifest: CompiledResource?
    }

    /// Sidecars that come or go in a crowd cause one compilation, not one each.
    static let debounce = Duration.milliseconds(10)
    /// A proxy that has not answered after so long is not waited for when TLS is switched on or off.
    static let stageMax = Duration.seconds(20)

    private let fleet: Fleet
    private let authority: CertificateAuthority
    private let logger: Logger
    private let workloadsChanged: @Sendable ([Workload]) -> Void
    private var state: State
    private var registry: WorkloadRegistry
    private var compiler: ConfigCompiler
    private var commons: [ProxyClass: ConfigCompiler.Common] = [:]
    private var streams: [StreamID: Stream] = [:]
    private var admission = StreamAdmission()
    private var isPushPlanned = false
    private var transitions: TLSTransitions
    /// Streams that have not yet answered everything of the present stage of `transitions`.
    private var awaited: Set<StreamID> = []
    private var stageEnd: Task<Void, Never>?
    private var expiry: Task<Void, Never>?

    /// `workloads`: those of an earlier run. `workloadsChanged` hears the new list, to be kept for the next one.
    public init(
        _ state: State, fleet: Fleet, authority: CertificateAuthority, workloads: [Workload], logger: Logger,
        workloadsChanged: @escaping @Sendable ([Workload]) -> Void
    ) {
        (self.state, self.fleet, self.authority) = (state, fleet, authority)
        (self.logger, self.workloadsChanged) = (logger, workloadsChanged)
        registry = WorkloadRegistry(restoring: workloads, now: .now)
        transitions = TLSTransitions(state.specification, state.policies)
        compiler = ConfigCompiler(
            specification: state.specification, policies: state.policies, workloads: registry.workloads,
            trustBundlePEM: authority.trustBundlePEM)
    }

    public var mesh: MeshSettings { state.specification.mesh }

    public var workloads: [Workload] { registry.workloads }

    // MARK: Changes of the mesh

    /// A new revision goes out at once: operators wait for it.
    public func update(_ state: State) {
        self.state = state
        transitions.want(state.specification, state.policies)
        push()
        awaitStage()
    }

    private func planPush() {
        guard !isPushPlanned else { return }
        isPushPlanned = true
        Task {
            try? await Task.sleep(for: Self.debounce)
            push()
        }
    }

    private func push() {
        isPushPlanned = false
        compiler = ConfigCompiler(
            specification: state.specification, policies: state.policies, workloads: registry.workloads,
            trustBundlePEM: authority.trustBundlePEM, transitions: transitions)
        commons = [:]
        for id in streams.keys.sorted() {
            guard let node = streams[id]?.node else { continue }
            let next = snapshot(for: node, on: id)
            let responses = streams[id]?.session?.snapshotChanged(to: next) ?? []
            send(responses, on: id)
        }
    }

    // MARK: Switching TLS on and off

    /// The next stage begins when every proxy has answered this one.
    private func awaitStage() {
        stageEnd?.cancel()
        stageEnd = nil
        guard transitions.isUnderWay else { return awaited.removeAll() }
        awaited = Set(streams.filter { $0.value.session?.isDelivered == false }.keys)
        guard !awaited.isEmpty else { return endStage() }
        stageEnd = Task {
            try? await Task.sleep(for: Self.stageMax)
            guard !Task.isCancelled else { return }
            let late = awaited.compactMap { streams[$0]?.node?.id }.sorted()
            logger.warning(
                "TLS is switched without waiting any longer for proxies that do not answer",
                metadata: [
                    "ports": "\(transitions.names.joined(separator: ", "))",
                    "proxies": "\(late.prefix(20).joined(separator: ", "))",
                ])
            endStage()
        }
    }

    private func endStage() {
        transitions.advance()
        push()
        awaitStage()
    }

    private func noLongerAwaited(_ id: StreamID) {
        guard awaited.remove(id) != nil, awaited.isEmpty, transitions.isUnderWay else { return }
        endStage()
    }

    private func snapshot(for node: ProxyNode, on id: StreamID) -> ProxySnapshot {
        let proxyClass = node.proxyClass
        let common = commons[proxyClass] ?? compiler.common(for: proxyClass)
        commons[proxyClass] = common
        let plain = compiler.snapshot(for: node, common)
        guard proxyClass.isMartlet else { return plain }
        do {
            let signed = try plain.signed(for: node.service, previous: streams[id]?.manifest) {
                try authority.signature(over: $0)
            }
            streams[id]?.manifest = signed[.manifests].list.first
            return signed
        } catch {
            // The proxy loses no more than the start without a control plane.
            logger.error("a manifest cannot be signed", metadata: ["error": "\(error)"])
            return plain
        }
    }

    // MARK: Streams

    func open(
        _ peer: Peer, mustMatch: Bool,
        _ queue: AsyncStream<Envoy_Service_Discovery_V3_DiscoveryResponse>.Continuation
    ) throws -> StreamID {
        let id = try admission.admit(openCount: streams.count)
        streams[id] = Stream(peer: peer, mustMatch: mustMatch, queue: queue)
        return id
    }

    func received(_ request: Envoy_Service_Discovery_V3_DiscoveryRequest, on id: StreamID) throws {
        if streams[id]?.node == nil { try admit(request, id) }
        guard let outcome = streams[id]?.session?.requestReceived(request) else { return }
        let now = ContinuousClock.now
        switch outcome.verdict {
        case nil: break
        case .acknowledged(let type, let version):
            fleet.acknowledged(id, type, version: version, at: now)
        case .resumed(let type, let version):
            let count = streams[id]?.node.map { snapshot(for: $0, on: id)[type].list.count } ?? 0
            fleet.sent(id, type, version: version, resources: count, at: now)
            fleet.acknowledged(id, type, version: version, at: now)
        case .refused(let type, let version, let message):
            fleet.refused(id, type, version: version, message: message, at: now, time: Date())
            logger.warning(
                "a proxy refused configuration",
                metadata: [
                    "proxy": "\(streams[id]?.node?.id ?? "")", "type": "\(type.rawValue)",
                    "version": "\(version)",
                    "reason": "\(message)",
                ])
        }
        send(outcome.responses, on: id)
        if awaited.contains(id), streams[id]?.session?.isDelivered == true { noLongerAwaited(id) }
    }

    /// The first request of a stream says who the proxy is.
    private func admit(_ request: Envoy_Service_Discovery_V3_DiscoveryRequest, _ id: StreamID) throws {
        guard let peer = streams[id]?.peer else { return }
        guard request.hasNode else {
            throw RPCError(code: .invalidArgument, message: "node: is missing in the first request")
        }
        let node: ProxyNode
        do {
            node = try ProxyNode(request.node)
        } catch {
            throw refused(.invalidArgument, error.description, peer)
        }
        if streams[id]?.mustMatch == true {
            let own = WorkloadIdentity(
                trustDomain: mesh.trustDomain, namespace: node.service.namespace, service: node.service.name)
            guard peer.identity == own else {
                throw refused(
                    .permissionDenied,
                    "the certificate is of \(peer.identity?.uri ?? "nobody"), not of \(own)", peer)
            }
        }
        streams[id]?.node = node
        let first = snapshot(for: node, on: id)
        streams[id]?.session = DiscoverySession(first)
        fleet.joined(
            id,
            Fleet.Member(
                id: node.id, service: node.service.description, userAgent: node.userAgent, peer: peer.address,
                identity: peer.identity?.uri), at: Date())
        logger.info("proxy connected", metadata: ["proxy": "\(node.id)", "peer": "\(peer.address)"])
        if let workload = Workload(node), registry.connected(workload, stream: id) {
            workloadsChanged(registry.workloads)
            planPush()
        }
    }

    private func refused(_ code: RPCError.Code, _ message: String, _ peer: Peer) -> RPCError {
        logger.warning("proxy refused", metadata: ["reason": "\(message)", "peer": "\(peer.address)"])
        return RPCError(code: code, message: message)
    }

    private func send(_ responses: [DiscoverySession.Response], on id: StreamID) {
        guard let stream = streams[id] else { return }
        let now = ContinuousClock.now
        for response in responses {
            fleet.sent(
                id, response.type, version: response.version, resources: response.resources.count, at: now)
            stream.queue.yield(
                .with {
                    $0.versionInfo = response.version
                    $0.typeURL = response.type.typeURL
                    $0.nonce = response.nonce
                    $0.resources = response.resources.map(\.message)
                    $0.controlPlane.identifier = "martlet-control"
                })
        }
        fleet.sentAll(id, revision: state.revision)
        guard !transitions.isUnderWay, let session = stream.session, session.isSubscribed, session.isInStep
        else { return }
        fleet.inStep(id, revision: state.revision, seen: state.seen, at: now)
    }

    func close(_ id: StreamID) {
        guard let stream = streams.removeValue(forKey: id) else { return }
        stream.queue.finish()
        fleet.left(id)
        noLongerAwaited(id)
        guard let node = stream.node else { return }
        logger.info("proxy disconnected", metadata: ["proxy": "\(node.id)"])
        registry.disconnected(node.id, stream: id, now: .now)
        planExpiry()
    }

    /// Ends all streams; proxies keep what they have and look for the control plane again.
    public func closeAll() {
        admission.close()
        expiry?.cancel()
        stageEnd?.cancel()
        for stream in streams.values { stream.queue.finish() }
    }

    // MARK: Workloads that do not come back

    /// To be called once: workloads of an earlier run have a term too.
    public func start() { planExpiry() }

    private func planExpiry() {
        expiry?.cancel()
        guard !admission.isClosed, let next = registry.nextExpiry else { return }
        expiry = Task {
            try? await Task.sleep(until: next, clock: .continuous)
            guard !Task.isCancelled else { return }
            expire()
        }
    }

    private func expire() {
        if registry.expire(now: .now) {
            workloadsChanged(registry.workloads)
            push()
        }
        planExpiry()
    }
}
